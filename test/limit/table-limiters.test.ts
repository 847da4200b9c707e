import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { Worker } from 'node:worker_threads'
import { TableLimiters } from '../../src/limit/table-limiters.ts'
import { LimitTable } from '../../src/shared-memory/limit-table.ts'
import { limiterSuite } from '../suite/limiter.ts'

/** A table, and its limiters at a time that only `pass` moves. */
function rigAt(start: number, slots: number) {
  let now = start
  const table = new LimitTable(LimitTable.allocate(slots, [0x1234567, 0x89abcdf], start))
  return {
    table,
    limiters: new TableLimiters(table, { monotonic: () => now }),
    pass(milliseconds: number) {
      now += milliseconds
    },
    get now() {
      return now
    },
  }
}

const SLOW = { requests: 1, per: 60_000, burst: 1 }

limiterSuite('in shared memory', () => rigAt(0, 1_024))
limiterSuite('in shared memory, on a machine that has run for a year', () => rigAt(31_536_000_000 + 1 / 3, 1_024))

describe('limiters over a table', () => {
  it('take no room but that of the table, and forget keys of the owner who has most', () => {
    const { limiters, table } = rigAt(0, 256)
    const calm = limiters.open({ owner: 'calm', name: 'a' }, SLOW)
    const noisy = limiters.open({ owner: 'noisy', name: 'a' }, SLOW)
    assert.equal(calm.take('me').allowed, true)
    for (let i = 0; i < 100_000; i++) assert.equal(noisy.take(`client ${i}`).allowed, true)
    assert.equal(calm.take('me').allowed, false, 'a flood in one namespace leaves the keys of others alone')
    assert.equal(table.live(0), 256)
    assert.equal(table.evictions, 100_001 - 256)
  })

  it('leave each owner its part, who floods or not', () => {
    const { limiters } = rigAt(0, 4_096)
    const calm = limiters.open({ owner: 'calm', name: 'a' }, SLOW)
    const noisy = limiters.open({ owner: 'noisy', name: 'a' }, SLOW)
    for (let i = 0; i < 1_000; i++) calm.take(`client ${i}`)
    for (let i = 0; i < 50_000; i++) noisy.take(`client ${i}`)
    let kept = 0
    for (let i = 0; i < 1_000; i++) if (!calm.take(`client ${i}`).allowed) kept++
    // A quarter of all cells: only a set with more than the half of its cells loses some.
    assert.ok(kept >= 980, `${kept} of 1,000 keys are kept`)
  })

  it('have one time of a quota, in whatever order workers have looked at the clock', () => {
    const { table } = rigAt(0, 1_024)
    const quota = { quota: 3, per: 60_000 }
    const at = (time: number) =>
      new TableLimiters(table, { monotonic: () => time }).open({ owner: 'shop', name: 'day' }, quota)
    const [early, late] = [at(1_000), at(1_004)]
    const taken = [late, early, late, early, late, early].map((limiter) => limiter.take('me').allowed)
    assert.deepEqual(taken, [true, true, true, false, false, false])
  })

  for (const rate of [
    { quota: 3, per: 1_000 },
    { requests: 3, per: 1_000, burst: 3 },
  ])
    it(`grant nothing twice where a worker loses its CPU behind a look at the clock (${Object.keys(rate)[0]})`, () => {
      let now = 1_000
      /** What happens while the worker that has just looked at the clock does not run. */
      let meanwhile = (): void => {}
      const { table } = rigAt(0, 1_024)
      const scope = { owner: 'shop', name: 'second' }
      const other = new TableLimiters(table, { monotonic: () => now }).open(scope, rate)
      const heldUp = new TableLimiters(table, {
        monotonic() {
          const then = now
          meanwhile()
          return then
        },
      }).open(scope, rate)
      for (const key of ['first', 'second']) {
        let granted = 0
        // Keys are new, or known from long ago.
        if (key === 'second') other.take(key)
        now += 10_000
        meanwhile = () => {
          meanwhile = () => {}
          now += 500
          for (let i = 0; i < 3; i++) if (other.take(key).allowed) granted++
        }
        for (let i = 0; i < 4; i++) if (heldUp.take(key).allowed) granted++
        assert.equal(granted, 3, key)
      }
    })

  it('count anew where a rate becomes a quota, and the other way round', () => {
    const { limiters } = rigAt(0, 1_024)
    const scope = { owner: 'shop', name: 'kind' }
    const month = 30 * 86_400_000
    assert.equal(limiters.open(scope, { quota: 100, per: month }).take('me').allowed, true)
    assert.equal(limiters.open(scope, { requests: 10, per: month, burst: 10 }).take('me').remaining, 9)
    assert.equal(limiters.open(scope, { quota: 100, per: month }).take('me').remaining, 98)
  })

  it('use the cells of numbers that mean nothing any more, and lose nothing by it', () => {
    const { limiters, pass, table } = rigAt(0, 64)
    const limiter = limiters.open({ owner: 'shop', name: 'a' }, { requests: 1, per: 1_000, burst: 1 })
    for (let round = 0; round < 50; round++) {
      for (let i = 0; i < 16; i++) assert.equal(limiter.take(`${round} ${i}`).allowed, true)
      pass(1_300)
    }
    assert.equal(table.evictions, 0)
  })

  it('keep what is in use', () => {
    const { limiters, pass } = rigAt(0, 64)
    const limiter = limiters.open({ owner: 'shop', name: 'a' }, { requests: 1, per: 1_000, burst: 1_000_000 })
    // Its bucket is full again later than that of any other.
    limiter.take('busy', 900_000)
    const others = limiters.open({ owner: 'shop', name: 'b' }, { requests: 1, per: 1_000, burst: 10 })
    for (let i = 0; i < 5_000; i++) others.take(`client ${i}`, 10)
    pass(1_000)
    assert.equal(limiter.take('busy', 200_000).allowed, false)
  })

  it('are exact over workers that take the same keys at once, and while they enter them', {
    timeout: 60_000,
  }, async () => {
    const buffer = LimitTable.allocate(4_096, [1, 2], 0)
    const gate = new SharedArrayBuffer(4)
    const keys = 400
    const workers = Array.from(
      { length: 4 },
      () =>
        new Worker(new URL('./table-limiters-worker.ts', import.meta.url), {
          workerData: { buffer, gate, keys, burst: 50 },
        }),
    )
    const counts = await Promise.all(
      workers.map(
        (worker) =>
          new Promise<number[]>((resolve, reject) => {
            worker.once('error', reject)
            worker.on('message', (message: 'ready' | number[]) => {
              if (message !== 'ready') resolve(message)
              else if (Atomics.add(new Int32Array(gate), 0, 1) === workers.length - 1)
                Atomics.notify(new Int32Array(gate), 0)
            })
          }),
      ),
    )
    await Promise.all(workers.map((worker) => worker.terminate()))
    const sums = Array.from({ length: keys }, (_, key) => counts.reduce((sum, count) => sum + count[key]!, 0))
    assert.deepEqual(new Set(sums), new Set([50]))
  })
})
