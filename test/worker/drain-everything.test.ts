/** A drain with every kind of connection open at once: what can finish does, and nothing outlives the grace period. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { ClientHttp2Stream } from 'node:http2'
import { type AddressInfo, connect as connectTcp, createServer as createTcp, type Socket } from 'node:net'
import type { Readable } from 'node:stream'
import { describe, it } from 'node:test'
import { connect as connectTls, createServer as createTls } from 'node:tls'
import { acceptOf } from '../../src/message/websocket-handshake.ts'
import { onHead, rawBackend } from '../feature/backends.ts'
import { RawClient } from '../feature/raw-client.ts'
import { TestAuthority } from '../lib/certificates.ts'
import { extendedConnect, h2Session } from '../lib/h2-websocket.ts'
import { ASKING } from '../lib/websocket-lines.ts'
import { until } from '../socket/sockets.ts'
import { type Scope, toUp } from './test-plane.ts'
import { tlsRig } from './tls-rig.ts'

const GRACE = 4_000
const authority = new TestAuthority()

/** Answers by path: at once, when told, never, with events, or with a tunnel that sends everything back. */
async function upstream(t: Scope) {
  const waiting = new Map<string, Socket>()
  const { port } = await rawBackend(t, (socket) =>
    onHead(socket, (head) => {
      const path = /^\S+ (\S+)/.exec(head)![1]!
      const key = /^sec-websocket-key: (\S+)/im.exec(head)?.[1]
      waiting.set(path, socket)
      if (key !== undefined) {
        socket.removeAllListeners('data')
        socket.on('data', (bytes: Buffer) => socket.write(bytes))
        socket.write(
          `HTTP/1.1 101 x\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-accept: ${acceptOf(key)}\r\n\r\n`,
        )
      } else if (path === '/events')
        socket.write(
          'HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n2\r\n:\n\r\n',
        )
    }),
  )
  const answer = (path: string): void =>
    void waiting.get(path)!.write('HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ndone')
  return { port, waiting, answer }
}

/** A relay that holds back what the client sends behind its first bytes, until it is released. */
async function holding(
  t: Scope,
  port: number,
): Promise<{ readonly port: number; readonly begun: Promise<void>; release(): void }> {
  const begun = Promise.withResolvers<void>()
  let release = (): void => {}
  const relay = createTcp((client) => {
    const server = connectTcp(port, '127.0.0.2')
    for (const socket of [client, server]) socket.on('error', () => {})
    client.once('data', (hello: Buffer) => {
      server.write(hello.subarray(0, 50), () => begun.resolve())
      client.pause()
      release = () => {
        server.write(hello.subarray(50))
        client.pipe(server)
      }
    })
    server.pipe(client)
  }).listen(0, '127.0.0.1')
  await once(relay, 'listening')
  t.after(() => void relay.close())
  return { port: (relay.address() as AddressInfo).port, begun: begun.promise, release: () => release() }
}

