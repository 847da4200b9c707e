import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { describeFault, faultCode, NO_EVIDENCE, WELL } from '../../src/balance/fault.ts'
import { GRPC_STATUS_NAMES } from '../../src/lib/grpc-status.ts'

describe('what of a response is a fault of its endpoint', () => {
  it('is, of gRPC, what stands for 500 and 503, and nothing that the client brings about', () => {
    const faults = GRPC_STATUS_NAMES.filter((_, code) => faultCode(null, 200, false, code) !== WELL)
    assert.deepEqual(faults, ['UNKNOWN', 'INTERNAL', 'UNAVAILABLE', 'DATA_LOSS'])
  })

  it('is named in words', () => {
    const words = (...outcome: Parameters<typeof faultCode>) => describeFault(faultCode(...outcome))
    assert.equal(words(null, 200, false, 14), 'grpc-status 14 (UNAVAILABLE)')
    assert.equal(words(null, 503, false), 'status 503')
    assert.match(words('ConnectFailure', 0, false), /^the upstream could not be connected/)
  })

  it('is decided by how the attempt ended before what was said until then', () => {
    assert.equal(faultCode('ClientGone', 200, false, 14), NO_EVIDENCE)
    assert.notEqual(faultCode('UpstreamTruncated', 200, false, 0), WELL)
    assert.equal(faultCode(null, 503, false, 0), 503)
    assert.equal(faultCode(null, 200, false, 999), WELL, 'no code of gRPC')
  })
})
