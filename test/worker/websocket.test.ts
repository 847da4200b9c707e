/** WebSockets through a worker on sockets, with `ws` at both ends, over the range of its options. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { IncomingMessage } from 'node:http'
import { describe, it } from 'node:test'
import { type ClientOptions, type ServerOptions, WebSocket, WebSocketServer } from 'ws'
import { onHead, rawBackend } from '../feature/backends.ts'
import { KEY } from '../lib/websocket-lines.ts'
import { type InProcess, inProcess } from './in-process.ts'
import { type InProcessOptions, type Scope, toUp } from './test-plane.ts'

interface Joined {
  readonly gateway: InProcess
  readonly client: WebSocket
  /** The server's end. */
  readonly peer: WebSocket
  readonly asked: IncomingMessage
}

interface Joining {
  readonly protocols?: string[]
  readonly client?: ClientOptions
  readonly server?: ServerOptions
  readonly gateway?: InProcessOptions
}

async function served(t: Scope, options: ServerOptions = {}): Promise<WebSocketServer> {
  const server = new WebSocketServer({ port: 0, host: '127.0.0.1', ...options })
  await once(server, 'listening')
  t.after(() => {
    for (const peer of server.clients) peer.terminate()
    server.close()
  })
  return server
}

function portOf(server: WebSocketServer): number {
  return (server.address() as { port: number }).port
}

async function join(t: Scope, options: Joining = {}): Promise<Joined> {
  const server = await served(t, options.server)
  const gateway = await inProcess(t, { upstreams: [portOf(server)], ...options.gateway })
  const connected = once(server, 'connection') as Promise<[WebSocket, IncomingMessage]>
  const client = new WebSocket(`ws://127.0.0.1:${gateway.port}/chat?room=1`, options.protocols ?? [], {
    headers: { host: 'w.test' },
    ...options.client,
  })
  t.after(() => client.terminate())
  await once(client, 'open')
  const [peer, asked] = await connected
  return { gateway, client, peer, asked }
}

async function message(socket: WebSocket): Promise<{ readonly bytes: Buffer; readonly binary: boolean }> {
  const [data, binary] = (await once(socket, 'message')) as [Buffer, boolean]
  return { bytes: data, binary }
}

/** A body that no compression makes small. */
function noise(bytes: number): Buffer {
  const buffer = Buffer.allocUnsafe(bytes)
  let state = 1
  for (let i = 0; i < bytes; i++) {
    state = (state * 1_103_515_245 + 12_345) >>> 0
    buffer[i] = state >>> 24
  }
  return buffer
}

/** The handshake's failure: the response that came instead of 101. */
async function refusal(client: WebSocket): Promise<{ status: number; body: string; fields: IncomingMessage }> {
  client.on('error', () => {})
  const [, response] = (await once(client, 'unexpected-response')) as [unknown, IncomingMessage]
  let body = ''
  for await (const part of response) body += String(part)
  return { status: response.statusCode!, body, fields: response }
}

