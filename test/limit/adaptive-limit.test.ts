/** The algorithm before simulated servers: the clock is virtual and chance has a seed, so every run is the same. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { type OverloadedServer, type OverloadRow, overload } from '../../bench/lib/overload.ts'
import { exponential } from '../../bench/lib/simulation.ts'
import { type AdaptiveLimitConfig, AdaptiveLimits } from '../../src/limit/adaptive-limit.ts'
import { EndpointTable, isEligible, SLOT_STATE } from '../../src/shared-memory/endpoint-table.ts'

const LIMIT: AdaptiveLimitConfig = { minRequests: 4, maxRequests: 1_000, tolerance: 1.5 }
const WELL: OverloadedServer = { parallel: () => 8, service: exponential(20) }
/** Requests a second that one of them works off. */
const CAPACITY = 400
const DEADLINE = 250

interface Case {
  readonly servers: readonly OverloadedServer[]
  readonly rate: (time: number) => number
  readonly seconds: number
  readonly limit?: AdaptiveLimitConfig | undefined
}

/** A row for every second. */
function run({ servers, rate, seconds, limit = LIMIT }: Case): OverloadRow[] {
  return overload({ servers, rate, seconds, limit, deadline: DEADLINE, period: 1 })
}

function sum(rows: readonly OverloadRow[], of: 'asked' | 'refused' | 'good'): number {
  return rows.reduce((total, row) => total + row[of], 0)
}

function worst(rows: readonly OverloadRow[]): number {
  return Math.max(...rows.map(({ p99 }) => p99))
}

describe('an adaptive limit', () => {
  const servers = [WELL, WELL, WELL, WELL]
  const capacity = servers.length * CAPACITY

  it('keeps servers that get half more than they can useful, where they would answer everybody too late', () => {
    const rate = (): number => 1.5 * capacity
    const without = overload({ servers, rate, seconds: 15, limit: undefined, deadline: DEADLINE, period: 1 }).slice(5)
    assert.equal(sum(without, 'good'), 0, 'the case is one')
    const rows = run({ servers, rate, seconds: 15 }).slice(5)
    const good = sum(rows, 'good') / 10 / capacity
    assert.ok(good > 0.95, `${good} of what they can`)
    assert.ok(worst(rows) < DEADLINE, `${worst(rows)} ms`)
    // A queue of about what is worked on, and no more.
    for (const { limits } of rows) assert.ok(limits < 4 * 8 * servers.length, `${limits}`)
  })

  it('refuses nothing while there is no overload, be the servers as busy as they may', () => {
    const rows = run({ servers, rate: () => 0.9 * capacity, seconds: 20 })
    assert.equal(sum(rows, 'refused'), 0)
  })

  it('does not drift with an overload that lasts, nor with one that began before anything was known', () => {
    const rows = run({ servers: [WELL], rate: () => 1.5 * CAPACITY, seconds: 200 })
    const late = rows.slice(150)
    assert.ok(sum(late, 'good') / 50 / CAPACITY > 0.93, `${sum(late, 'good') / 50}`)
    assert.ok(worst(late) < DEADLINE, `${worst(late)} ms`)
    for (const { limits } of late) assert.ok(limits >= 8 && limits < 40, `${limits}`)
  })

  it('follows servers that can do less, and those that can do more again', () => {
    const rows = run({
      servers: servers.map(() => ({ parallel: (time) => (time >= 5 && time < 30 ? 2 : 8), service: exponential(20) })),
      rate: () => 0.7 * capacity,
      seconds: 40,
    })
    assert.equal(sum(rows.slice(0, 5), 'refused'), 0)
    const less = rows.slice(20, 30)
    assert.ok(sum(less, 'good') / 10 / (capacity / 4) > 0.9, `${sum(less, 'good')}`)
    const again = rows.slice(32)
    assert.ok(sum(again, 'refused') / sum(again, 'asked') < 0.005, `${sum(again, 'refused')}`)
  })

  it('finds out within seconds that everything takes longer for another reason, and refuses nothing more', () => {
    const rows = run({
      servers: servers.map(() => ({
        parallel: () => 500,
        service: (random, time) => exponential(time >= 5 ? 80 : 20)(random),
      })),
      rate: () => capacity,
      seconds: 30,
    })
    assert.equal(sum(rows.slice(0, 5), 'refused'), 0)
    assert.equal(sum(rows.slice(12), 'refused'), 0)
  })

  it('takes the slow requests of a mixture for what they are', () => {
    const mixed: OverloadedServer = { parallel: () => 8, service: (random) => (random() < 0.9 ? 4 : 64) }
    const rows = run({ servers: [mixed, mixed, mixed, mixed], rate: () => 1.2 * 3_200, seconds: 20 }).slice(5)
    assert.ok(sum(rows, 'good') / 15 / 3_200 > 0.93, `${sum(rows, 'good') / 15}`)
  })

  it('grows to what a large server can within seconds', () => {
    const large: OverloadedServer = { parallel: () => 200, service: exponential(50) }
    const rows = run({ servers: [large], rate: () => 3_200, seconds: 15 })
    assert.ok(sum(rows.slice(8), 'refused') === 0, rows.map(({ refused }) => refused).join(' '))
  })
})

