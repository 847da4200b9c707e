import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { describeRate, rateCode } from '../../src/balance/fault.ts'
import { findOutliers, type RequestCount } from '../../src/balance/success-rate.ts'
import { seeded } from '../suite/balancer.ts'

const BOUNDS = { belowMeanPercent: 20, minRequests: 100 }

function counts(...shares: readonly (readonly [requests: number, faults: number])[]): RequestCount[] {
  return shares.map(([requests, faults], slot) => ({ slot, requests, faults }))
}

function slots(all: readonly RequestCount[], bounds = BOUNDS): number[] {
  return findOutliers(all, bounds).map(({ slot }) => slot)
}

describe('an outlier by its success rate', () => {
  it('is an endpoint of which clearly more fails than of the others', () => {
    assert.deepEqual(slots(counts([200, 60], [200, 2], [200, 1])), [0])
    assert.deepEqual(slots(counts([200, 60], [200, 2])), [0], 'one of two')
    assert.deepEqual(findOutliers(counts([200, 60], [100, 2], [100, 4]), BOUNDS), [
      { slot: 0, share: 0.3, others: 0.03 },
    ])
  })

  it('is none where all fail alike, few requests came, or the difference does not matter', () => {
    assert.deepEqual(slots(counts([200, 100], [200, 96], [200, 104])), [])
    assert.deepEqual(slots(counts([99, 99], [500, 0])), [])
    assert.deepEqual(slots(counts([500, 500], [60, 0], [39, 0])), [], 'of the others')
    // Envoy: below the mean by more than 1.9 standard deviations.
    assert.deepEqual(slots(counts([9_000, 27], [9_000, 9], [9_000, 9], [9_000, 9], [9_000, 9], [9_000, 9])), [])
    assert.deepEqual(slots(counts([200, 200], [200, 0]), { ...BOUNDS, belowMeanPercent: 0 }), [], 'off')
    assert.deepEqual(slots([]), [])
    assert.deepEqual(slots(counts([0, 0], [0, 0])), [])
  })

  it('comes first where it is the worst', () => {
    const all = counts([200, 80], [1_000, 0], [200, 120], [1_000, 10], [200, 100])
    assert.deepEqual(slots(all), [2, 4, 0])
  })

  it('is hardly ever chance: a thousand equal endpoints, at any rate of failures', () => {
    const random = seeded(11)
    let found = 0
    for (const rate of [0.01, 0.1, 0.3, 0.5, 0.7])
      for (let window = 0; window < 4; window++) {
        const all: RequestCount[] = []
        for (let slot = 0; slot < 1_000; slot++) {
          let faults = 0
          for (let i = 0; i < 100; i++) if (random() < rate) faults++
          all.push({ slot, requests: 100, faults })
        }
        found += findOutliers(all, BOUNDS).length
      }
    assert.ok(found <= 4, `${found} of 20,000`)
  })

  it('is named with both rates', () => {
    assert.equal(
      describeRate(rateCode(0.304, 0.012)),
      '30 % of its requests failed, and 1 % of those to the other endpoints',
    )
    assert.equal(describeRate(rateCode(1, 0)), '100 % of its requests failed, and 0 % of those to the other endpoints')
    assert.equal(describeRate(503), undefined)
  })
})
