import assert from 'node:assert/strict'
import { before, describe, it } from 'node:test'
import { onHead, rawBackend } from './backends.ts'
import { backend, type Gateway, route, startGateway, suiteScope } from './harness.ts'

const LENGTH = 300_000
const CLIENTS = 16

/** `/7` gives 300,000 bytes of value 7; `/7?chunked` the same in chunks. */
function answerTo(head: string): Buffer {
  const [, value, chunked] = /^GET \/(\d+)(\?chunked)?/.exec(head)!
  const body = Buffer.alloc(LENGTH, Number(value))
  if (chunked === undefined)
    return Buffer.concat([Buffer.from(`HTTP/1.1 200 OK\r\ncontent-length: ${LENGTH}\r\n\r\n`), body])
  const half = LENGTH / 2
  const size = Buffer.from(`${half.toString(16)}\r\n`)
  const end = Buffer.from('\r\n')
  const parts = [size, body.subarray(half), end, size, body.subarray(half), end, Buffer.from('0\r\n\r\n')]
  return Buffer.concat([Buffer.from('HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n'), ...parts])
}

describe('large bodies', () => {
  const scope = suiteScope()
  let gateway: Gateway
  before(async () => {
    const origin = await rawBackend(scope, (socket) => onHead(socket, (head) => socket.write(answerTo(head))))
    gateway = await startGateway(scope, {
      'all.yaml':
        backend('origin', [origin.port]) +
        route(
          'all',
          ['bodies.test'],
          [{ name: 'all', backendRefs: [{ name: 'origin' }], policies: { timeouts: { idle: '20s' } } }],
        ),
    })
  })

  for (const query of ['', '?chunked'])
    it(`never mixes the bytes of two answers under way at once ${query}`, async () => {
      const asking = async (value: number): Promise<void> => {
        using client = await gateway.connect()
        for (let i = 0; i < 8; i++) {
          const answer = await client.request({ host: 'bodies.test', path: `/${value}${query}` })
          assert.equal(answer.status, 200)
          assert.equal(answer.body.length, LENGTH)
          assert.ok(
            answer.body.every((byte) => byte === value),
            `foreign bytes in the answer to ${value}`,
          )
        }
      }
      await Promise.all(Array.from({ length: CLIENTS }, (_, index) => asking(index + 1)))
    })

  it('waits for a client that does not read, and goes on when it does', async () => {
    using slow = await gateway.connect()
    slow.socket.pause()
    for (let i = 0; i < 20; i++) slow.send('GET /9 HTTP/1.1\r\nhost: bodies.test\r\n\r\n')
    const other = await gateway.request({ host: 'bodies.test', path: '/3' })
    assert.equal(other.body.length, LENGTH)
    slow.socket.resume()
    for (let i = 0; i < 20; i++) assert.ok((await slow.response()).body.equals(Buffer.alloc(LENGTH, 9)))
  })
})