describe('the mark of an endpoint at its limit', () => {
  const SLOT = 2
  const world = (workers: number) => {
    const table = new EndpointTable(EndpointTable.allocate(workers, 8))
    table.enlist(SLOT)
    return { table, limits: new AdaptiveLimits(table) }
  }
  const at = (maxRequests: number): AdaptiveLimitConfig => ({ minRequests: 1, maxRequests, tolerance: 1.5 })

  it('is set for all workers by the request that takes the last room, and cleared by any that ends', () => {
    const { table, limits } = world(2)
    limits.started(0, SLOT, at(2))
    assert.equal(table.eligible(SLOT), true)
    limits.started(1, SLOT, at(2))
    assert.equal(table.eligible(SLOT), false)
    assert.equal(isEligible(table.state(SLOT)), true, 'it is well')
    limits.ended(0, SLOT, at(2))
    assert.equal(table.eligible(SLOT), true)
  })

  it('does not outlive a worker that dies with requests, nor the limit itself', () => {
    const { table, limits } = world(2)
    limits.started(1, SLOT, at(1))
    table.clearWorker(1)
    assert.deepEqual([table.eligible(SLOT), table.unanswered.sum(SLOT)], [true, 0])
    limits.started(0, SLOT, at(1))
    limits.ended(0, SLOT, undefined)
    assert.equal(table.eligible(SLOT), true)
  })

  it('changes nothing about the health of an endpoint: it is ejected and comes back as any other', () => {
    const { table, limits } = world(1)
    limits.started(0, SLOT, at(1))
    const { changes } = table
    limits.ended(0, SLOT, at(1))
    limits.started(0, SLOT, at(1))
    assert.equal(table.changes, changes)
    assert.equal(table.eject(SLOT), true)
    table.restore(SLOT)
    assert.equal(table.state(SLOT), SLOT_STATE.live | SLOT_STATE.full)
  })

  it('lowers the limit where more than a tenth is refused by the endpoint or too late, and never below the least', () => {
    const { table, limits } = world(1)
    const config = { minRequests: 7, maxRequests: 1_000, tolerance: 1.5 }
    // Of a machine that has been up for 25 days: 32 bits have wrapped.
    let now = 2 ** 31 + 1_000
    const window = (dropped: number): number => {
      for (let i = 0; i < 25; i++) {
        limits.started(0, SLOT, config)
        now += 5
        limits.observe(SLOT, 20, i < dropped, config, now)
        limits.ended(0, SLOT, config)
      }
      return table.concurrency.limit(SLOT)
    }
    const before = window(0)
    window(0)
    assert.equal(window(2), before)
    assert.ok(window(4) < before)
    for (let i = 0; i < 60; i++) window(25)
    assert.equal(limits.limitOf(SLOT, config), 7)
  })

  // 32 bits of milliseconds tell before from after for 24.9 days, and come round after 49.7.
  for (const days of [1, 25, 30, 49, 51, 80])
    it(`is lowered, and measured, for an endpoint that nobody asked for ${days} days`, () => {
      const { table, limits } = world(1)
      const config = { minRequests: 1, maxRequests: 1_000, tolerance: 1.5 }
      let now = 5_000
      const window = (latency: number, dropped: number): void => {
        for (let i = 0; i < 30; i++) {
          limits.started(0, SLOT, config)
          now += 5
          limits.observe(SLOT, latency, i < dropped, config, now)
          limits.ended(0, SLOT, config)
        }
      }
      for (let i = 0; i < 5; i++) window(20, 0)
      const before = table.concurrency.limit(SLOT)
      now += days * 86_400_000
      for (let i = 0; i < 5; i++) window(20, 15)
      assert.ok(table.concurrency.limit(SLOT) < before, `${table.concurrency.limit(SLOT)}`)
      // A measurement was under way when the last request came.
      table.concurrency.measure(SLOT, 2, 60, 0, now)
      now += days * 86_400_000
      for (let i = 0; i < 5; i++) window(20, 0)
      assert.equal(table.concurrency.depth(SLOT), 0)
      assert.equal(table.concurrency.measuringSince(SLOT), 0)
    })

  it('is clear whenever there is room, in whatever order workers start and end requests', () => {
    const step = fc.record({
      worker: fc.nat(2),
      start: fc.boolean(),
      latency: fc.integer({ min: 1, max: 500 }),
      dropped: fc.boolean(),
      most: fc.integer({ min: 1, max: 6 }),
    })
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
        const { table, limits } = world(3)
        const held = [0, 0, 0]
        let now = 1_000
        let config = at(3)
        for (const { worker, start, latency, dropped, most } of steps) {
          now += latency
          if (start && table.eligible(SLOT)) {
            limits.started(worker, SLOT, config)
            held[worker]!++
          } else if (!start && held[worker]! > 0) {
            limits.observe(SLOT, latency, dropped, config, now)
            limits.ended(worker, SLOT, config)
            held[worker]!--
            const all = held[0]! + held[1]! + held[2]!
            assert.equal(table.unanswered.sum(SLOT), all)
            assert.equal(all < limits.limitOf(SLOT, config) && !table.eligible(SLOT), false, 'there is room')
          } else config = at(most)
          assert.ok(table.unanswered.sum(SLOT) <= 6)
        }
        for (const [worker, count] of held.entries()) for (let i = 0; i < count; i++) limits.ended(worker, SLOT, config)
        assert.deepEqual([table.unanswered.sum(SLOT), table.eligible(SLOT)], [0, true])
      }),
    )
  })
})
