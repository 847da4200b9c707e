import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { meanTime, quantileOfTime, shareThatWaits } from '../../bench/lib/queueing.ts'
import { ballsInBins, exponential, type ServerModel, simulate } from '../../bench/lib/simulation.ts'

const WELL: ServerModel = { parallel: 4, service: exponential(10) }
const nine = Array.from({ length: 9 }, () => WELL)
/** Of nine servers, 70 % busy. */
const RATE = 2.52

describe('the simulation of balancing', () => {
  it('agrees with the literature: balls into bins, and the supermarket model', () => {
    const one = ballsInBins('Random', 2_000)
    const two = ballsInBins('LeastRequest', 2_000)
    assert.ok(one >= 5 && one <= 9, `${one}`)
    assert.ok(two >= 2 && two <= 4, `${two}`)
    const servers = Array.from({ length: 50 }, () => ({ parallel: 1, service: exponential(1) }))
    const { mean } = simulate({ algorithm: 'LeastRequest', servers, rate: 35, requests: 60_000 })
    // The sum of λ^(2^i − 2) at λ = 0.7 for infinitely many servers.
    const expected = 1 + 0.7 ** 2 + 0.7 ** 6 + 0.7 ** 14
    assert.ok(Math.abs(mean / expected - 1) < 0.06, `${mean}, not ${expected}`)
  })

  it('agrees with Erlang: Random splits a Poisson process into queues that know nothing of each other', () => {
    const servers = Array.from({ length: 10 }, () => WELL)
    const { mean, p50, p99 } = simulate({ algorithm: 'Random', servers, rate: 2.8, requests: 200_000 })
    const queue = { parallel: 4, mean: 10, rate: 0.28 }
    for (const [measured, expected] of [
      [mean, meanTime(queue)],
      [p50, quantileOfTime(queue, 0.5)],
      [p99, quantileOfTime(queue, 0.99)],
    ] as const)
      assert.ok(Math.abs(measured / expected - 1) < 0.05, `${measured}, not ${expected}`)
  })

  it('knows the queues of textbooks', () => {
    const near = (value: number, expected: number): void => assert.ok(Math.abs(value - expected) < 1e-6, `${value}`)
    // M/M/1: all that find it busy wait, and times are exponential with mean 1 / (μ − λ).
    const single = { parallel: 1, mean: 1, rate: 0.9 }
    near(shareThatWaits(single), 0.9)
    near(meanTime(single), 10)
    near(quantileOfTime(single, 0.99), 10 * Math.log(100))
    // M/M/2: C = 2 ρ² / (1 + ρ), and the mean is (1 / μ) / (1 − ρ²).
    const pair = { parallel: 2, mean: 1, rate: 1.5 }
    near(shareThatWaits(pair), (2 * 0.75 ** 2) / 1.75)
    near(meanTime(pair), 1 / (1 - 0.75 ** 2))
    // Where work and waiting are equally long, the sum of both is an Erlang distribution.
    const equal = { parallel: 2, mean: 1, rate: 1 }
    const time = quantileOfTime(equal, 0.9)
    near(Math.exp(-time) * (1 + shareThatWaits(equal) * time), 0.1)
  })

  it('PeakEWMA sends little to a server that is ten times slower, and next to nothing to one that fails at once', () => {
    const slow = [{ parallel: 4, service: exponential(100) }, ...nine]
    const algorithm = 'PeakEWMA'
    const requests = 50_000
    assert.ok(simulate({ algorithm, servers: slow, rate: RATE, requests }).shares[0]! < 0.012)
    const failing = [{ ...WELL, failures: 1, failsAfter: 0.1 }, ...nine]
    const { failed } = simulate({ algorithm, servers: failing, rate: RATE, requests })
    assert.ok(failed < 0.005, `${failed}`)
  })

  for (const algorithm of ['RoundRobin', 'Random', 'LeastRequest', 'PeakEWMA'] as const)
    it(`a server that fails at once attracts nothing once it is ejected: ${algorithm}`, () => {
      const servers = [{ ...WELL, failures: 1, failsAfter: 0.1 }, ...nine]
      const requests = 100_000
      const { failed, shares } = simulate({ algorithm, servers, rate: RATE, requests, ejection: true })
      // Five failures, and a trial after 30 s: 40 s are simulated.
      assert.ok(failed * requests <= 8 && failed > 0, `${failed * requests} requests failed`)
      assert.ok(shares[0]! * requests <= 8)
    })

  for (const algorithm of [
    'RoundRobin',
    'WeightedRoundRobin',
    'Random',
    'LeastRequest',
    'PeakEWMA',
    'ConsistentHash',
  ] as const)
    it(`${algorithm} starves no equal server`, () => {
      const servers = Array.from({ length: 10 }, () => WELL)
      const { shares } = simulate({ algorithm, servers, rate: 2.8, requests: 20_000 })
      for (const share of shares) assert.ok(share > 0.07 && share < 0.13, `${share}`)
    })
})
