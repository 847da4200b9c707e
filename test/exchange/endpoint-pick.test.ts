import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { NO_KEY } from '../../src/balance/balancer.ts'
import { createBalancer } from '../../src/balance/create-balancer.ts'
import type { Endpoint } from '../../src/balance/endpoint.ts'
import { ALONE } from '../../src/balance/topology.ts'
import type { AttemptObserver } from '../../src/exchange/attempt-observer.ts'
import { pickEndpoint } from '../../src/exchange/endpoint-pick.ts'
import type { LinkedBackend } from '../../src/link/linked-tables.ts'
import { EndpointTable } from '../../src/shared-memory/endpoint-table.ts'
import { PassiveHealth } from '../../src/worker/passive-health.ts'
import { seeded } from '../suite/balancer.ts'

const ALGORITHMS = ['RoundRobin', 'WeightedRoundRobin', 'LeastRequest', 'PeakEWMA', 'Random', 'ConsistentHash'] as const

type Algorithm = (typeof ALGORITHMS)[number]

const END: AttemptObserver = { attemptStarted() {}, attemptEnded() {} }

const keyOf = (algorithm: Algorithm, round: number): number =>
  algorithm === 'ConsistentHash' ? round * 7_919_993 : NO_KEY

function setUp(algorithm: Algorithm, count: number, draining: readonly number[] = []) {
  const table = new EndpointTable(EndpointTable.allocate(2, 64))
  const endpoints: Endpoint[] = []
  for (let slot = 0; slot < count; slot++) {
    const address = `10.0.0.${slot}`
    const state = draining.includes(slot) ? 'draining' : 'ready'
    endpoints.push({ authority: `${address}:80`, address, port: 80, slot, weight: 1, state })
    table.enlist(slot)
  }
  const balancer = createBalancer(algorithm, {
    gauge: table,
    random: seeded(3),
    topology: ALONE,
    now: () => 0,
    requests: () => 1,
  })
  balancer.update(endpoints)
  const lost = new Map<Endpoint, number>()
  const pool = (endpoint: Endpoint) => ({ lostAt: lost.get(endpoint) ?? Number.NEGATIVE_INFINITY })
  return { table, endpoints, lost, backend: { balancer, pool } as unknown as LinkedBackend }
}

/** Two workers pick in the same instant: before one is told that it may, the other has the trial. */
describe('a trial request', () => {
  for (const algorithm of ALGORITHMS)
    it(`goes to an endpoint once, whoever picks it at the same time: ${algorithm}`, () => {
      const { table, backend } = setUp(algorithm, 3)
      const workers = [0, 1].map(() => new PassiveHealth(table, { now: 0 }, END))
      let races = 0
      const second: AttemptObserver = {
        ...END,
        admits(to, endpoint) {
          if (endpoint.slot === 0) races++
          workers[0]!.admits(to, endpoint)
          return workers[1]!.admits(to, endpoint)
        },
      }
      table.eject(0)
      for (let round = 0; round < 300; round++) {
        table.offerTrial(0)
        const picked = pickEndpoint(second, backend, keyOf(algorithm, round), null)
        assert.notEqual(picked, undefined)
        assert.notEqual(picked!.slot, 0)
      }
      assert.ok(races > 20, `it was picked ${races} times`)
    })
})

describe('another attempt', () => {
  for (const algorithm of ALGORITHMS) {
    it(`goes to an endpoint whose last request went well, as long as there is one: ${algorithm}`, () => {
      const { table, endpoints, backend } = setUp(algorithm, 6)
      const observer = new PassiveHealth(table, { now: 0 }, END)
      for (const slot of [0, 1, 2, 3]) table.faults.failed(slot)
      const tried = [endpoints[0]!]
      const met = new Set<number>()
      for (let round = 0; round < 200; round++)
        met.add(pickEndpoint(observer, backend, keyOf(algorithm, round), tried)!.slot)
      assert.deepEqual([...met].sort(), [4, 5])
      table.faults.succeeded(3)
      for (let round = 0; round < 200; round++)
        met.add(pickEndpoint(observer, backend, keyOf(algorithm, round), tried)!.slot)
      assert.deepEqual([...met].sort(), [3, 4, 5])
    })

    it(`goes to any other one where all fail, and never from a ready one to one that drains: ${algorithm}`, () => {
      const { table, endpoints, backend } = setUp(algorithm, 4, [3])
      const observer = new PassiveHealth(table, { now: 0 }, END)
      for (const slot of [0, 1, 2]) table.faults.failed(slot)
      for (let round = 0; round < 100; round++)
        assert.ok([1, 2].includes(pickEndpoint(observer, backend, keyOf(algorithm, round), [endpoints[0]!])!.slot))
    })
  }

  it('goes to no endpoint that has just ended an idle connection', () => {
    const { table, endpoints, lost, backend } = setUp('RoundRobin', 4)
    const timers = { now: 1_000 }
    const observer = new PassiveHealth(table, timers, END)
    for (const endpoint of endpoints.slice(0, 3)) lost.set(endpoint, 900)
    const picks = () =>
      new Set([0, 1, 2, 3, 4, 5].map(() => pickEndpoint(observer, backend, NO_KEY, [endpoints[0]!])!.slot))
    assert.deepEqual([...picks()], [3])
    timers.now = 10_000
    assert.deepEqual([...picks()].sort(), [1, 2, 3])
  })

  it('of a first attempt nothing is asked', () => {
    const { table, backend } = setUp('RoundRobin', 2)
    table.faults.failed(0)
    const met = [0, 1].map(() => pickEndpoint(new PassiveHealth(table, { now: 0 }, END), backend, NO_KEY, null)!.slot)
    assert.deepEqual(met.sort(), [0, 1])
  })
})
