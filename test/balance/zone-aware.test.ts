import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { NO_KEY } from '../../src/balance/balancer.ts'
import { type Algorithm, createBalancer } from '../../src/balance/create-balancer.ts'
import type { Endpoint } from '../../src/balance/endpoint.ts'
import { ALONE, type Topology } from '../../src/balance/topology.ts'
import { hashKey } from '../../src/lib/hash.ts'
import { EndpointTable, SLOT_STATE } from '../../src/shared-memory/endpoint-table.ts'
import { Bench, balancerSuite, tally } from '../suite/balancer.ts'

const ALGORITHMS = ['RoundRobin', 'WeightedRoundRobin', 'LeastRequest', 'PeakEWMA', 'Random', 'ConsistentHash'] as const
const AWARE = { zoneAware: true, subsetSize: 0 }

/** A gateway in zone `a` of three with a replica each. */
const THIRD: Topology = {
  ...ALONE,
  zone: 'a',
  replicas: [
    ['a', 1],
    ['b', 1],
    ['c', 1],
  ],
}

for (const algorithm of ALGORITHMS)
  balancerSuite(algorithm, {
    name: 'all in its zone',
    topology: { ...ALONE, replicas: [['', 1]] },
    spread: AWARE,
  })

/** So many endpoints in each zone. */
function inZones(bench: Bench, counts: Readonly<Record<string, number>>): Endpoint[] {
  return Object.entries(counts).flatMap(([zone, count]) =>
    Array.from({ length: count }, () => ({ ...bench.endpoint(), ...(zone !== '' && { zone }) })),
  )
}

/** Shares of the zones in so many picks of a gateway. */
function sharesOf(
  bench: Bench,
  endpoints: readonly Endpoint[],
  topology: Topology,
  algorithm: Algorithm = 'LeastRequest',
): Map<string, number> {
  bench.topology = topology
  const balancer = createBalancer(algorithm, bench, 0, AWARE)
  balancer.update(endpoints)
  const shares = new Map<string, number>()
  for (const [{ zone = '' }, count] of tally(balancer, 20_000))
    shares.set(zone, (shares.get(zone) ?? 0) + count / 20_000)
  return shares
}

function assertNear(actual: number | undefined, expected: number, what = ''): void {
  assert.ok(Math.abs((actual ?? 0) - expected) < 0.02, `${what} ${actual}, not ${expected}`)
}