/** A server that ends TLS itself and sends everything back. */
async function secureEcho(t: Scope): Promise<number> {
  const { cert, key } = authority.server('pass.test')
  const server = createTls({ cert, key }, (socket) => {
    socket.on('error', () => {})
    socket.on('data', (bytes) => socket.write(bytes))
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => void server.close())
  return (server.address() as AddressInfo).port
}

async function next(stream: Readable): Promise<string> {
  const [bytes] = (await once(stream, 'data')) as [Buffer]
  return bytes.toString()
}

async function closed(socket: Socket | ClientHttp2Stream): Promise<void> {
  socket.resume()
  if (!socket.closed) await once(socket, 'close')
}

const get = (path: string): string => `GET ${path} HTTP/1.1\r\nhost: w.test\r\n\r\n`

/** By FIN, or by the reset that tells of a response that was cut. */
async function over(client: RawClient): Promise<void> {
  if (!client.socket.readableEnded && !client.socket.closed) await once(client.socket, 'end').catch(() => {})
}

describe('a drain with everything open at once', () => {
  it('lets finish what can, cuts the rest at its deadline, and lasts no longer', async (t) => {
    const { port, waiting, answer } = await upstream(t)
    const rig = await tlsRig(t, {
      upstreams: [port],
      defaultSecret: 'default',
      rules: toUp({ retry: { attempts: 0 } }),
    })
    rig.secret('default', authority.server('w.test'))
    const passing = await tlsRig(t, {
      upstreams: [await secureEcho(t)],
      routes: {
        'default/pass': {
          hostnames: ['pass.test'],
          tls: { mode: 'Passthrough', http: 'Redirect', minVersion: 'TLS1.2' },
          rules: toUp(),
        },
      },
    })
    const open = async (request: string): Promise<RawClient> => {
      const client = await rig.connect()
      t.after(() => client.socket.destroy())
      return client.send(request)
    }

    const fresh = await open('')
    const idle = await open(get('/idle'))
    const finishing = await open(get('/finishing'))
    const upload = await open('POST /upload HTTP/1.1\r\nhost: w.test\r\ncontent-length: 10\r\n\r\nfirst')
    const poll = await open(get('/poll'))
    const events = await open(get('/events'))
    const tunnel = await open(`GET /tunnel HTTP/1.1\r\nhost: w.test\r\n${ASKING}\r\n`)
    const half = await open('GET /half HTTP/1.1\r\nho')
    const h2 = await h2Session(t, `http://127.0.0.1:${rig.port}`)
    let goaway = false
    h2.on('goaway', () => (goaway = true))
    const h2Finishing = h2.request({ ':path': '/h2-finishing', ':authority': 'w.test' })
    const h2Poll = h2.request({ ':path': '/h2-poll', ':authority': 'w.test' })
    const h2Tunnel = (await extendedConnect(h2, 'w.test')).stream
    for (const stream of [h2Finishing, h2Poll]) stream.on('error', () => {})
    const relay = await holding(t, rig.tlsPort)
    const late = connectTls({ port: relay.port, host: '127.0.0.1', servername: 'w.test', rejectUnauthorized: false })
    await relay.begun
    const secured = await rig.handshake({ servername: 'w.test', ALPNProtocols: ['http/1.1'] })
    const passed = await passing.handshake({ servername: 'pass.test' })
    for (const socket of [late, secured, passed]) socket.on('error', () => {})
    assert.equal((await tunnel.response()).status, 101)
    await until(() =>
      ['/idle', '/finishing', '/upload', '/poll', '/h2-finishing', '/h2-poll'].every((path) => waiting.has(path)),
    )
    await until(() => events.unread.includes(':\n'))
    answer('/idle')
    assert.equal((await idle.response()).status, 200)
    // Accepted, with the beginning of a head; that of the ClientHello came before the whole handshake above.
    await until(() => rig.holdings.connections === 10)

    const began = performance.now()
    const drained = Promise.all([rig, passing].map((one) => one.listeners.drain(GRACE, () => one.plane.context.active)))
    await Promise.all([over(fresh), over(idle), closed(secured)])
    await assert.rejects(RawClient.connect(rig.port), /ECONNREFUSED/)
    await until(() => goaway)

    answer('/finishing')
    upload.send('-rest')
    answer('/upload')
    half.send('st: w.test\r\n\r\n')
    await until(() => waiting.has('/half'))
    answer('/half')
    for (const client of [finishing, upload, half]) {
      const response = await client.response()
      assert.deepEqual([response.text, response.header('connection')], ['done', 'close'])
      client.end()
    }
    waiting.get('/events')!.write('3\r\n::\n\r\n')
    await until(() => events.unread.includes('::\n'))
    tunnel.send('ping')
    await until(() => tunnel.unread.toString() === 'ping')
    answer('/h2-finishing')
    assert.equal(await next(h2Finishing), 'done')
    const echo = next(h2Tunnel)
    h2Tunnel.write('over HTTP/2')
    assert.equal(await echo, 'over HTTP/2')
    const back = next(passed)
    passed.write('as it is')
    assert.equal(await back, 'as it is')
    relay.release()
    await once(late, 'secureConnect')
    late.write(get('/late'))
    await until(() => waiting.has('/late'))
    const text = next(late)
    answer('/late')
    assert.match(await text, /^HTTP\/1\.1 200 OK\r\n.*connection: close\r\n.*done$/s)
    assert.ok(performance.now() - began < GRACE, 'all of it within the grace period')

    const refused = await poll.response()
    assert.deepEqual([refused.status, refused.json().reason], [503, 'ShuttingDown'])
    await drained
    const took = performance.now() - began
    assert.ok(took >= GRACE - 50 && took < GRACE + 1_500, `${took} ms`)
    await Promise.all([over(events), over(tunnel), closed(h2Tunnel), closed(h2Poll), closed(passed), closed(late)])
    await Promise.all([rig.nothingLeft(), passing.nothingLeft()])
    const ended = new Map(rig.log().map(({ path, reason }) => [path, reason]))
    for (const path of ['/idle', '/finishing', '/upload', '/half', '/h2-finishing', '/late'])
      assert.equal(ended.get(path), undefined, String(path))
    for (const path of ['/poll', '/events', '/tunnel', '/h2-poll', '/chat'])
      assert.equal(ended.get(path), 'ShuttingDown', path)
    assert.deepEqual(
      passing.log().map(({ reason }) => reason),
      ['ShuttingDown'],
    )
  })
})
