import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { NO_KEY } from '../../src/balance/balancer.ts'
import { createBalancer } from '../../src/balance/create-balancer.ts'
import { WeightedRandom } from '../../src/balance/weighted-random.ts'
import { Bench, balancerSuite, seeded, tally } from '../suite/balancer.ts'

balancerSuite('Random')

describe('random', () => {
  it('follows the weights, and their change', () => {
    const bench = new Bench()
    const endpoints = bench.endpoints(1, 2, 7)
    const balancer = new WeightedRandom(bench, seeded(5))
    balancer.update(endpoints)
    const before = tally(balancer, 10_000)
    for (const endpoint of endpoints) assert.ok(Math.abs(before.get(endpoint)! - endpoint.weight * 1_000) < 150)
    endpoints[2]!.weight = 1
    balancer.update(endpoints)
    assert.ok(Math.abs(tally(balancer, 8_000).get(endpoints[1]!)! - 4_000) < 150)
  })

  it('follows the weights also among few eligible endpoints', () => {
    const bench = new Bench()
    const endpoints = bench.endpoints(1_000, 1_000, 1, 3)
    const balancer = new WeightedRandom(bench, seeded(5))
    balancer.update(endpoints)
    bench.down.add(0)
    bench.down.add(1)
    assert.ok(Math.abs(tally(balancer, 4_000).get(endpoints[3]!)! - 3_000) < 120)
  })

  it('reaches the first and the last endpoint at the limits of the random range', () => {
    const bench = new Bench()
    const endpoints = bench.endpoints(1, 1, 1)
    const ends = [0, 1 - 2 ** -53].map((chance) => {
      const balancer = new WeightedRandom(bench, () => chance)
      balancer.update(endpoints)
      return balancer.pick(NO_KEY, null)
    })
    assert.deepEqual(ends, [endpoints[0], endpoints[2]])
  })
})

describe('createBalancer', () => {
  it('rejects an unknown algorithm', () => {
    assert.throws(() => createBalancer('Fastest' as 'Random', new Bench()), TypeError)
  })
})
