/** WebSockets over HTTP/2 on either side of a worker (RFC 8441), with `ws` on streams of node:http2. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { IncomingMessage } from 'node:http'
import type { ClientHttp2Session } from 'node:http2'
import { describe, it } from 'node:test'
import { WebSocket, WebSocketServer } from 'ws'
import { onHead, rawBackend } from '../feature/backends.ts'
import { H2C_UPSTREAMS } from '../lib/h2-upstreams.ts'
import { extendedConnect, h2Session, h2WebSocketServer, joined } from '../lib/h2-websocket.ts'
import { ACCEPT, KEY } from '../lib/websocket-lines.ts'
import { type InProcess, inProcess } from './in-process.ts'
import { type InProcessOptions, type Scope, toUp } from './test-plane.ts'

const { connector } = H2C_UPSTREAMS

/** A server over HTTP/1.1 that sends each message back, and a gateway before it. */
async function toHttp1(t: Scope, options: InProcessOptions = {}) {
  const server = new WebSocketServer({
    port: 0,
    host: '127.0.0.1',
    maxPayload: 64 << 20,
    handleProtocols: () => 'chat',
  })
  await once(server, 'listening')
  t.after(() => {
    for (const peer of server.clients) peer.terminate()
    server.close()
  })
  const asked: IncomingMessage[] = []
  server.on('connection', (socket, request) => {
    asked.push(request)
    socket.on('message', (data, binary) => socket.send(data as Buffer, { binary }))
  })
  const gateway = await inProcess(t, { upstreams: [(server.address() as { port: number }).port], ...options })
  return { server, asked, gateway, session: await h2Session(t, `http://127.0.0.1:${gateway.port}`) }
}

async function echoed(socket: WebSocket, sent: Buffer | string): Promise<void> {
  const back = once(socket, 'message') as Promise<[Buffer, boolean]>
  socket.send(sent)
  const [data, binary] = await back
  assert.equal(binary, typeof sent !== 'string')
  assert.ok(data.equals(Buffer.from(sent as string)))
}

async function carries(gateway: InProcess, socket: WebSocket, session?: ClientHttp2Session): Promise<void> {
  for (const sent of ['', 'x', 'y'.repeat(70_000), Buffer.alloc(3 << 20, 7)]) await echoed(socket, sent)
  const ponged = once(socket, 'pong')
  socket.ping('there')
  assert.equal(String((await ponged)[0]), 'there')
  const closed = once(socket, 'close') as Promise<[number]>
  socket.close(4000, 'bye')
  assert.equal((await closed)[0], 4000)
  session?.close()
  await gateway.nothingLeft()
  assert.deepEqual(
    gateway.log().map(({ status, reason }) => [status, reason]),
    [[101, undefined]],
  )
}

