import { describe, it } from 'node:test'
import fc from 'fast-check'
import { checkWebBody, seeds, webBody } from './grpc-web.ts'

describe('kept seeds of the fuzzer of gRPC-Web', () => {
  for (const seed of seeds) it(`reads ${JSON.stringify(seed)} the same however it is cut`, () => checkWebBody(seed))
})

describe('gRPC-Web against Node and frame by frame', () => {
  it('agrees about bodies put together by chance', () => {
    fc.assert(fc.property(webBody, checkWebBody), { numRuns: 500 })
  })
})
