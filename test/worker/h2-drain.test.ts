/** Connections of HTTP/2 that the gateway ends: no request is lost, long ones have the grace period. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type ServerResponse } from 'node:http'
import { type ClientHttp2Session, connect } from 'node:http2'
import type { AddressInfo } from 'node:net'
import { describe, it, type TestContext } from 'node:test'
import { Flag, FrameType, frame, headers } from '../http/raw-frames.ts'
import { RawH2, request } from '../lib/raw-h2.ts'
import { until } from '../socket/sockets.ts'
import { type InProcess, inProcess } from './in-process.ts'
import { toUp } from './test-plane.ts'

const ACK = frame({ type: FrameType.SETTINGS, flags: Flag.ACK })
const PONG = frame({ type: FrameType.PING, flags: Flag.ACK, payload: 'headgate' })

interface Rig {
  readonly gateway: InProcess
  /** Responses that the upstream has not ended, by their paths. */
  readonly open: Map<string, ServerResponse>
}

/** `/slow…` gets a head and the beginning of a body; all else an answer at once. */
async function rig(t: TestContext): Promise<Rig> {
  const open = new Map<string, ServerResponse>()
  const server = createServer((req, res) => {
    if (!req.url!.startsWith('/slow')) return void res.end('done')
    open.set(req.url!, res)
    res.write('begin')
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => server.close().closeAllConnections())
  const upstreams = [(server.address() as AddressInfo).port]
  return { gateway: await inProcess(t, { upstreams, rules: toUp({ retry: { attempts: 0 } }) }), open }
}

async function client(t: TestContext, gateway: InProcess): Promise<RawH2> {
  const raw = await RawH2.connect(t, gateway.port)
  raw.send(ACK)
  await raw.sees('settings ack')
  return raw
}

function drain(gateway: InProcess, grace: number): Promise<void> {
  return gateway.listeners.drain(grace, () => gateway.plane.context.active)
}

describe('the drain of a connection of HTTP/2', () => {
  it('has two steps: requests that cross the first GOAWAY are served, those behind the last are not', async (t) => {
    const { gateway, open } = await rig(t)
    const raw = await client(t, gateway)
    raw.get(1, '/slow')
    await until(() => open.size === 1)
    const drained = drain(gateway, 10_000)
    await raw.sees('goaway 2147483647 NO_ERROR ""')
    await raw.sees('ping headgate')
    raw.get(3)
    await raw.sees('head 3 200')
    raw.send(PONG)
    await raw.sees('goaway 3 NO_ERROR ""')
    raw.get(5)
    open.get('/slow')!.end('end')
    await raw.ended()
    assert.ok(raw.lines.includes('data "end"') || raw.lines.includes('data "end" end'), raw.lines.join('\n'))
    assert.ok(!raw.log.heads.has(5))
    await drained
    await gateway.nothingLeft()
    assert.equal(gateway.log().length, 2)
  })

  it('goes on without an answer to its PING', async (t) => {
    const { gateway } = await rig(t)
    const raw = await client(t, gateway)
    const drained = drain(gateway, 10_000)
    assert.equal(await raw.ended(), 'goaway 0 NO_ERROR ""')
    await drained
    await gateway.nothingLeft()
  })

  it('ends a stream that is still open at the end of the grace period', async (t) => {
    const { gateway, open } = await rig(t)
    const raw = await client(t, gateway)
    raw.get(1, '/slow')
    await raw.sees('head 1 200')
    await until(() => open.size === 1)
    const upstreamGone = once(open.get('/slow')!, 'close')
    raw.send(PONG)
    await drain(gateway, 300)
    await until(() => raw.closed)
    await upstreamGone
    assert.ok(!raw.lines.some((line) => line.endsWith(' end')), 'the response looks complete')
    await gateway.nothingLeft()
    assert.equal(gateway.log()[0]!.reason, 'ShuttingDown')
  })

  it('begins with the next response where the gateway prepares to leave', async (t) => {
    const { gateway } = await rig(t)
    const raw = await client(t, gateway)
    gateway.listeners.leave()
    raw.get(1)
    await raw.sees('goaway 2147483647 NO_ERROR ""')
    raw.send(PONG)
    assert.equal(await raw.ended(), 'goaway 1 NO_ERROR ""')
    await gateway.nothingLeft()
  })

  it('loses no request of clients that ask on and on', async (t) => {
    const { gateway } = await rig(t)
    const sessions = Array.from({ length: 4 }, () => connect(`http://127.0.0.1:${gateway.port}`))
    for (const session of sessions) t.after(() => session.destroy())
    const counts = { answered: 0, lost: [] as string[] }
    const asking = sessions.map((session) => askOn(session, counts))
    await until(() => counts.answered > 400, '400 responses')
    const drained = drain(gateway, 10_000)
    await Promise.all(asking)
    await drained
    assert.deepEqual(counts.lost, [])
    await gateway.nothingLeft()
    assert.equal(gateway.log().length, counts.answered)
    assert.ok(gateway.log().every(({ status }) => status === 200))
  })
})

/** Eight requests at a time, until the session is closed by GOAWAY and all have ended. */
async function askOn(session: ClientHttp2Session, counts: { answered: number; lost: string[] }): Promise<void> {
  session.on('error', (error) => counts.lost.push(String(error)))
  const one = async (): Promise<void> => {
    while (!session.closed && !session.destroyed) {
      const stream = session.request({ ':path': '/', ':authority': 'raw.test' })
      let body = ''
      stream.on('data', (part: Buffer) => (body += String(part)))
      stream.on('error', (error) => counts.lost.push(String(error)))
      await once(stream, 'close').catch(() => {})
      if (body === 'done') counts.answered++
      else counts.lost.push(`${body} ${stream.rstCode}`)
    }
  }
  await Promise.all(Array.from({ length: 8 }, one))
}

describe('a failing upstream of HTTP/2 clients', () => {
  it('is a response where none has begun, and a reset with INTERNAL_ERROR behind its head', async (t) => {
    const { gateway, open } = await rig(t)
    const raw = await client(t, gateway)
    raw.get(1, '/slow')
    await raw.sees('data "begin"')
    open.get('/slow')!.destroy()
    await raw.sees('reset 1 INTERNAL_ERROR')
    raw.send(headers(3, request('/', [], 'HEAD')))
    await raw.sees('head 3 200 end')
    raw.socket.end()
    await gateway.nothingLeft()
    const [cut] = gateway.log()
    assert.deepEqual([cut!.protocol, cut!.status, cut!.reason, cut!.bytesOut], ['HTTP/2', 200, 'UpstreamTruncated', 5])
  })
})
