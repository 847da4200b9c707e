import { describe, it } from 'node:test'
import fc from 'fast-check'
import { cacheCase, checkCacheRules, seeds } from './cache-rules.ts'

describe('kept seeds of the fuzzer of cache rules', () => {
  for (const [number, seed] of seeds.entries())
    it(`number ${number} is decided as the RFC says`, () => checkCacheRules(seed))
})

describe('the rules of the cache', () => {
  it('decide as a model that follows the text of RFC 9111', () => {
    // Always the same cases: the fuzzer itself looks for others.
    fc.assert(fc.property(cacheCase, checkCacheRules), { seed: 9111, numRuns: 20_000 })
  })
})
