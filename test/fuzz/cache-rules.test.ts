import { describe, it } from 'node:test'
import fc from 'fast-check'
import { cacheCase, cacheControl, checkCacheRules, checkTargeted, seeds, typedDirectives } from './cache-rules.ts'

describe('kept seeds of the fuzzer of cache rules', () => {
  for (const [number, seed] of seeds.entries())
    it(`number ${number} is decided as the RFC says`, () => checkCacheRules(seed))
})

describe('the rules of the cache', () => {
  it('decide as a model that follows the text of RFC 9111', () => {
    // Always the same cases: the fuzzer itself looks for others.
    fc.assert(fc.property(cacheCase, checkCacheRules), { seed: 9111, numRuns: 20_000 })
  })

  it('RFC 9213 §2.2: directives mean in a targeted field what they mean in Cache-Control', () => {
    const property = fc.property(cacheCase, typedDirectives, cacheControl, checkTargeted)
    fc.assert(property, { seed: 9213, numRuns: 3_000 })
  })
})