describe('zone awareness', () => {
  for (const algorithm of ALGORITHMS) {
    it(`stays in its zone where that has enough under ${algorithm}`, () => {
      const bench = new Bench()
      const shares = sharesOf(bench, inZones(bench, { a: 3, b: 2, c: 3 }), THIRD, algorithm)
      assert.deepEqual([...shares.keys()], ['a'])
    })

    it(`sends what its zone cannot bear to those that have room under ${algorithm}`, () => {
      const bench = new Bench()
      const shares = sharesOf(bench, inZones(bench, { a: 1, b: 4, c: 7 }), THIRD, algorithm)
      // A twelfth of the endpoints and a third of the clients: a quarter stays. Only c has more than its third.
      assertNear(shares.get('a'), 0.25)
      assertNear(shares.get('c'), 0.75)
      assert.equal(shares.get('b'), undefined)
    })
  }

  // The property that matters: whatever the zones are, no endpoint gets more of all replicas together than without.
  it('gives every endpoint its even share of all replicas together, however they and the endpoints are spread', () => {
    const zones = ['', 'a', 'b', 'c', 'd']
    const counts = fc.array(fc.nat(6), { minLength: 5, maxLength: 5 })
    fc.assert(
      fc.property(counts, counts, fc.nat(), (replicas, endpoints, seed) => {
        const total = endpoints.reduce((sum, count) => sum + count, 0)
        const gateways = replicas.reduce((sum, count) => sum + count, 0)
        if (total === 0 || gateways === 0) return
        const topology = zones.flatMap((zone, i) => (replicas[i]! > 0 ? [[zone, replicas[i]!] as const] : []))
        const load = new Map<string, number>()
        for (const [zone, count] of topology) {
          const bench = new Bench(seed)
          const all = inZones(bench, Object.fromEntries(zones.map((name, i) => [name, endpoints[i]!])))
          const here = { ...ALONE, ...(zone !== '' && { zone }), replicas: topology }
          for (const [name, share] of sharesOf(bench, all, here, 'Random'))
            load.set(name, (load.get(name) ?? 0) + (share * count) / gateways)
        }
        for (const [i, zone] of zones.entries())
          assertNear(load.get(zone), endpoints[i]! / total, `zone "${zone}" of ${endpoints} by ${replicas}:`)
      }),
      { numRuns: 40 },
    )
  })

  it('takes no account of weights with RoundRobin, and of weights with the others', () => {
    const topology: Topology = {
      ...THIRD,
      replicas: [
        ['a', 1],
        ['b', 1],
      ],
    }
    for (const [algorithm, expected] of [
      ['RoundRobin', 1],
      ['Random', 0.5],
    ] as const) {
      const bench = new Bench()
      const endpoints = inZones(bench, { a: 1, b: 1 })
      endpoints[1]!.weight = 3
      assertNear(sharesOf(bench, endpoints, topology, algorithm).get('a'), expected, algorithm)
    }
  })

  it('counts every zone that has endpoints alike where nobody knows the replicas', () => {
    const bench = new Bench()
    const shares = sharesOf(bench, inZones(bench, { a: 1, b: 3 }), { ...ALONE, zone: 'a' })
    assertNear(shares.get('a'), 0.5)
    // Clients of zone x are as many as of the others; it has no endpoint.
    const other = sharesOf(bench, inZones(bench, { a: 2, b: 2 }), { ...ALONE, zone: 'x' })
    assertNear(other.get('a'), 0.5)
  })

  it('prefers nothing where no zone is known', () => {
    const bench = new Bench()
    const shares = sharesOf(bench, inZones(bench, { a: 1, b: 3, '': 4 }), ALONE)
    assertNear(shares.get('a'), 1 / 8)
    assertNear(shares.get(''), 1 / 2)
  })

  it('goes by the hints of endpoints before their zones', () => {
    const bench = new Bench()
    const [one, two, three] = inZones(bench, { a: 2, b: 1 }) as [Endpoint, Endpoint, Endpoint]
    const hinted = [
      { ...one, serves: 'b' },
      { ...two, serves: 'c,d' },
      { ...three, serves: 'd,a' },
    ]
    bench.topology = THIRD
    const balancer = createBalancer('RoundRobin', bench, 0, AWARE)
    balancer.update(hinted)
    assert.deepEqual([...tally(balancer, 50).keys()], [hinted[2]])
  })

  it('leaves its zone as far as it is short, within 0.1 s, and at once where nothing is left of it', () => {
    const bench = new Bench()
    const endpoints = inZones(bench, { a: 4, b: 4, c: 4 })
    bench.topology = THIRD
    const balancer = createBalancer('RoundRobin', bench, 0, AWARE)
    balancer.update(endpoints)
    const local = () => {
      let count = 0
      for (const [{ zone }, picks] of tally(balancer, 10_000)) if (zone === 'a') count += picks
      return count / 10_000
    }
    assert.equal(local(), 1)
    for (const { slot } of endpoints.slice(0, 4)) bench.down.add(slot)
    assert.equal(local(), 0)
    bench.down.delete(0)
    bench.time += 100
    // 1 of 9 endpoints, a third of the clients.
    assertNear(local(), 1 / 3)
    bench.down.clear()
    bench.time += 100
    assert.equal(local(), 1)
  })

  it('takes an endpoint at its adaptive limit for one that is not there', () => {
    const table = new EndpointTable(EndpointTable.allocate(1, 16))
    const bench = new Bench()
    const endpoints = inZones(bench, { a: 2, b: 2 })
    for (const { slot } of endpoints) table.enlist(slot)
    const context = {
      gauge: table,
      random: bench.random,
      topology: { ...ALONE, zone: 'a' },
      now: () => bench.time,
      requests: () => 1,
    }
    const balancer = createBalancer('LeastRequest', context, 0, AWARE)
    balancer.update(endpoints)
    const local = () => {
      let count = 0
      for (const [{ zone }, picks] of tally(balancer, 10_000)) if (zone === 'a') count += picks
      return count / 10_000
    }
    assert.equal(local(), 1)
    table.mark(endpoints[0]!.slot, SLOT_STATE.full, true)
    bench.time += 100
    // A third of what has room, a half of the clients.
    assertNear(local(), 2 / 3)
  })

  it('goes to another zone before an endpoint that drains or failed in this exchange', () => {
    const bench = new Bench()
    const [one, two, three] = inZones(bench, { a: 2, b: 1 }) as [Endpoint, Endpoint, Endpoint]
    one.state = 'draining'
    bench.topology = THIRD
    const balancer = createBalancer('LeastRequest', bench, 0, AWARE)
    balancer.update([one, two, three])
    for (let i = 0; i < 50; i++) assert.equal(balancer.pick(NO_KEY, [two]), three)
    assert.equal(balancer.pick(NO_KEY, [two, three]), one)
  })

  it('follows a change of its own zone and of the replicas with the next pick', () => {
    const bench = new Bench()
    const endpoints = inZones(bench, { a: 2, b: 2 })
    bench.topology = { ...ALONE, zone: 'a' }
    const balancer = createBalancer('RoundRobin', bench, 0, AWARE)
    balancer.update(endpoints)
    assert.deepEqual(new Set(tally(balancer, 40).keys()), new Set(endpoints.slice(0, 2)))
    bench.topology = { ...ALONE, zone: 'b' }
    assert.deepEqual(new Set(tally(balancer, 40).keys()), new Set(endpoints.slice(2)))
    bench.topology = { ...ALONE, zone: 'b', replicas: [['b', 5]] }
    assert.equal(tally(balancer, 400).size, 4)
  })

  it('keeps a key in its zone and at its endpoint for as long as shares stay', () => {
    const bench = new Bench()
    bench.requests = () => Number.POSITIVE_INFINITY
    const endpoints = inZones(bench, { a: 2, b: 10 })
    bench.topology = { ...ALONE, zone: 'a' }
    const make = (all: readonly Endpoint[]) => {
      const balancer = createBalancer('ConsistentHash', bench, 0, AWARE)
      balancer.update(all)
      return balancer
    }
    const [one, other] = [make(endpoints), make([...endpoints].reverse())]
    const zones = new Set<string | undefined>()
    for (let i = 0; i < 1_000; i++) {
      const endpoint = one.pick(hashKey(`u${i}`), null)
      assert.equal(endpoint, other.pick(hashKey(`u${i}`), null))
      zones.add(endpoint?.zone)
    }
    assert.deepEqual([...zones].sort(), ['a', 'b'])
  })

  it('is bounded where every endpoint names a zone of its own, and still prefers ours', () => {
    const bench = new Bench()
    const endpoints = Array.from({ length: 2_000 }, (_, i) => ({ ...bench.endpoint(), zone: `z${i}` }))
    bench.topology = { ...ALONE, zone: 'z7' }
    const balancer = createBalancer('LeastRequest', bench, 0, AWARE)
    balancer.update(endpoints)
    const counts = tally(balancer, 20_000)
    assertNear((counts.get(endpoints[7]!) ?? 0) / 20_000, 1)
    bench.topology = { ...ALONE, zone: 'z7', replicas: [['z7', 1]] }
    assert.ok(tally(balancer, 20_000).size > 1_900)
  })
})
