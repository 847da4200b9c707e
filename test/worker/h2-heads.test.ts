/** Requests that are open at a time on one HTTP/2 connection, and what their heads hold. */
import assert from 'node:assert/strict'
import { type ClientHttp2Session, connect } from 'node:http2'
import { describe, it } from 'node:test'
import type { Filter } from '../../src/policy/filter.ts'
import { until } from '../socket/sockets.ts'
import { type InProcess, inProcess } from './in-process.ts'
import type { Scope } from './test-plane.ts'

/** What the rig gives a thread. */
const HELD_LIMIT = 1 << 20

const pending: Filter = { name: 'pending', onRequest: () => new Promise(() => {}) }

async function open(scope: Scope): Promise<{ gateway: InProcess; session: ClientHttp2Session }> {
  const filters = [{ phase: 'access', filter: pending }] as const
  const gateway = await inProcess(scope, { upstreams: [1], filters, connections: 10_000 })
  const options = { maxSendHeaderBlockLength: 1 << 20, peerMaxConcurrentStreams: 5_000 }
  const session = connect(`http://127.0.0.1:${gateway.port}`, options)
  session.on('error', () => {})
  scope.after(() => session.destroy())
  return { gateway, session }
}

describe('requests that are open on one HTTP/2 connection', () => {
  it('hold a bounded number of bytes in their heads; those over it are refused as never processed', async (t) => {
    const { gateway, session } = await open(t)
    const head = { ':path': '/', 'x-large': 'x'.repeat(60_000) }
    const refused: number[] = []
    for (let sent = 1; sent <= 200; sent++) {
      const stream = session.request(head)
      stream.on('error', () => refused.push(stream.rstCode))
      if (sent % 20 === 0) await until(() => refused.length + gateway.plane.context.active === sent)
    }
    const most = Math.floor(HELD_LIMIT / 60_000)
    assert.ok(gateway.plane.context.active <= most && gateway.plane.context.active > most - 5)
    assert.deepEqual([...new Set(refused)], [7], 'REFUSED_STREAM')
    // What was refused holds nothing, and what ends gives its place back.
    session.destroy()
    await until(() => gateway.plane.context.active === 0)
  })
})
