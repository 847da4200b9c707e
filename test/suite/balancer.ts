/** What every balancer promises, run on each algorithm. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { type Balancer, type BalancerContext, NO_KEY } from '../../src/balance/balancer.ts'
import type { Algorithm } from '../../src/balance/create-balancer.ts'
import { createBalancer, type Spread } from '../../src/balance/create-balancer.ts'
import type { Endpoint, EndpointGauge } from '../../src/balance/endpoint.ts'
import { ALONE, type Topology } from '../../src/balance/topology.ts'

/** Endpoints and a gauge over them that a test sets by hand. */
export class Bench implements EndpointGauge, BalancerContext {
  readonly down = new Set<number>()
  readonly load = new Map<number, number>()
  readonly costs = new Map<number, number>()
  readonly ages = new Map<number, number>()
  readonly gauge = this
  topology: Topology = ALONE
  readonly random: () => number
  time = 0
  #slot = 0

  constructor(seed = 1) {
    this.random = seeded(seed)
  }

  endpoint(weight = 1, state: Endpoint['state'] = 'ready'): Endpoint {
    const slot = this.#slot++
    return { authority: `10.0.0.${slot}:80`, address: `10.0.0.${slot}`, port: 80, slot, weight, state }
  }

  endpoints(...weights: number[]): Endpoint[] {
    return weights.map((weight) => this.endpoint(weight))
  }

  eligible(slot: number): boolean {
    return !this.down.has(slot)
  }

  inFlight(slot: number): number {
    return this.load.get(slot) ?? 0
  }

  cost(slot: number): number {
    return this.costs.get(slot) ?? 1
  }

  age(slot: number): number {
    return this.ages.get(slot) ?? Number.POSITIVE_INFINITY
  }

  now(): number {
    return this.time
  }

  requests(): number {
    return [...this.load.values()].reduce((sum, count) => sum + count, 1)
  }
}

/** Chance that repeats: the same seed gives the same test (mulberry32). */
export function seeded(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 0x1_0000_0000
  }
}

/** How often each endpoint comes up in so many picks. */
export function tally(balancer: Balancer, picks: number): Map<Endpoint, number> {
  const counts = new Map<Endpoint, number>()
  for (let i = 0; i < picks; i++) {
    const endpoint = balancer.pick(NO_KEY, null)
    assert.ok(endpoint)
    counts.set(endpoint, (counts.get(endpoint) ?? 0) + 1)
  }
  return counts
}

/** What a suite runs on, besides the plain algorithm. */
export interface Variant {
  readonly name: string
  readonly topology: Topology
  readonly spread: Spread
}

