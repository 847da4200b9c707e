import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { NO_KEY } from '../../src/balance/balancer.ts'
import { LeastRequest } from '../../src/balance/least-request.ts'
import { Bench, balancerSuite, seeded, tally } from '../suite/balancer.ts'

balancerSuite('LeastRequest')

describe('least request', () => {
  it('of two, always picks the one with fewer requests in flight', () => {
    const bench = new Bench()
    const [idle, busy] = bench.endpoints(1, 1)
    const balancer = new LeastRequest(bench, seeded(3))
    balancer.update([busy!, idle!])
    bench.load.set(busy!.slot, 1)
    assert.equal(tally(balancer, 200).get(idle!), 200)
  })

  it('never picks the busiest of many', () => {
    const bench = new Bench()
    const endpoints = bench.endpoints(1, 1, 1, 1, 1)
    for (const { slot } of endpoints) bench.load.set(slot, slot)
    const balancer = new LeastRequest(bench, seeded(3))
    balancer.update(endpoints)
    assert.equal(tally(balancer, 1_000).get(endpoints[4]!), undefined)
  })

  it('counts requests in flight against the weight', () => {
    const bench = new Bench()
    const [light, heavy] = bench.endpoints(1, 10)
    const balancer = new LeastRequest(bench, seeded(3))
    balancer.update([light!, heavy!])
    bench.load.set(light!.slot, 1)
    bench.load.set(heavy!.slot, 9)
    assert.equal(balancer.pick(NO_KEY, null), heavy)
    bench.load.set(heavy!.slot, 11)
    assert.equal(balancer.pick(NO_KEY, null), light)
  })

  it('shares an idle backend by weight', () => {
    const bench = new Bench()
    const [light, heavy] = bench.endpoints(1, 3)
    const balancer = new LeastRequest(bench, seeded(3))
    balancer.update([light!, heavy!])
    const share = tally(balancer, 8_000).get(heavy!)! / 8_000
    assert.ok(Math.abs(share - 0.75) < 0.02, `${share}`)
  })

  it('keeps queues short under long requests: no endpoint has more than a few above the mean', () => {
    const bench = new Bench()
    const endpoints = bench.endpoints(...Array.from({ length: 50 }, () => 1))
    const balancer = new LeastRequest(bench, seeded(3))
    balancer.update(endpoints)
    for (let i = 0; i < 1_000; i++) {
      const { slot } = balancer.pick(NO_KEY, null)!
      bench.load.set(slot, bench.inFlight(slot) + 1)
    }
    // The mean is 20. Picking blindly gives a maximum around 32; two choices stay within log log n of the mean.
    assert.ok(Math.max(...bench.load.values()) <= 23)
  })
})
