import { describe, it } from 'node:test'
import fc from 'fast-check'
import { tcp4, tlv, withChecksum } from '../proxy-protocol/headers.ts'
import { mutations } from './http1.ts'
import { checkProxyHeader, headerText, seeds } from './proxy-protocol.ts'

describe('kept seeds of the fuzzer of PROXY headers', () => {
  for (const seed of seeds) it(`reads ${JSON.stringify(seed)} as the oracle does`, () => checkProxyHeader(seed))
})

describe('PROXY headers against the specification', () => {
  it('agrees about every header that differs from a good one in one byte', () => {
    const checked = withChecksum(tcp4('203.0.113.7', 51234, '192.0.2.1', 443, tlv(1, 'h2'))).toString('latin1')
    for (const good of ['PROXY TCP4 203.0.113.7 192.0.2.1 51234 443\r\n', checked])
      for (const mutant of mutations(good)) checkProxyHeader(mutant)
  })

  it('agrees about headers put together by chance', () => {
    fc.assert(fc.property(headerText, checkProxyHeader), { numRuns: 1_000 })
  })
})
