import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { NO_KEY } from '../../src/balance/balancer.ts'
import type { Endpoint } from '../../src/balance/endpoint.ts'
import { WeightedRoundRobin } from '../../src/balance/weighted-round-robin.ts'
import { Bench, balancerSuite, seeded, tally } from '../suite/balancer.ts'

balancerSuite('WeightedRoundRobin')

const weights = fc.array(fc.integer({ min: 1, max: 20 }), { minLength: 1, maxLength: 8 })

function start(bench: Bench, endpoints: readonly Endpoint[], seed?: number): WeightedRoundRobin {
  const balancer = new WeightedRoundRobin(bench, seed === undefined ? () => 0 : seeded(seed))
  balancer.update(endpoints)
  return balancer
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((a, b) => a + b, 0)
}

describe('weighted round robin', () => {
  it('takes turns in the order of nginx: 5, 1, 1 is a a b a c a a', () => {
    const bench = new Bench()
    const balancer = start(bench, bench.endpoints(5, 1, 1))
    const picks = Array.from({ length: 7 }, () => 'abc'.charAt(balancer.pick(NO_KEY, null)!.slot))
    assert.equal(picks.join(''), 'aabacaa')
  })

  it('gives each endpoint exactly its weight in any window as long as the sum of the weights', () => {
    fc.assert(
      fc.property(weights, fc.nat(100), fc.nat(), (weights, before, seed) => {
        const bench = new Bench()
        const endpoints = bench.endpoints(...weights)
        const balancer = start(bench, endpoints, seed)
        for (let i = 0; i < before; i++) balancer.pick(NO_KEY, null)
        const counts = tally(balancer, sum(weights))
        for (const endpoint of endpoints) assert.equal(counts.get(endpoint), endpoint.weight)
      }),
    )
  })

  it('is never more than one round of the others away from the exact share', () => {
    fc.assert(
      fc.property(weights, (weights) => {
        const bench = new Bench()
        const balancer = start(bench, bench.endpoints(...weights))
        const counts = weights.map(() => 0)
        for (let turn = 1; turn <= sum(weights); turn++) {
          counts[balancer.pick(NO_KEY, null)!.slot]! += 1
          for (const [i, weight] of weights.entries())
            assert.ok(Math.abs(counts[i]! - (turn * weight) / sum(weights)) < weights.length)
        }
      }),
    )
  })

  it('is exact again in the next round but one after weights changed, and within one pick before', () => {
    fc.assert(
      fc.property(
        weights,
        fc.infiniteStream(fc.integer({ min: 1, max: 20 })),
        fc.nat(100),
        (weights, others, before) => {
          const bench = new Bench()
          const endpoints = bench.endpoints(...weights)
          const balancer = start(bench, endpoints)
          for (let i = 0; i < before; i++) balancer.pick(NO_KEY, null)
          for (const endpoint of endpoints) endpoint.weight = others.next().value
          balancer.update(endpoints)
          const round = sum(endpoints.map(({ weight }) => weight))
          const first = tally(balancer, round)
          for (const endpoint of endpoints)
            assert.ok(Math.abs((first.get(endpoint) ?? 0) - endpoint.weight) <= endpoints.length)
          for (let i = 0; i < endpoints.length; i++) tally(balancer, round)
          const later = tally(balancer, round)
          for (const endpoint of endpoints) assert.equal(later.get(endpoint), endpoint.weight)
        },
      ),
    )
  })

  it('gives no entry a million turns in a row after weights of a million became weights of one', () => {
    const bench = new Bench()
    const endpoints = bench.endpoints(1_000_000, 1, 1)
    const balancer = start(bench, endpoints)
    for (let i = 0; i < 400_000; i++) balancer.pick(NO_KEY, null)
    for (const endpoint of endpoints) endpoint.weight = 1
    balancer.update(endpoints)
    for (const count of tally(balancer, 30).values()) assert.ok(count >= 8 && count <= 12, `${count} of 30`)
  })

  it('does not starve an endpoint after the heaviest one was withdrawn', () => {
    const bench = new Bench()
    const endpoints = bench.endpoints(1_000_000, 1, 1)
    const balancer = start(bench, endpoints)
    for (let i = 0; i < 700_000; i++) balancer.pick(NO_KEY, null)
    bench.down.add(0)
    assert.ok(tally(balancer, 20).get(endpoints[1]!)! >= 8)
    assert.ok(tally(balancer, 20).get(endpoints[2]!)! >= 8)
    bench.down.delete(0)
    assert.ok(tally(balancer, 1_000).get(endpoints[0]!)! >= 997)
  })

  it('neither prefers nor skips an endpoint that is added later', () => {
    const bench = new Bench()
    const endpoints = bench.endpoints(1, 1)
    const balancer = start(bench, endpoints)
    balancer.pick(NO_KEY, null)
    const late = bench.endpoint()
    balancer.update([...endpoints, late])
    const count = tally(balancer, 30).get(late)!
    assert.ok(count >= 9 && count <= 11, `${count} of 30`)
  })

  it('keeps exact shares while another endpoint is down', () => {
    const bench = new Bench()
    const endpoints = bench.endpoints(3, 2, 7)
    const balancer = start(bench, endpoints)
    bench.down.add(2)
    const counts = tally(balancer, 500)
    assert.deepEqual([counts.get(endpoints[0]!), counts.get(endpoints[1]!)], [300, 200])
  })

  it('is as exact with hundreds of endpoints, and after a change of them', () => {
    const bench = new Bench()
    const endpoints = bench.endpoints(...Array.from({ length: 300 }, (_, i) => 1 + (i % 7)))
    const balancer = start(bench, endpoints, 5)
    const round = sum(endpoints.map(({ weight }) => weight))
    const check = (present: readonly Endpoint[], rounds: number) => {
      const counts = tally(balancer, rounds * sum(present.map(({ weight }) => weight)))
      assert.equal(counts.size, present.length)
      for (const endpoint of present)
        assert.ok(Math.abs(counts.get(endpoint)! - rounds * endpoint.weight) <= 1, `${counts.get(endpoint)}`)
    }
    check(endpoints, 3)
    tally(balancer, Math.floor(round / 3))
    const fewer = endpoints.slice(40)
    fewer[0]!.weight = 9
    balancer.update(fewer)
    check(fewer, 2)
    balancer.update(fewer.slice(0, 50))
    assert.equal(tally(balancer, 500).size, 50)
  })

  it('passes hundreds of endpoints that are withdrawn without giving their turns to one neighbour', () => {
    const bench = new Bench()
    const endpoints = bench.endpoints(...Array.from({ length: 200 }, () => 1))
    const balancer = start(bench, endpoints, 5)
    for (const { slot } of endpoints.slice(0, 100)) bench.down.add(slot)
    for (const count of tally(balancer, 1_000).values()) assert.ok(Math.abs(count - 10) <= 1, `${count}`)
  })
})
