import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { NO_KEY } from '../../src/balance/balancer.ts'
import { RoundRobin } from '../../src/balance/round-robin.ts'
import { Bench, balancerSuite, seeded, tally } from '../suite/balancer.ts'

balancerSuite('RoundRobin')

describe('round robin', () => {
  it('gives each endpoint its turn exactly once a round, weights ignored', () => {
    const bench = new Bench()
    const endpoints = bench.endpoints(1, 50, 1_000_000)
    const balancer = new RoundRobin(bench, () => 0)
    balancer.update(endpoints)
    const picks = Array.from({ length: 6 }, () => balancer.pick(NO_KEY, null)!.slot)
    assert.deepEqual(picks, [0, 1, 2, 0, 1, 2])
  })

  it('does not give the turns of a withdrawn endpoint to its neighbour alone', () => {
    const bench = new Bench()
    const balancer = new RoundRobin(bench, seeded(1))
    balancer.update(bench.endpoints(1, 1, 1, 1))
    bench.down.add(1)
    assert.deepEqual([...tally(balancer, 300).values()], [100, 100, 100])
  })

  it('continues after the last pick when endpoints come and go', () => {
    const bench = new Bench()
    const [a, b, c, d] = bench.endpoints(1, 1, 1, 1)
    const balancer = new RoundRobin(bench, () => 0)
    balancer.update([a!, b!, c!])
    assert.equal(balancer.pick(NO_KEY, null), a)
    balancer.update([d!, c!, a!])
    assert.equal(balancer.pick(NO_KEY, null), c, 'b was next but left, so it is the turn of c')
    balancer.update([d!])
    assert.equal(balancer.pick(NO_KEY, null), d)
  })

  it('begins at a random endpoint, so that workers do not all begin with the first', () => {
    const bench = new Bench()
    const endpoints = bench.endpoints(1, 1, 1, 1)
    const starts = new Set<number>()
    for (const chance of [0, 0.3, 0.6, 0.999]) {
      const balancer = new RoundRobin(bench, () => chance)
      balancer.update(endpoints)
      starts.add(balancer.pick(NO_KEY, null)!.slot)
    }
    assert.deepEqual(starts, new Set([0, 1, 2, 3]))
  })

  it('is exact over every window of whole rounds', () => {
    const counts = fc.integer({ min: 1, max: 12 })
    fc.assert(
      fc.property(counts, fc.nat(30), fc.nat(), (count, before, seed) => {
        const bench = new Bench()
        const balancer = new RoundRobin(bench, seeded(seed))
        balancer.update(bench.endpoints(...Array.from({ length: count }, () => 1)))
        for (let i = 0; i < before; i++) balancer.pick(NO_KEY, null)
        assert.deepEqual([...tally(balancer, count * 3).values()], Array(count).fill(3))
      }),
    )
  })
})
