/** Calls of gRPC where time or the form of the fields matters. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { BodyStepFactory } from '../../src/message/body.ts'
import type { Filter } from '../../src/policy/filter.ts'
import { framed } from '../grpc/web-client.ts'
import { memoryGateway } from '../lib/memory/rig.ts'
import { inProcess } from '../worker/in-process.ts'

const GRPC = { 'content-type': 'application/grpc' }

/** Holds the end of the body back for ever. */
const stuck: BodyStepFactory = (sink) => ({
  data: (chunk) => sink.write(chunk),
  end() {},
  drained() {},
  abort() {},
})

describe('a call of gRPC that has failed', () => {
  it('is cut where the status of its failure does not get through to the client', async (t) => {
    const filter: Filter = { name: 'stuck', responseBody: () => stuck }
    const gateway = memoryGateway(t, {
      upstreams: [
        (request) => {
          request.head(200, GRPC)
          request.write(framed('first').toString('latin1'))
          void request.body().then(() => request.reset())
        },
      ],
      filters: [{ phase: 'compression', filter }],
    })
    const request = gateway.ask({ method: 'POST', fields: GRPC, length: 'unknown' })
    await request.head()
    request.end()
    await gateway.pass(4_000)
    assert.equal(gateway.log().length, 0)
    const { complete } = await request.response()
    await gateway.nothingLeft()
    const [line] = gateway.log()
    assert.deepEqual([complete, line!.reason], [false, 'UpstreamTruncated'])
    assert.ok(Number(line!.duration) >= 4_900 && Number(line!.duration) < 6_000, `${line!.duration} ms`)
  })
})

describe('grpc-timeout', () => {
  it('is stated once', async (t) => {
    const gateway = await inProcess(t, { upstreams: [1], backend: { protocol: 'GRPC' } })
    using client = await gateway.connect()
    client.send(
      'POST /a.B/C HTTP/1.1\r\nhost: x\r\ncontent-type: application/grpc\r\ncontent-length: 0\r\n' +
        'grpc-timeout: 1S\r\ngrpc-timeout: 2S\r\n\r\n',
    )
    const response = await client.response()
    assert.deepEqual([response.status, response.header('grpc-status')], [200, '13'])
    assert.match(response.header('grpc-message')!, /BadGrpcRequest/)
  })
})
