import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
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

  it('PeakEWMA sends little to a server that is ten times slower, and next to nothing to one that fails at once', () => {
    const slow = [{ parallel: 4, service: exponential(100) }, ...nine]
    const algorithm = 'PeakEWMA'
    const requests = 50_000
    assert.ok(simulate({ algorithm, servers: slow, rate: RATE, requests }).shares[0]! < 0.012)
    const failing = [{ ...WELL, failures: 1, failsAfter: 0.1 }, ...nine]
    const { failed } = simulate({ algorithm, servers: failing, rate: RATE, requests })
    assert.ok(failed < 0.005, `${failed}`)
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
