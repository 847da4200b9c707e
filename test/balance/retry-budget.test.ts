/** Budgets of retries and hedges: of one worker, of several, and of threads that add at once. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { Worker } from 'node:worker_threads'
import fc from 'fast-check'
import { MIN_RETRIES, RetryBudget, UNPUBLISHED } from '../../src/balance/retry-budget.ts'
import { REQUESTS, RETRIES, RetryCounts } from '../../src/shared-memory/retry-counts.ts'

/** Milliseconds, which a test moves. */
class Time {
  now = 0
}

const own = (time: Time): RetryBudget => new RetryBudget(null, -1, time)

describe('the retry budget', () => {
  it('grants a share of the requests of the last ten seconds', () => {
    const budget = own(new Time())
    for (let i = 0; i < 1_000; i++) budget.request()
    assert.equal(granted(budget, 20), 200)
  })

  it(`grants ${MIN_RETRIES} retries however few requests there were, and none at 0 per cent`, () => {
    const budget = own(new Time())
    assert.equal(granted(budget, 0), 0)
    budget.request()
    assert.equal(granted(budget, 20), MIN_RETRIES)
  })

  it('discards requests and retries after ten seconds', () => {
    const clock = new Time()
    const budget = own(clock)
    for (let i = 0; i < 1_000; i++) budget.request()
    assert.equal(granted(budget, 20), 200)
    clock.now = 9_999
    assert.equal(granted(budget, 20), 0)
    clock.now = 10_000
    assert.equal(granted(budget, 20), MIN_RETRIES)
    clock.now = 10_000_000
    assert.equal(granted(budget, 20), MIN_RETRIES)
  })

  // What an operator reads out of budgetPercent: retries add no more than this share to the load, beyond the minimum.
  it('never grants more in any ten seconds than the share of their requests, or the minimum', () => {
    const step = fc.record({ gap: fc.nat(3_000), requests: fc.nat(100), tries: fc.nat(60) })
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), fc.integer({ min: 1, max: 100 }), (steps, percent) => {
        const clock = new Time()
        const budget = own(clock)
        const log: { second: number; requests: number; retries: number }[] = []
        for (const { gap, requests, tries } of steps) {
          clock.now += gap
          for (let i = 0; i < requests; i++) budget.request()
          let retries = 0
          for (let i = 0; i < tries; i++) if (budget.spend(percent)) retries++
          log.push({ second: Math.floor(clock.now / 1_000), requests, retries })
          const window = log.filter(({ second }) => second > Math.floor(clock.now / 1_000) - 10)
          const total = (key: 'requests' | 'retries') => window.reduce((sum, entry) => sum + entry[key], 0)
          if (retries > 0) assert.ok(total('retries') <= Math.max(MIN_RETRIES, (total('requests') * percent) / 100))
        }
      }),
    )
  })

  it('is one for all workers: what one has spent the others do not have', () => {
    const counts = new RetryCounts(RetryCounts.allocate(4))
    const time = new Time()
    const workers = Array.from({ length: 4 }, () => new RetryBudget(counts, 2, time))
    for (let i = 0; i < 4_000; i++) workers[i % 4]!.request()
    let all = 0
    for (let idle = 0, i = 0; idle < 4; i++)
      if (workers[i % 4]!.spend(20)) {
        all++
        idle = 0
      } else idle++
    assert.equal(all, 800)
    // Nor has another Backend: its slot is its own.
    assert.equal(granted(new RetryBudget(counts, 1, time), 20), MIN_RETRIES)
    // A worker that is restarted goes on where the others are.
    assert.equal(granted(new RetryBudget(counts, 2, time), 20), 0)
    counts.clear(2)
    assert.equal(granted(new RetryBudget(counts, 2, time), 20), MIN_RETRIES)
  })

  it('knows of all requests of other workers but the last few', () => {
    const counts = new RetryCounts(RetryCounts.allocate(1))
    const time = new Time()
    const [one, other] = [new RetryBudget(counts, 0, time), new RetryBudget(counts, 0, time)]
    for (let i = 0; i < 10_000; i++) one.request()
    const known = granted(other, 100)
    assert.ok(known > 10_000 - UNPUBLISHED && known <= 10_000, `${known}`)
  })

  it('grants hedges within their share and within the budget of retries', () => {
    const budget = own(new Time())
    const hedges = (percent: number, budgetPercent: number): number => {
      let count = 0
      while (budget.spendHedge(percent, budgetPercent)) count++
      return count
    }
    assert.equal(hedges(0, 20), 0)
    assert.equal(hedges(5, 0), 0, 'no retries, no hedges')
    assert.equal(hedges(5, 20), 1, 'one, however few requests')
    for (let i = 0; i < 1_000; i++) budget.request()
    assert.equal(hedges(5, 20), 49)
    assert.equal(granted(budget, 20), 150, 'they are retries, too')
    assert.equal(hedges(100, 20), 0)
  })

  it('takes a second that has passed for another one: a thread was held up', () => {
    const counts = new RetryCounts(RetryCounts.allocate(1))
    counts.add(0, REQUESTS, 30, 7)
    counts.add(0, REQUESTS, 20, 5)
    assert.equal(counts.sum(0, REQUESTS, 30), 7)
    assert.equal(counts.sum(0, REQUESTS, 20), 0)
  })

  // Turns come round after 40,960 s, and a cell that was never used looks like one of the first ten seconds.
  it('counts at any time since the machine started, in cells of any age', () => {
    for (let second = 0; second < 90_000; second += 10) {
      const counts = new RetryCounts(RetryCounts.allocate(1))
      counts.add(0, REQUESTS, second, 3)
      assert.equal(counts.sum(0, REQUESTS, second), 3, `the first at ${second} s`)
    }
    for (const second of [2 ** 31 - 5, 2 ** 31 + 5, 2 ** 32 - 5]) {
      const counts = new RetryCounts(RetryCounts.allocate(1))
      for (let i = 0; i < 4; i++) counts.add(0, REQUESTS, second + i, 3)
      assert.equal(counts.sum(0, REQUESTS, second + 3), 12, `at ${second} s`)
    }
    for (let idle = 10; idle < 90_000; idle += 10) {
      if (idle % 40_960 === 0) continue
      const counts = new RetryCounts(RetryCounts.allocate(1))
      counts.add(0, REQUESTS, 30, 7)
      counts.add(0, REQUESTS, 30 + idle, 3)
      assert.equal(counts.sum(0, REQUESTS, 30 + idle), 3, `after ${idle} s`)
    }
  })

  it('is as strict for a Backend that is new hours after the start', () => {
    for (let second = 40_300; second < 41_000; second += 10) {
      const budget = own(Object.assign(new Time(), { now: second * 1_000 }))
      let count = 0
      while (count < 1_000 && budget.spend(20)) count++
      assert.equal(count, MIN_RETRIES, `at ${second} s`)
    }
  })

  it('loses nothing where threads add at once, and never grants more than there is', async () => {
    const buffer = RetryCounts.allocate(1)
    const source = `
      const { parentPort, workerData } = require('node:worker_threads')
      ;(async () => {
        const { RetryCounts } = await import(workerData.counts)
        const { RetryBudget } = await import(workerData.budget)
        const counts = new RetryCounts(workerData.buffer)
        for (let i = 0; i < 20000; i++) counts.add(0, 0, 5, 1)
        const budget = new RetryBudget(counts, 0, { now: 5500 })
        let granted = 0
        for (let i = 0; i < 20000; i++) if (budget.spend(1)) granted++
        parentPort.postMessage(granted)
      })()`
    const data = {
      buffer,
      counts: new URL('../../src/shared-memory/retry-counts.ts', import.meta.url).href,
      budget: new URL('../../src/balance/retry-budget.ts', import.meta.url).href,
    }
    const grants = await Promise.all(
      [0, 1].map(
        () =>
          new Promise<number>((resolve, reject) => {
            const worker = new Worker(source, { eval: true, workerData: data })
            worker.once('message', resolve)
            worker.once('error', reject)
          }),
      ),
    )
    const counts = new RetryCounts(buffer)
    assert.equal(counts.sum(0, REQUESTS, 5), 40_000)
    const all = grants.reduce((sum, granted) => sum + granted, 0)
    assert.equal(counts.sum(0, RETRIES, 5), all, 'what was not granted is given back')
    assert.ok(all <= 400, `${all} of 400`)
  })
})

function granted(budget: RetryBudget, percent: number): number {
  let count = 0
  while (budget.spend(percent)) count++
  return count
}
