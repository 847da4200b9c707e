import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import type { SplitRef } from '../../src/balance/split.ts'
import { WeightedSplits } from '../../src/balance/weighted-split.ts'
import { seeded } from '../suite/balancer.ts'

function refs(...weights: number[]): SplitRef[] {
  return weights.map((weight, i) => ({ identity: i, weight }))
}

function counts(splits: WeightedSplits, rule: string, parts: readonly SplitRef[], picks: number): number[] {
  const counts = parts.map(() => 0)
  for (let i = 0; i < picks; i++) counts[splits.turn({ key: rule, backends: parts })]! += 1
  return counts
}

describe('a weighted split', () => {
  it('gives 90 of 100 requests to weight 90 and 10 to weight 10, never two of the small part in a row', () => {
    const splits = new WeightedSplits(seeded(1))
    const parts = refs(90, 10)
    const picks = Array.from({ length: 100 }, () => splits.turn({ key: 'shop/a/r', backends: parts }))
    assert.equal(picks.filter((part) => part === 1).length, 10)
    assert.ok(!picks.join('').includes('11'))
  })

  it('gives nothing to weight 0, also when it is the only one or all are 0', () => {
    const splits = new WeightedSplits(seeded(1))
    assert.deepEqual(counts(splits, 'a', refs(0, 1, 0), 50), [0, 50, 0])
    assert.equal(splits.turn({ key: 'b', backends: refs(0) }), -1)
    assert.equal(splits.turn({ key: 'c', backends: refs(0, 0) }), -1)
    assert.equal(splits.turn({ key: 'd', backends: [] }), -1)
  })

  it('is exact for any weights over any window as long as their sum', () => {
    const weights = fc.array(fc.integer({ min: 0, max: 30 }), { minLength: 2, maxLength: 6 })
    fc.assert(
      fc.property(weights, fc.nat(100), fc.nat(), (weights, before, seed) => {
        const sum = weights.reduce((a, b) => a + b, 0)
        fc.pre(sum > 0)
        const splits = new WeightedSplits(seeded(seed))
        const parts = refs(...weights)
        counts(splits, 'r', parts, before)
        assert.deepEqual(counts(splits, 'r', parts, sum), weights)
      }),
    )
  })

  it('is exact with weights of a million', () => {
    const splits = new WeightedSplits(seeded(1))
    assert.deepEqual(counts(splits, 'r', refs(1_000_000, 999_999, 1), 2_000_000), [1_000_000, 999_999, 1])
  })

  it('continues its rotation when the table changes and the rule is a new object', () => {
    const parts = () => refs(3, 1)
    const steady = new WeightedSplits(() => 0)
    const reloaded = new WeightedSplits(() => 0)
    const same = parts()
    const expected = Array.from({ length: 40 }, () => steady.turn({ key: 'r', backends: same }))
    assert.deepEqual(
      Array.from({ length: 40 }, () => reloaded.turn({ key: 'r', backends: parts() })),
      expected,
    )
  })

  it('keeps the credit of a Backend whose index changes', () => {
    const splits = new WeightedSplits(() => 0)
    const [a, b] = refs(1, 1) as [SplitRef, SplitRef]
    assert.equal(splits.turn({ key: 'r', backends: [a, b] }), 0)
    assert.equal(splits.turn({ key: 'r', backends: [b, a] }), 0, 'it is the turn of b, which stands first now')
  })

  it('gives a canary its new share immediately when its weight goes from 1 to 50 per cent', () => {
    const splits = new WeightedSplits(() => 0)
    counts(splits, 'r', refs(990_000, 10_000), 30)
    const [, canary] = counts(splits, 'r', refs(50, 50), 20)
    assert.ok(canary! >= 9 && canary! <= 11)
  })

  it('keeps two references to one Backend apart', () => {
    const splits = new WeightedSplits(() => 0)
    const parts = () => [
      { identity: 0, weight: 1 },
      { identity: 0, weight: 3 },
    ]
    const picks = Array.from({ length: 8 }, () => splits.turn({ key: 'r', backends: parts() }))
    assert.equal(picks.filter((part) => part === 1).length, 6)
  })

  it('keeps rules apart, and evicts the least recently used one beyond its capacity', () => {
    const splits = new WeightedSplits(() => 0, 2)
    const parts = refs(1, 1)
    assert.deepEqual(
      [
        splits.turn({ key: 'a', backends: parts }),
        splits.turn({ key: 'b', backends: parts }),
        splits.turn({ key: 'a', backends: parts }),
      ],
      [0, 0, 1],
    )
    splits.turn({ key: 'c', backends: parts })
    assert.equal(splits.size, 2)
    assert.equal(splits.turn({ key: 'a', backends: parts }), 0, 'a goes on where it stood: its third turn')
    assert.equal(splits.turn({ key: 'b', backends: parts }), 0, 'b was forgotten and begins anew')
  })

  it('keeps no state for rules with a single Backend', () => {
    const splits = new WeightedSplits(seeded(1))
    assert.equal(splits.turn({ key: 'r', backends: refs(7) }), 0)
    assert.equal(splits.size, 0)
  })
})
