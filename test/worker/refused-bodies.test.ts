/** A request of HTTP/1.1 that is answered within the read that also brings what is wrong with the rest of its body. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { describe, it } from 'node:test'
import { systemTimers } from '../../src/thread/system-timers.ts'
import { listening } from '../socket/sockets.ts'
import { inProcess } from './in-process.ts'
import { toUp } from './test-plane.ts'

/** Time stands still: nothing ends because a machine is slow. */
const clock = { ...systemTimers, monotonic: () => 1_000_000 }

describe('a body that is refused, and malformed behind that', () => {
  for (const [what, rest] of [
    ['a chunk size that is none', 'zz\r\n'],
    ['a chunk longer than its size', '1\r\nxyz\r\n'],
    ['a trailer that is none', '0\r\nx : y\r\n\r\n'],
  ] as const)
    it(`by ${what}: the connection waits for its client, so that nothing resets the response`, async (t) => {
      const { port } = await listening(t, () => {})
      const rules = toUp({ retry: { attempts: 0 }, limits: { maxRequestBytes: '4' } })
      const gateway = await inProcess(t, { upstreams: [port], rules, clock })
      const client = await gateway.connect()
      const ended = once(client.socket, 'end')
      client.send(`POST / HTTP/1.1\r\nhost: a.test\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n${rest}`)
      const response = await client.response()
      assert.deepEqual([response.status, response.header('connection')], [413, 'close'])
      await ended
      assert.equal(gateway.holdings.connections, 1)
      client.end()
      await client.closed()
      await gateway.nothingLeft()
      assert.deepEqual(gateway.errors, [])
      assert.equal(gateway.log().length, 1)
    })
})
