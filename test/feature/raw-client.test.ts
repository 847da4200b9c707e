import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { rawBackend } from './backends.ts'
import { RawClient } from './raw-client.ts'

async function answered(scope: Parameters<typeof rawBackend>[0], bytes: string): Promise<RawClient> {
  const server = await rawBackend(scope, (socket) => socket.end(Buffer.from(bytes, 'latin1')))
  return await RawClient.connect(server.port)
}

describe('the strict client of the feature tests', () => {
  it('reads interim, chunked and pipelined responses one by one', async (t) => {
    using client = await answered(
      t,
      'HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n' +
        'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nx-sum: 1\r\n\r\n' +
        'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi' +
        'HTTP/1.1 304 Not Modified\r\ncontent-length: 9\r\n\r\n',
    )
    assert.equal((await client.response()).status, 103)
    const chunked = await client.response()
    assert.deepEqual([chunked.text, chunked.framing, chunked.trailers], ['hello', 'chunked', [['x-sum', '1']]])
    assert.equal((await client.response()).text, 'hi')
    assert.equal((await client.response()).framing, 'none')
    await client.closed()
  })

  for (const [what, bytes] of [
    ['a bare LF', 'HTTP/1.1 200 OK\ncontent-length: 0\n\n'],
    ['HTTP/1.0', 'HTTP/1.0 200 OK\r\n\r\n'],
    ['two lengths', 'HTTP/1.1 200 OK\r\ncontent-length: 0\r\ncontent-length: 0\r\n\r\n'],
    ['a length beside a transfer coding', 'HTTP/1.1 200 OK\r\ncontent-length: 0\r\ntransfer-encoding: chunked\r\n\r\n'],
    ['a space before the colon', 'HTTP/1.1 200 OK\r\ncontent-length : 0\r\n\r\n'],
    ['a body cut short', 'HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc'],
    ['a chunk longer than its size', 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n'],
    ['a 204 with a length', 'HTTP/1.1 204 No Content\r\ncontent-length: 0\r\n\r\n'],
    ['silence', ''],
  ] as const)
    it(`refuses ${what}`, async (t) => {
      using client = await answered(t, bytes)
      await assert.rejects(client.response())
    })

  it('tells bytes from a close', async (t) => {
    using client = await answered(t, 'HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\nextra')
    await client.response()
    await assert.rejects(client.closed(), /bytes instead of a close: "extra"/)
  })
})
