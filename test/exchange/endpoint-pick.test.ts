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

/** Two workers pick in the same instant: before one is told that it may, the other has the trial. */
describe('a trial request', () => {
  for (const algorithm of ALGORITHMS)
    it(`goes to an endpoint once, whoever picks it at the same time: ${algorithm}`, () => {
      const table = new EndpointTable(EndpointTable.allocate(2, 64))
      const endpoints: Endpoint[] = []
      for (let slot = 0; slot < 3; slot++) {
        const address = `10.0.0.${slot}`
        endpoints.push({ authority: `${address}:80`, address, port: 80, slot, weight: 1, state: 'ready' })
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
      const backend = { balancer } as unknown as LinkedBackend
      const end: AttemptObserver = { attemptStarted() {}, attemptEnded() {} }
      const workers = [0, 1].map(() => new PassiveHealth(table, { now: 0 }, end))
      let races = 0
      const second: AttemptObserver = {
        ...end,
        admits(to, endpoint) {
          if (endpoint.slot === 0) races++
          workers[0]!.admits(to, endpoint)
          return workers[1]!.admits(to, endpoint)
        },
      }
      table.eject(0)
      for (let round = 0; round < 300; round++) {
        table.offerTrial(0)
        const picked = pickEndpoint(second, backend, algorithm === 'ConsistentHash' ? round * 7_919_993 : NO_KEY, null)
        assert.notEqual(picked, undefined)
        assert.notEqual(picked!.slot, 0)
      }
      assert.ok(races > 20, `it was picked ${races} times`)
    })
})