describe('a WebSocket over HTTP/2', () => {
  it('reaches a server over HTTP/1.1, with a handshake that the gateway completes', async (t) => {
    const { gateway, session, asked } = await toHttp1(t)
    const { status, headers, stream } = await extendedConnect(session, 'w.test', {
      'sec-websocket-protocol': 'chat',
      origin: 'https://w.test',
      cookie: 'a=1',
    })
    assert.deepEqual(
      [status, headers['sec-websocket-protocol'], headers['sec-websocket-accept'], headers.upgrade, headers.connection],
      [200, 'chat', undefined, undefined, undefined],
    )
    const { method, url, headers: sent } = asked[0]!
    assert.deepEqual([method, url], ['GET', '/chat?room=1'])
    assert.deepEqual([sent.origin, sent.cookie, sent['sec-websocket-version']], ['https://w.test', 'a=1', '13'])
    assert.match(sent['sec-websocket-key']!, /^[+/0-9A-Za-z]{22}==$/)
    await carries(gateway, joined(stream, false), session)
  })

  it('reaches a server over HTTP/2', async (t) => {
    const server = await h2WebSocketServer(t)
    const gateway = await inProcess(t, { upstreams: [server.port], connector })
    const session = await h2Session(t, `http://127.0.0.1:${gateway.port}`)
    const { status, headers, stream } = await extendedConnect(session, 'w.test')
    assert.deepEqual([status, headers['sec-websocket-protocol']], [200, 'chat'])
    await carries(gateway, joined(stream, false), session)
  })

  it('runs beside others and beside requests on one connection', async (t) => {
    const { gateway, session } = await toHttp1(t)
    const sockets: WebSocket[] = []
    for (let i = 0; i < 20; i++) sockets.push(joined((await extendedConnect(session, 'w.test')).stream, false))
    await Promise.all(sockets.map((socket, i) => echoed(socket, `message ${i}`)))
    const plain = session.request({ ':path': '/', ':authority': 'w.test' })
    const [response] = (await once(plain, 'response')) as [{ ':status': number }]
    // The server wants an upgrade.
    assert.equal(response[':status'], 426)
    plain.close()
    for (const socket of sockets) socket.terminate()
    session.close()
    await gateway.nothingLeft()
  })

  it('holds a sender back while the other end does not read', async (t) => {
    const { server, session } = await toHttp1(t)
    const connected = once(server, 'connection') as Promise<[WebSocket]>
    const client = joined((await extendedConnect(session, 'w.test')).stream, false)
    const [peer] = await connected
    peer.removeAllListeners('message')
    let received = 0
    peer.on('message', (data: Buffer) => (received += data.length))
    peer.pause()
    let drained = 0
    for (let i = 0; i < 32; i++) client.send(Buffer.alloc(1 << 20), () => drained++)
    await new Promise((resolve) => setTimeout(resolve, 300))
    assert.ok(drained < 32, `${drained} messages have left`)
    peer.resume()
    while (received < 32 << 20) await once(peer, 'message')
  })

  for (const [what, policies, answer, expected] of [
    [
      'that its server refuses gets the response',
      {},
      'HTTP/1.1 403 x\r\ncontent-length: 2\r\n\r\nno',
      [403, undefined],
    ],
    [
      'that its server does not understand is no tunnel',
      {},
      'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok',
      [502, 'UpstreamProtocolError'],
    ],
    [
      'whose server proves another key is no tunnel',
      {},
      `HTTP/1.1 101 x\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-accept: ${ACCEPT}\r\n\r\n`,
      [502, 'UpstreamProtocolError'],
    ],
    [
      'that the rule does not let pass is 501',
      { upgrades: [] },
      'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok',
      [501, 'ProtocolNotAllowed'],
    ],
  ] as const)
    it(what, async (t) => {
      const { port } = await rawBackend(t, (socket) => onHead(socket, () => socket.write(answer)))
      const gateway = await inProcess(t, { upstreams: [port], rules: toUp({ ...policies, retry: { attempts: 0 } }) })
      const session = await h2Session(t, `http://127.0.0.1:${gateway.port}`)
      // A key of the client's own makes no difference.
      const { status, stream } = await extendedConnect(session, 'w.test', { 'sec-websocket-key': KEY })
      let text = ''
      for await (const bytes of stream) text += String(bytes)
      assert.deepEqual([status, text.startsWith('{') ? JSON.parse(text).reason : undefined], expected)
      session.close()
      await gateway.nothingLeft()
    })

  it('is refused by a rule that answers by itself: its 200 would open a tunnel', async (t) => {
    const gateway = await inProcess(t, { rules: { all: { respond: { statusCode: 200, body: 'hello' } } } })
    const session = await h2Session(t, `http://127.0.0.1:${gateway.port}`)
    assert.equal((await extendedConnect(session, 'w.test')).status, 501)
    session.destroy()
    await gateway.nothingLeft()
  })
})

describe('a WebSocket over HTTP/1.1', () => {
  it('reaches a server over HTTP/2, and gets the proof that its client expects', async (t) => {
    const server = await h2WebSocketServer(t)
    const gateway = await inProcess(t, { upstreams: [server.port], connector })
    const client = new WebSocket(`ws://127.0.0.1:${gateway.port}/chat?room=1`, ['chat'], {
      headers: { host: 'w.test' },
      perMessageDeflate: false,
      maxPayload: 64 << 20,
    })
    t.after(() => client.terminate())
    await once(client, 'open')
    assert.equal(client.protocol, 'chat')
    const asked = server.asked()!
    assert.deepEqual(
      [asked[':method'], asked[':protocol'], asked[':path'], asked['sec-websocket-key'], asked.upgrade],
      ['CONNECT', 'websocket', '/chat?room=1', undefined, undefined],
    )
    await carries(gateway, client)
  })

  it('is 502 where the server takes no extended CONNECT', async (t) => {
    const server = await h2WebSocketServer(t, false)
    const gateway = await inProcess(t, { upstreams: [server.port], connector, rules: toUp({ retry: { attempts: 0 } }) })
    using client = await gateway.connect()
    const headers = { connection: 'upgrade', upgrade: 'websocket', 'sec-websocket-key': KEY }
    const answer = await client.request({ host: 'w.test', headers })
    assert.deepEqual([answer.status, answer.json().reason], [502, 'UpgradeNotSupported'])
  })
})
