import { describe, it } from 'node:test'
import fc from 'fast-check'
import { checkVary, seeds, varyCase } from './cache-vary.ts'

describe('varied fields', () => {
  for (const [i, seed] of seeds.entries())
    it(`matches the lists of kept seed ${i} by their meaning`, () => checkVary(seed))

  it('match exactly when they mean the same', () => {
    fc.assert(fc.property(varyCase, checkVary), { numRuns: 2_000 })
  })
})
