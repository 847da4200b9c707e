import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { createBalancer } from '../../src/balance/create-balancer.ts'
import type { Topology } from '../../src/balance/topology.ts'
import { usageOf } from '../../src/balance/usage.ts'
import { Bench, tally } from '../suite/balancer.ts'

const PICKS = 6_000

/** Six replicas in the zones a, a, b, b, b and none. */
function replica(index: number): Topology {
  const zone = ['a', 'a', 'b', 'b', 'b', ''][index]!
  return {
    ...(zone !== '' && { zone }),
    replicas: [
      ['', 1],
      ['a', 2],
      ['b', 3],
    ],
    place: { index, count: 6 },
    placeInZone: [
      { index: 0, count: 2 },
      { index: 1, count: 2 },
      { index: 0, count: 3 },
      { index: 1, count: 3 },
      { index: 2, count: 3 },
      { index: 0, count: 1 },
    ][index]!,
  }
}

describe('what a replica uses of a Backend', () => {
  it('is what its picks come to', () => {
    const endpoint = fc.record({
      zone: fc.constantFrom('', 'a', 'b', 'c'),
      weight: fc.integer({ min: 1, max: 9 }),
      down: fc.integer({ min: 0, max: 3 }),
      draining: fc.integer({ min: 0, max: 5 }),
    })
    fc.assert(
      fc.property(
        fc.array(endpoint, { minLength: 1, maxLength: 30 }),
        fc.nat(5),
        fc.boolean(),
        fc.nat(20),
        fc.constantFrom('RoundRobin', 'WeightedRoundRobin', 'Random'),
        (all, index, zoneAware, subsetSize, algorithm) => {
          const bench = new Bench(index)
          const endpoints = all.map(({ zone, weight, down, draining }) => {
            const made = { ...bench.endpoint(weight, draining === 0 ? 'draining' : 'ready'), ...(zone && { zone }) }
            if (down === 0) bench.down.add(made.slot)
            return made
          })
          if (endpoints.every(({ slot, state }) => bench.down.has(slot) || state === 'draining')) return
          bench.topology = replica(index)
          const spread = { zoneAware, subsetSize }
          const usage = usageOf(endpoints, algorithm, spread, bench.topology, bench)
          const total = [...usage.values()].reduce((sum, part) => sum + part, 0)
          assert.ok(Math.abs(total - 1) < 1e-6, `${total}`)
          const balancer = createBalancer(algorithm, bench, 0, spread)
          balancer.update(endpoints)
          const counts = tally(balancer, PICKS)
          for (const one of endpoints) {
            const [got, said] = [(counts.get(one) ?? 0) / PICKS, usage.get(one) ?? 0]
            assert.ok(Math.abs(got - said) < 0.04, `${got}, and not ${said}`)
          }
        },
      ),
      { numRuns: 80 },
    )
  })
})
