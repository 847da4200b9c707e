import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { NO_KEY } from '../../src/balance/balancer.ts'
import { PeakEwma } from '../../src/balance/peak-ewma.ts'
import { DECAY, EndpointLatency, FAILURE_PRICE } from '../../src/shared-memory/endpoint-latency.ts'
import { Bench, balancerSuite, tally } from '../suite/balancer.ts'

balancerSuite('PeakEWMA')

describe('peak EWMA', () => {
  it('of two, picks the one whose requests are expected to end sooner', () => {
    const bench = new Bench()
    const [quick, slow] = bench.endpoints(1, 1)
    bench.costs.set(quick!.slot, 5)
    bench.costs.set(slow!.slot, 50)
    const balancer = new PeakEwma(bench)
    balancer.update([quick!, slow!])
    assert.equal(tally(balancer, 200).get(quick!), 200)
    // 5 ms times 12 requests is more than 50 ms times one.
    bench.load.set(quick!.slot, 11)
    assert.equal(balancer.pick(NO_KEY, null), slow)
  })

  it('gives an endpoint of which nothing is known one request, and no other before that is answered', () => {
    const bench = new Bench()
    const endpoints = bench.endpoints(1, 1)
    const [known, fresh] = endpoints
    bench.costs.set(fresh!.slot, 0)
    const balancer = new PeakEwma(bench)
    balancer.update(endpoints)
    assert.equal(balancer.pick(NO_KEY, null), fresh)
    bench.load.set(fresh!.slot, 1)
    bench.load.set(known!.slot, 1_000)
    assert.equal(tally(balancer, 200).get(known!), 200)
  })
})

describe('latency of an endpoint', () => {
  const make = () => new EndpointLatency(EndpointLatency.allocate(4))
  const near = (value: number, expected: number) =>
    assert.ok(Math.abs(value - expected) <= expected * 0.001 + 1e-6, `${value}, not ${expected}`)

  it('is unknown at first, and then what was measured', () => {
    const latency = make()
    assert.equal(latency.cost(1, 0), 0)
    latency.observe(1, 20, false, 1_000)
    near(latency.cost(1, 1_000), 20)
    assert.equal(latency.cost(2, 1_000), 0)
  })

  it('peaks at once and decays slowly', () => {
    const latency = make()
    latency.observe(0, 20, false, 0)
    latency.observe(0, 200, false, 10)
    near(latency.cost(0, 10), 200)
    latency.observe(0, 20, false, 10 + DECAY)
    near(latency.cost(0, 10 + DECAY), 200 / Math.E + 20 * (1 - 1 / Math.E))
  })

  it('goes towards zero while nothing is observed', () => {
    const latency = make()
    latency.observe(0, 100, false, 0)
    near(latency.cost(0, DECAY), 100 / Math.E)
    assert.ok(latency.cost(0, 10 * DECAY) < 0.01)
  })

  it('comes down under ten thousand requests a second, each of which weighs little', () => {
    const latency = make()
    latency.observe(0, 1, false, 0)
    for (let i = 1; i <= 400_000; i++) latency.observe(0, 0.5, false, i / 10)
    near(latency.cost(0, 40_000), 0.5 + 0.5 * Math.exp(-40_000 / DECAY))
  })

  it('is not low where requests fail quickly', () => {
    const latency = make()
    for (let i = 0; i < 5; i++) latency.observe(0, 0.1, true, i)
    assert.ok(latency.cost(0, 5) > FAILURE_PRICE / 4, `${latency.cost(0, 5)}`)
    for (let i = 0; i < 1_000; i++) latency.observe(0, 0.1, true, i)
    assert.ok(latency.cost(0, 1_000) > 10 * FAILURE_PRICE)
  })

  it('is bounded where all fail, and recovers', () => {
    const latency = make()
    for (let i = 0; i < 10_000; i++) latency.observe(0, 1, true, i)
    assert.ok(latency.cost(0, 10_000) <= 50 * FAILURE_PRICE + 1)
    for (let i = 0; i < 100; i++) latency.observe(0, 5, false, 10_000 + i)
    assert.ok(latency.cost(0, 10_100) < 10, `${latency.cost(0, 10_100)}`)
  })

  it('is not harmed by a clock that wraps or steps back', () => {
    const latency = make()
    latency.observe(0, 10, false, 2 ** 31 - 5)
    latency.observe(0, 10, false, 2 ** 31 + 5)
    near(latency.cost(0, 2 ** 31 + 5), 10)
    latency.observe(0, 10, false, 2 ** 31)
    near(latency.cost(0, 2 ** 31 - 1_000), 10)
  })

  it('decays and grows old for as long as the machine is up', () => {
    const start = 2 ** 31 - 5
    for (const days of [1, 24, 25, 30, 49, 50, 60, 365]) {
      const later = start + days * 86_400_000
      const latency = make()
      latency.began(0, start)
      latency.observe(0, 30_000, true, start)
      assert.ok(latency.cost(0, later) < 1, `${latency.cost(0, later)} after ${days} days`)
      latency.observe(0, 5, false, later)
      near(latency.latency(0), 5)
      assert.equal(latency.age(0, later), days * 86_400_000)
    }
  })

  it('is forgotten with the slot', () => {
    const latency = make()
    latency.observe(0, 10, true, 5)
    latency.began(0, 5)
    latency.clear(0)
    assert.equal(latency.cost(0, 5), 0)
    assert.equal(latency.age(0, 5), Number.POSITIVE_INFINITY)
  })
})
