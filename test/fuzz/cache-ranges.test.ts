import { describe, it } from 'node:test'
import fc from 'fast-check'
import { checkRanges, rangeRequest, seeds } from './cache-ranges.ts'

describe('ranges of stored responses', () => {
  for (const seed of seeds)
    it(`treats ${seed[0].slice(0, 60)} of ${seed[1]} bytes by the rules`, () => checkRanges(seed))

  it('are what the slow rules say', () => {
    fc.assert(fc.property(rangeRequest, checkRanges), { numRuns: 2_000 })
  })
})
