import { describe, it } from 'node:test'
import fc from 'fast-check'
import { checkHpack, connection, seeds } from './hpack.ts'

describe('kept seeds of the fuzzer of HPACK', () => {
  for (const seed of seeds) it(`decodes ${seed.join(' ')} as the oracle does`, () => checkHpack(seed))
})

describe('HPACK against the oracle', () => {
  it('agrees about connections put together by chance', () => {
    fc.assert(fc.property(connection, checkHpack), { numRuns: 3_000 })
  })
})
