/** WebSockets within TLS, and what a client certificate means for pages of other origins. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { IncomingMessage } from 'node:http'
import { describe, it } from 'node:test'
import { type ClientOptions, WebSocket, WebSocketServer } from 'ws'
import { tlsOf } from '../../src/routing/find-host.ts'
import { FrontendHandle } from '../../src/snapshot/frontend-handle.ts'
import { TestAuthority } from '../lib/certificates.ts'
import { extendedConnect, h2Session, joined } from '../lib/h2-websocket.ts'
import { type Scope, toUp } from './test-plane.ts'
import { type TlsRig, tlsRig } from './tls-rig.ts'

const authority = new TestAuthority()
const alice = authority.client('alice')

async function secured(t: Scope): Promise<TlsRig> {
  const server = new WebSocketServer({ port: 0, host: '127.0.0.1' })
  await once(server, 'listening')
  server.on('connection', (socket) => socket.on('message', (data, binary) => socket.send(data as Buffer, { binary })))
  t.after(() => {
    for (const peer of server.clients) peer.terminate()
    server.close()
  })
  const { port } = server.address() as { port: number }
  const rules = toUp({ retry: { attempts: 0 } })
  const rig = await tlsRig(t, {
    upstreams: [port],
    rules,
    defaultSecret: 'w',
    routes: {
      'default/w': {
        hostnames: ['w.test'],
        tls: {
          mode: 'Terminate',
          http: 'Redirect',
          minVersion: 'TLS1.2',
          clientCertificate: { caSecretName: 'clients', mode: 'Optional' },
        },
        rules,
      },
    },
  })
  rig.secret('w', authority.server('w.test'))
  const { tables } = rig.plane.context.tables!
  const { options } = tlsOf(tables, new FrontendHandle('https'), 'w.test')!
  rig.content(options.clientCertificate!.ca, authority.ca)
  return rig
}

function client(t: Scope, rig: TlsRig, options: ClientOptions): WebSocket {
  // Of node:tls; the types of `ws` do not know it.
  const secure = { servername: 'w.test', ca: authority.ca }
  const socket = new WebSocket(`wss://127.0.0.2:${rig.tlsPort}/`, {
    ...secure,
    headers: { host: 'w.test' },
    ...options,
  })
  t.after(() => socket.terminate())
  return socket.on('error', () => {})
}

/** The status of the handshake. */
async function statusOf(socket: WebSocket): Promise<number | undefined> {
  return await Promise.race([
    once(socket, 'open').then(() => 101),
    once(socket, 'unexpected-response').then(([, response]) => (response as IncomingMessage).statusCode),
  ])
}

async function echoes(socket: WebSocket): Promise<void> {
  const back = once(socket, 'message') as Promise<[Buffer]>
  socket.send('hello')
  assert.equal(String((await back)[0]), 'hello')
}

describe('a WebSocket within TLS', () => {
  it('is opened over HTTP/1.1 and over HTTP/2', async (t) => {
    const rig = await secured(t)
    const first = client(t, rig, {})
    assert.equal(await statusOf(first), 101)
    await echoes(first)
    const options = { servername: 'w.test', ca: authority.ca }
    const session = await h2Session(t, `https://127.0.0.2:${rig.tlsPort}`, options)
    const { status, stream } = await extendedConnect(session, 'w.test')
    assert.equal(status, 200)
    await echoes(joined(stream, false))
  })

  it('of a client with a certificate is for pages of the same origin', async (t) => {
    const rig = await secured(t)
    const { cert, key } = alice
    for (const [origin, expected] of [
      ['https://evil.test', 403],
      // Sent over the network in clear: whoever is on the path made the page.
      ['http://w.test', 403],
      ['null', 403],
      ['https://w.test', 101],
      [undefined, 101],
    ] as const) {
      const socket = client(t, rig, { cert, key, ...(origin === undefined ? {} : { origin }) })
      assert.equal(await statusOf(socket), expected, String(origin))
      socket.terminate()
    }
    const stranger = client(t, rig, { origin: 'https://evil.test' })
    assert.equal(await statusOf(stranger), 101)
  })

  it('of a client with a certificate is for the same pages over HTTP/2', async (t) => {
    const rig = await secured(t)
    const { cert, key } = alice
    const session = await h2Session(t, `https://127.0.0.2:${rig.tlsPort}`, {
      servername: 'w.test',
      ca: authority.ca,
      cert,
      key,
    })
    assert.equal((await extendedConnect(session, 'w.test', { origin: 'https://evil.test' })).status, 403)
    assert.equal((await extendedConnect(session, 'w.test', { origin: 'https://w.test' })).status, 200)
  })
})

describe('many idle tunnels', () => {
  it('take one place of the wheel each, and end in their time', async (t) => {
    const server = new WebSocketServer({ port: 0, host: '127.0.0.1' })
    await once(server, 'listening')
    t.after(() => server.close())
    const { port } = server.address() as { port: number }
    // On a busy machine the first are over before the last are open: then once more, with more time.
    for (let idle = 1_500; ; idle *= 4) {
      const rig = await tlsRig(t, {
        upstreams: [port],
        rules: toUp({ timeouts: { tunnelIdle: `${idle}ms` } }),
        connections: 1_000,
      })
      const before = rig.plane.timers.armed
      const began = performance.now()
      const sockets = Array.from({ length: 300 }, () => {
        const socket = new WebSocket(`ws://127.0.0.1:${rig.port}/`, { headers: { host: 'w.test' } })
        t.after(() => socket.terminate())
        return socket.on('error', () => {})
      })
      const closed = sockets.map((socket) => once(socket, 'close'))
      await Promise.all(sockets.map((socket) => once(socket, 'open')))
      const { exchanges, timers } = rig.holdings
      const inTime = performance.now() - began < idle
      if (inTime) assert.deepEqual([exchanges, timers], [300, before + 300])
      await Promise.all(closed)
      await rig.nothingLeft()
      assert.ok(rig.log().every(({ reason }) => reason === 'IdleTimeout'))
      if (inTime) return
    }
  })
})