export function balancerSuite(algorithm: Algorithm, variant?: Variant): void {
  const create = (bench: Bench): Balancer => {
    bench.topology = variant?.topology ?? ALONE
    return createBalancer(algorithm, bench, 0, variant?.spread)
  }
  const make = (bench: Bench, endpoints: readonly Endpoint[]): Balancer => {
    const balancer = create(bench)
    balancer.update(endpoints)
    return balancer
  }

  describe(`${algorithm} as a balancer${variant === undefined ? '' : `, ${variant.name}`}`, () => {
    it('picks nothing before the first update and after an empty one', () => {
      const bench = new Bench()
      const balancer = create(bench)
      assert.equal(balancer.pick(NO_KEY, null), undefined)
      balancer.update(bench.endpoints(1, 1))
      assert.ok(balancer.pick(NO_KEY, null))
      balancer.update([])
      assert.equal(balancer.pick(NO_KEY, null), undefined)
    })

    it('picks nothing when every endpoint is withdrawn', () => {
      const bench = new Bench()
      const balancer = make(bench, bench.endpoints(1, 2, 3))
      for (const slot of [0, 1, 2]) bench.down.add(slot)
      assert.equal(balancer.pick(NO_KEY, null), undefined)
      assert.equal(balancer.pick(NO_KEY, []), undefined)
    })

    it('shares the picks between equal endpoints', () => {
      const bench = new Bench()
      const counts = tally(make(bench, bench.endpoints(1, 1, 1, 1)), 4_000)
      assert.equal(counts.size, 4)
      for (const count of counts.values()) assert.ok(Math.abs(count - 1_000) < 150, `${count} of 4000`)
    })

    it('skips a withdrawn endpoint immediately, and picks it again when it returns', () => {
      const bench = new Bench()
      const endpoints = bench.endpoints(1, 1, 1)
      const balancer = make(bench, endpoints)
      bench.down.add(1)
      assert.equal(tally(balancer, 300).get(endpoints[1]!), undefined)
      bench.down.delete(1)
      assert.ok(tally(balancer, 300).get(endpoints[1]!)! > 50)
    })

    it('finds the only eligible endpoint among a thousand', () => {
      const bench = new Bench()
      const endpoints = bench.endpoints(...Array.from({ length: 1_000 }, () => 1))
      const balancer = make(bench, endpoints)
      for (const { slot } of endpoints) if (slot !== 617) bench.down.add(slot)
      for (let i = 0; i < 20; i++) assert.equal(balancer.pick(NO_KEY, null), endpoints[617])
    })

    it('sends nothing to a draining endpoint while a ready one is left', () => {
      const bench = new Bench()
      const [ready, other] = bench.endpoints(1, 1) as [Endpoint, Endpoint]
      const draining = bench.endpoint(100, 'draining')
      const balancer = make(bench, [draining, ready, other])
      assert.equal(tally(balancer, 300).get(draining), undefined)
      bench.down.add(ready.slot)
      bench.down.add(other.slot)
      assert.equal(balancer.pick(NO_KEY, null), draining)
    })

    it('observes a change to draining without an update', () => {
      const bench = new Bench()
      const endpoints = bench.endpoints(1, 1)
      const balancer = make(bench, endpoints)
      endpoints[0]!.state = 'draining'
      assert.equal(tally(balancer, 100).get(endpoints[0]!), undefined)
    })

    it('skips endpoints that failed in this exchange while another is left', () => {
      const bench = new Bench()
      const endpoints = bench.endpoints(1, 1, 1)
      const balancer = make(bench, endpoints)
      const tried: Endpoint[] = []
      for (let i = 0; i < 3; i++) {
        const endpoint = balancer.pick(NO_KEY, tried)
        assert.ok(endpoint && !tried.includes(endpoint))
        tried.push(endpoint)
      }
      assert.ok(endpoints.includes(balancer.pick(NO_KEY, tried)!), 'with all tried, one of them is tried again')
    })

    it('prefers a draining endpoint to a ready one that failed in this exchange', () => {
      const bench = new Bench()
      const ready = bench.endpoint()
      const draining = bench.endpoint(1, 'draining')
      const balancer = make(bench, [ready, draining])
      for (let i = 0; i < 20; i++) assert.equal(balancer.pick(NO_KEY, [ready]), draining)
    })

    it('never picks a removed endpoint, and picks added ones', () => {
      const bench = new Bench()
      const [a, b, c, d] = bench.endpoints(1, 1, 1, 1) as [Endpoint, Endpoint, Endpoint, Endpoint]
      const balancer = make(bench, [a, b, c])
      tally(balancer, 7)
      balancer.update([d, c])
      assert.deepEqual(new Set(tally(balancer, 200).keys()), new Set([c, d]))
    })

    it("is independent of later changes to the caller's list", () => {
      const bench = new Bench()
      const list = bench.endpoints(1, 1)
      const balancer = make(bench, list)
      list.length = 0
      assert.ok(balancer.pick(NO_KEY, null))
    })

    // Every pick of any history is the best there is: eligible, and of the best class that is left.
    it('always picks an eligible endpoint of the best class present, after any history', () => {
      const event = fc.record({
        kind: fc.constantFrom('down', 'up', 'drain', 'ready', 'weight', 'load', 'set', 'pick'),
        which: fc.nat(7),
        number: fc.integer({ min: 1, max: 1_000_000 }),
        tried: fc.array(fc.nat(7), { maxLength: 4 }),
      })
      fc.assert(
        fc.property(fc.array(event, { maxLength: 60 }), fc.nat(), (events, seed) => {
          const bench = new Bench(seed)
          const all = bench.endpoints(1, 1, 2, 3, 1, 1_000_000, 5, 1)
          let current = all.slice(0, 4)
          const balancer = make(bench, current)
          for (const { kind, which, number, tried } of events) {
            const endpoint = all[which]!
            if (kind === 'down') bench.down.add(which)
            if (kind === 'up') bench.down.delete(which)
            if (kind === 'load') bench.load.set(which, number)
            if (kind === 'drain' || kind === 'ready') endpoint.state = kind === 'drain' ? 'draining' : 'ready'
            if (kind === 'weight') endpoint.weight = number
            if (kind === 'set') current = all.filter((_, i) => ((number >> i) & 1) === 1)
            if (kind === 'set' || kind === 'weight') balancer.update(current)
            bench.time += number % 200
            checkPick(bench, balancer, current, kind === 'pick' ? tried.map((i) => all[i]!) : null)
          }
        }),
        { numRuns: 200 },
      )
    })
  })
}

function checkPick(bench: Bench, balancer: Balancer, current: readonly Endpoint[], tried: Endpoint[] | null): void {
  const usable = current.filter(({ slot }) => bench.eligible(slot))
  const rank = (endpoint: Endpoint) => (tried?.includes(endpoint) ? 2 : 0) + (endpoint.state === 'draining' ? 1 : 0)
  const picked = balancer.pick(NO_KEY, tried)
  if (usable.length === 0) {
    assert.equal(picked, undefined)
    return
  }
  assert.ok(picked && usable.includes(picked))
  assert.equal(rank(picked), Math.min(...usable.map(rank)))
}
