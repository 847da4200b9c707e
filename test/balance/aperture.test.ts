import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { NO_KEY } from '../../src/balance/balancer.ts'
import { type Algorithm, createBalancer } from '../../src/balance/create-balancer.ts'
import type { Endpoint } from '../../src/balance/endpoint.ts'
import { ALONE, type Topology } from '../../src/balance/topology.ts'
import { Bench, balancerSuite, tally } from '../suite/balancer.ts'

const ALGORITHMS = ['RoundRobin', 'WeightedRoundRobin', 'LeastRequest', 'PeakEWMA', 'Random'] as const

function replica(index: number, count: number): Topology {
  return { ...ALONE, place: { index, count } }
}

for (const algorithm of ALGORITHMS)
  balancerSuite(algorithm, { name: 'in a subset', topology: ALONE, spread: { zoneAware: false, subsetSize: 2 } })

/** The endpoints that a replica uses, with its part of the requests. */
function usedBy(
  bench: Bench,
  endpoints: readonly Endpoint[],
  topology: Topology,
  size: number,
  algorithm: Algorithm = 'WeightedRoundRobin',
  picks = 4_000,
): Map<Endpoint, number> {
  bench.topology = topology
  const balancer = createBalancer(algorithm, bench, 0, { zoneAware: false, subsetSize: size })
  balancer.update(endpoints)
  const used = tally(balancer, picks)
  for (const [endpoint, count] of used) used.set(endpoint, count / picks)
  return used
}

function many(bench: Bench, count: number, weight = 1): Endpoint[] {
  return Array.from({ length: count }, () => bench.endpoint(weight))
}

describe('aperture', () => {
  for (const algorithm of ALGORITHMS)
    it(`uses as many endpoints as it is to, and the parts of two more, under ${algorithm}`, () => {
      const bench = new Bench()
      const used = usedBy(bench, many(bench, 200), replica(3, 40), 20, algorithm)
      assert.ok(used.size >= 20 && used.size <= 21, `${used.size}`)
    })

  it('gives each endpoint its share by weight of all replicas together', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 60 }),
        fc.integer({ min: 1, max: 12 }),
        fc.integer({ min: 1, max: 70 }),
        (weights, count, size) => {
          const bench = new Bench()
          const endpoints = bench.endpoints(...weights)
          const total = weights.reduce((sum, weight) => sum + weight, 0)
          const load = new Map<Endpoint, number>()
          for (let index = 0; index < count; index++)
            for (const [endpoint, part] of usedBy(bench, endpoints, replica(index, count), size))
              load.set(endpoint, (load.get(endpoint) ?? 0) + part / count)
          for (const endpoint of endpoints) {
            const share = endpoint.weight / total
            // Of 4,000 picks of each replica a rotation is within one.
            const error = Math.abs((load.get(endpoint) ?? 0) - share)
            assert.ok(error < 0.002 + share * 0.05, `${load.get(endpoint)} instead of ${share}`)
          }
        },
      ),
      { numRuns: 60 },
    )
  })

  it('is more than asked for where replicas are too few for all endpoints, and everything of one', () => {
    const bench = new Bench()
    const endpoints = many(bench, 100)
    const used = [0, 1, 2, 3].map((index) => usedBy(bench, endpoints, replica(index, 4), 5))
    assert.equal(new Set(used.flatMap((part) => [...part.keys()])).size, 100)
    assert.equal(usedBy(bench, endpoints, ALONE, 5).size, 100)
  })

  it('moves about one endpoint where one comes or goes, whatever the order of the list', () => {
    const bench = new Bench()
    const endpoints = many(bench, 500)
    const before = usedBy(bench, endpoints, replica(17, 50), 30)
    assert.deepEqual(
      new Set(usedBy(bench, [...endpoints].reverse(), replica(17, 50), 30).keys()),
      new Set(before.keys()),
    )
    let moved = 0
    for (let i = 0; i < 40; i++) {
      const after = usedBy(bench, endpoints.toSpliced(i * 12, 1), replica(17, 50), 30)
      const gone = [...before.keys()].filter((endpoint) => !after.has(endpoint)).length
      assert.ok(gone <= 3, `${gone}`)
      moved += gone
    }
    assert.ok(moved < 60, `${moved}`)
  })

  it('reaches farther for what is withdrawn, within 0.1 s, and comes back', () => {
    const bench = new Bench()
    const endpoints = many(bench, 100)
    bench.topology = replica(2, 10)
    const balancer = createBalancer('RoundRobin', bench, 0, { zoneAware: false, subsetSize: 10 })
    balancer.update(endpoints)
    const before = [...tally(balancer, 100).keys()]
    assert.equal(before.length, 10)
    for (const { slot } of before.slice(0, 6)) bench.down.add(slot)
    bench.time += 100
    const during = [...tally(balancer, 100).keys()]
    assert.equal(during.length, 10)
    assert.equal(during.filter((endpoint) => before.includes(endpoint)).length, 4)
    bench.down.clear()
    bench.time += 100
    assert.deepEqual(new Set(tally(balancer, 100).keys()), new Set(before))
  })

  it('goes on with its rotation when another endpoint changes', () => {
    const bench = new Bench()
    const endpoints = many(bench, 20, 3)
    const balancer = createBalancer('RoundRobin', bench, 0, { zoneAware: false, subsetSize: 5 })
    balancer.update(endpoints)
    const counts = new Map<Endpoint, number>()
    for (let i = 0; i < 200; i++) {
      const endpoint = balancer.pick(NO_KEY, null)!
      counts.set(endpoint, (counts.get(endpoint) ?? 0) + 1)
      // Weights mean nothing to this algorithm.
      endpoints[i % 20]!.weight = 1 + (i % 3)
      balancer.update(endpoints)
    }
    for (const count of counts.values()) assert.ok(Math.abs(count - 10) <= 1, `${count}`)
    assert.equal(counts.size, 20)
  })

  it('goes outside for a retry before it takes what failed in this exchange again', () => {
    const bench = new Bench()
    const endpoints = many(bench, 100)
    bench.topology = { ...ALONE, place: { index: 3, count: 100 } }
    const balancer = createBalancer('LeastRequest', bench, 0, { zoneAware: false, subsetSize: 2 })
    balancer.update(endpoints)
    const tried: Endpoint[] = []
    for (let i = 0; i < 20; i++) {
      const endpoint = balancer.pick(NO_KEY, tried)!
      assert.ok(!tried.includes(endpoint))
      tried.push(endpoint)
    }
  })

  it('is taken within the zone by the replicas of the zone', () => {
    const bench = new Bench()
    const endpoints = many(bench, 120).map((endpoint, i) => ({ ...endpoint, zone: i < 60 ? 'a' : 'b' }))
    const used = new Map<Endpoint, number>()
    for (let index = 0; index < 6; index++) {
      bench.topology = {
        zone: 'a',
        replicas: [
          ['a', 6],
          ['b', 6],
        ],
        place: { index: index * 2, count: 12 },
        placeInZone: { index, count: 6 },
      }
      const balancer = createBalancer('RoundRobin', bench, 0, { zoneAware: true, subsetSize: 4 })
      balancer.update(endpoints)
      const counts = tally(balancer, 1_000)
      assert.equal(counts.size, 10)
      for (const [endpoint, count] of counts) used.set(endpoint, (used.get(endpoint) ?? 0) + count)
    }
    assert.deepEqual(new Set(used.keys()), new Set(endpoints.slice(0, 60)))
    for (const count of used.values()) assert.ok(Math.abs(count - 100) <= 6, `${count}`)
  })
})
