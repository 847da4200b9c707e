import { describe, it } from 'node:test'
import fc from 'fast-check'
import { checkChunked, chunkedText, seeds } from './chunked.ts'
import { mutations } from './http1.ts'

describe('kept seeds of the fuzzer of the chunked coding', () => {
  for (const seed of seeds) it(`reads ${JSON.stringify(seed)} the same however it is cut`, () => checkChunked(seed))
})

describe('the chunked coding against the grammar', () => {
  it('agrees about every body that differs from a good one in one byte', () => {
    for (const mutant of mutations('2;e\r\nab\r\n1\r\nc\r\n0\r\nx: y\r\n\r\n')) checkChunked(mutant)
  })

  it('agrees about bodies put together by chance', () => {
    fc.assert(fc.property(chunkedText, checkChunked), { numRuns: 1_000 })
  })
})
