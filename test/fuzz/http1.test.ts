import { describe, it } from 'node:test'
import fc from 'fast-check'
import { checkHead, headText, mutations, seeds, VALID } from './http1.ts'

describe('kept seeds of the fuzzer of heads', () => {
  for (const seed of seeds) it(`reads ${JSON.stringify(seed)} as the grammar says`, () => checkHead(seed))
})

describe('heads against the grammar', () => {
  for (const text of VALID)
    it(`agrees about every head that differs from ${JSON.stringify(text)} in one byte`, () => {
      checkHead(text)
      for (const mutant of mutations(text)) checkHead(mutant)
    })

  it('agrees about heads put together by chance', () => {
    fc.assert(fc.property(headText, checkHead), { numRuns: 3_000 })
  })
})