describe('a WebSocket', () => {
  it('has its handshake untouched, with the fields that say where it came from', async (t) => {
    const { asked, client } = await join(t, {
      protocols: ['chat', 'superchat'],
      client: { origin: 'https://w.test', headers: { host: 'w.test', cookie: 'a=1', 'x-own': 'y' } },
      server: { handleProtocols: (protocols) => [...protocols].at(-1) ?? false },
    })
    assert.equal(client.protocol, 'superchat')
    const { headers } = asked
    assert.equal(asked.url, '/chat?room=1')
    assert.deepEqual(
      [headers.origin, headers.cookie, headers['x-own'], headers['sec-websocket-protocol']],
      ['https://w.test', 'a=1', 'y', 'chat,superchat'],
    )
    assert.equal(headers['sec-websocket-version'], '13')
    assert.match(headers['sec-websocket-extensions'] ?? '', /^permessage-deflate/)
    assert.deepEqual([headers.host, headers['x-forwarded-for']], ['w.test', '127.0.0.1'])
  })

  for (const perMessageDeflate of [
    false,
    true,
    { clientNoContextTakeover: true, serverNoContextTakeover: true, threshold: 0 },
    { serverMaxWindowBits: 9, threshold: 0 },
  ])
    it(`carries texts, binaries and fragments with perMessageDeflate ${JSON.stringify(perMessageDeflate)}`, async (t) => {
      const { client, peer } = await join(t, { client: { perMessageDeflate }, server: { perMessageDeflate } })
      assert.equal(client.extensions !== '', perMessageDeflate !== false)
      for (const [from, to] of [
        [client, peer],
        [peer, client],
      ] as const)
        for (const sent of ['', 'x', 'é€😀', 'y'.repeat(200), 'z'.repeat(70_000), noise(300_000)]) {
          const received = message(to)
          from.send(sent)
          const { bytes, binary } = await received
          assert.equal(binary, typeof sent !== 'string')
          assert.ok(bytes.equals(Buffer.from(sent as string)))
        }
      const whole = message(peer)
      client.send('frag', { fin: false })
      client.ping('between')
      const [between] = (await once(peer, 'ping')) as [Buffer]
      client.send('ments', { fin: true })
      assert.deepEqual([(await whole).bytes.toString(), between.toString()], ['fragments', 'between'])
    })

  it('answers pings of either end', async (t) => {
    const { client, peer } = await join(t, { server: { autoPong: false } })
    const ponged = once(peer, 'pong')
    peer.ping('are you there')
    assert.equal(String((await ponged)[0]), 'are you there')
    const pinged = once(peer, 'ping')
    client.ping()
    await pinged
    const late = once(client, 'pong')
    peer.pong('late')
    assert.equal(String((await late)[0]), 'late')
  })

  it('carries large messages both ways at once', async (t) => {
    const { client, peer, gateway } = await join(t, {
      server: { maxPayload: 64 << 20 },
      client: { maxPayload: 64 << 20 },
    })
    const bytes = noise(8 << 20)
    const both = [message(client), message(peer)]
    client.send(bytes)
    peer.send(bytes)
    for (const received of await Promise.all(both)) assert.ok(received.bytes.equals(bytes))
    client.close()
    await once(client, 'close')
    await gateway.nothingLeft()
    const [line] = gateway.log()
    assert.ok(Number(line!.bytesIn) > bytes.length && Number(line!.bytesOut) > bytes.length)
  })

  it('holds a sender back while the other end does not read, and loses nothing', async (t) => {
    const { client, peer } = await join(t, { client: { perMessageDeflate: false } })
    let received = 0
    peer.on('message', (data: Buffer) => (received += data.length))
    peer.pause()
    const part = Buffer.alloc(1 << 20, 'x')
    let drained = 0
    for (let i = 0; i < 32; i++) client.send(part, () => drained++)
    // What two sockets and the gateway hold is less than was sent.
    await new Promise((resolve) => setTimeout(resolve, 300))
    assert.ok(client.bufferedAmount > 0 && drained < 32, `${drained} messages have left`)
    peer.resume()
    while (received < 32 << 20) await once(peer, 'message')
    assert.equal(received, 32 << 20)
  })

  for (const [what, close, code, reason] of [
    ['no code', (socket: WebSocket) => socket.close(), 1005, ''],
    ['1000', (socket: WebSocket) => socket.close(1000, 'bye'), 1000, 'bye'],
    [
      '4999 and 123 bytes of a reason',
      (socket: WebSocket) => socket.close(4999, 'r'.repeat(123)),
      4999,
      'r'.repeat(123),
    ],
    ['no close frame', (socket: WebSocket) => socket.terminate(), 1006, ''],
  ] as const)
    for (const way of ['client', 'server'] as const)
      it(`closed with ${what} by the ${way} is closed so at the other end`, async (t) => {
        const { gateway, client, peer } = await join(t)
        const [from, to] = way === 'client' ? [client, peer] : [peer, client]
        const closed = once(to, 'close') as Promise<[number, Buffer]>
        close(from)
        const [seen, why] = await closed
        assert.deepEqual([seen, why.toString()], [code, reason])
        await gateway.nothingLeft()
        assert.deepEqual(
          gateway.log().map(({ status, reason: logged }) => [status, logged]),
          [[101, undefined]],
        )
      })

  it('ends as the ends decide where one breaks the protocol', async (t) => {
    for (const [frame, code] of [
      [Buffer.from([0x83, 0x80, 0, 0, 0, 0]), 1002],
      [Buffer.from([0x81, 0x82, 0, 0, 0, 0, 0xff, 0xff]), 1007],
      [Buffer.from([0x82, 0xff, 0, 0, 0, 0, 0x10, 0, 0, 0]), 1009],
    ] as const) {
      const { client, peer } = await join(t, { server: { maxPayload: 1 << 20 } })
      peer.on('error', () => {})
      const closed = once(client, 'close') as Promise<[number]>
      ;(client as unknown as { _socket: { write(bytes: Buffer): void } })._socket.write(frame)
      assert.equal((await closed)[0], code)
    }
  })

  for (const status of [401, 403, 404, 500])
    it(`that its server refuses with ${status} gets the response, with its body`, async (t) => {
      const server = await served(t, {
        verifyClient: (_info, done) => done(false, status, 'the body', { 'www-authenticate': 'Bearer' }),
      })
      const gateway = await inProcess(t, { upstreams: [portOf(server)] })
      const client = new WebSocket(`ws://127.0.0.1:${gateway.port}/`, { headers: { host: 'w.test' } })
      const { status: got, body, fields } = await refusal(client)
      assert.deepEqual([got, body, fields.headers['www-authenticate']], [status, 'the body', 'Bearer'])
      client.terminate()
      await gateway.nothingLeft()
    })

  it('of a version that the server does not have gets its 426 and the versions', async (t) => {
    const server = await served(t)
    const gateway = await inProcess(t, { upstreams: [portOf(server)] })
    using client = await gateway.connect()
    const headers = {
      connection: 'Upgrade',
      upgrade: 'websocket',
      'sec-websocket-key': KEY,
      'sec-websocket-version': '99',
    }
    const { status, header } = await client.request({ host: 'w.test', headers })
    assert.deepEqual([status, header('sec-websocket-version')], [400, '13, 8'])
  })

  it('gives up at its handshakeTimeout, and leaves nothing behind', async (t) => {
    const { port } = await rawBackend(t, () => {})
    const gateway = await inProcess(t, { upstreams: [port] })
    const client = new WebSocket(`ws://127.0.0.1:${gateway.port}/`, {
      headers: { host: 'w.test' },
      handshakeTimeout: 200,
    })
    const [error] = (await once(client, 'error')) as [Error]
    assert.match(error.message, /handshake has timed out/)
    await gateway.nothingLeft()
    assert.equal(gateway.log()[0]!.reason, 'ClientGone')
  })

  it('follows a redirect of the server', async (t) => {
    const server = await served(t)
    const { port } = await rawBackend(t, (socket) =>
      onHead(socket, () =>
        socket.write(`HTTP/1.1 302 x\r\ncontent-length: 0\r\nlocation: ws://127.0.0.1:${portOf(server)}/\r\n\r\n`),
      ),
    )
    const gateway = await inProcess(t, { upstreams: [port] })
    const client = new WebSocket(`ws://127.0.0.1:${gateway.port}/`, {
      headers: { host: 'w.test' },
      followRedirects: true,
    })
    t.after(() => client.terminate())
    await once(client, 'open')
  })

  it('is tried at another endpoint where the first refuses connections', async (t) => {
    const { port: dead } = await rawBackend(t, (socket) => socket.destroy())
    const server = await served(t)
    const rules = toUp({ retry: { attempts: 2, backoff: '1ms' } })
    const gateway = await inProcess(t, { upstreams: [dead, portOf(server)], rules })
    for (let i = 0; i < 8; i++) {
      const client = new WebSocket(`ws://127.0.0.1:${gateway.port}/`, { headers: { host: 'w.test' } })
      t.after(() => client.terminate())
      await once(client, 'open')
    }
  })
})
