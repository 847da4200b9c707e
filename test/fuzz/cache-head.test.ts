import { describe, it } from 'node:test'
import fc from 'fast-check'
import { checkHead, headCase, seeds } from './cache-head.ts'

describe('stored heads', () => {
  for (const [i, seed] of seeds.entries()) it(`brings kept seed ${i} back by the rules`, () => checkHead(seed))

  it('are what the slow model says', () => {
    fc.assert(fc.property(headCase, checkHead), { numRuns: 1_000 })
  })
})
