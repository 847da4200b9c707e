import { describe, it } from 'node:test'
import fc from 'fast-check'
import { checkKeys, keyPairs, seeds } from './cache-key.ts'

describe('cache keys', () => {
  for (const [i, seed] of seeds.entries()) it(`tells the requests of kept seed ${i} apart`, () => checkKeys(seed))

  it('are the same exactly for the same request', () => {
    fc.assert(fc.property(keyPairs, checkKeys), { numRuns: 2_000 })
  })
})
