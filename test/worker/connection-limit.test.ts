import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect as connectTcp, type Socket } from 'node:net'
import { describe, it } from 'node:test'
import type { TLSSocket } from 'node:tls'
import { CONNECTION_BYTES, SECURE_CONTEXT_BYTES, TLS_BYTES } from '../../src/lib/memory-budget.ts'
import { onHead, rawBackend } from '../feature/backends.ts'
import type { RawClient } from '../feature/raw-client.ts'
import { TestAuthority } from '../lib/certificates.ts'
import { h2Session } from '../lib/h2-websocket.ts'
import { ASKING, SWITCHES } from '../lib/websocket-lines.ts'
import { until } from '../socket/sockets.ts'
import { inProcess } from './in-process.ts'
import { type TlsRig, tlsRig } from './tls-rig.ts'

const GET = 'GET / HTTP/1.1\r\nhost: w.test\r\n\r\n'
const UPGRADE = `GET / HTTP/1.1\r\nhost: w.test\r\n${ASKING}\r\n`
const OK = 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok'

async function ended(client: RawClient): Promise<void> {
  if (!client.socket.readableEnded && !client.socket.closed) await once(client.socket, 'end')
}

async function idleOverTls(rig: TlsRig): Promise<TLSSocket> {
  const socket = await rig.handshake({ servername: 'w.test' })
  socket.on('error', () => {})
  socket.write(GET)
  await once(socket, 'data')
  return socket
}

describe('at the limit of connections', () => {
  it('those that lie idle make room, the one that was accepted first before the others', async (t) => {
    const gateway = await inProcess(t, { rules: { all: {} }, connections: 3 })
    const clients: RawClient[] = []
    for (let i = 0; i < 6; i++) {
      const client = await gateway.connect()
      t.after(() => client.reset())
      clients.push(client)
      assert.equal((await client.request({ host: 'w.test' })).status, 200)
    }
    await Promise.all(clients.slice(0, 3).map(ended))
    for (const client of clients.slice(3)) assert.equal((await client.request({ host: 'w.test' })).status, 200)
    assert.equal(gateway.holdings.connections, 3)
  })

  it('connections to upstreams take the place of clients that lie idle', async (t) => {
    let upstreams = 0
    const gateway = await inProcess(t, { rules: { all: {} }, allConnections: 5, upstreamsOpen: () => upstreams })
    const clients: RawClient[] = []
    const open = async (): Promise<void> => {
      const client = await gateway.connect()
      t.after(() => client.reset())
      clients.push(client)
      assert.equal((await client.request({ host: 'w.test' })).status, 200)
    }
    for (let i = 0; i < 4; i++) await open()
    // Five for both.
    upstreams = 2
    await open()
    await ended(clients[0]!)
    for (const client of clients.slice(1)) assert.equal((await client.request({ host: 'w.test' })).status, 200)
  })

  it('an idle one over HTTP/2 is told which of its streams were served', async (t) => {
    const gateway = await inProcess(t, { rules: { all: {} }, connections: 1 })
    const session = await h2Session(t, `http://127.0.0.1:${gateway.port}`)
    const stream = session.request({ ':path': '/', ':authority': 'w.test' })
    await once(stream.resume(), 'close')
    await until(() => gateway.holdings.exchanges === 0)
    const told = once(session, 'goaway') as Promise<[code: number, last: number]>
    using next = await gateway.connect()
    assert.equal((await next.request({ host: 'w.test' })).status, 200)
    assert.deepEqual((await told).slice(0, 2), [0, stream.id])
  })

  it('busy ones and tunnels go on, and a new client is told so', async (t) => {
    const sockets: Socket[] = []
    const upstream = await rawBackend(t, (socket) =>
      onHead(socket, (head) => {
        if (/upgrade/i.test(head)) {
          socket.on('data', (bytes: Buffer) => socket.write(bytes))
          socket.write(SWITCHES)
        } else sockets.push(socket)
      }),
    )
    const gateway = await inProcess(t, { upstreams: [upstream.port], connections: 2 })
    using waiting = await gateway.connect()
    using tunnel = await gateway.connect()
    tunnel.send(UPGRADE)
    assert.equal((await tunnel.response()).status, 101)
    waiting.send(GET)
    await until(() => sockets.length === 1)
    using refused = await gateway.connect()
    const answer = await refused.request({ host: 'w.test' })
    assert.deepEqual(
      [answer.status, answer.json().reason, answer.header('connection'), answer.header('retry-after')],
      [503, 'ConnectionLimit', 'close', '1'],
    )
    refused.end()
    tunnel.send('still')
    sockets[0]!.write(OK)
    assert.equal((await waiting.response()).text, 'ok')
    await until(() => tunnel.unread.toString() === 'still')
    // The one that has become idle makes room.
    using next = await gateway.connect()
    next.send(GET)
    await until(() => sockets.length === 2)
    await ended(waiting)
  })

  it('a half of a head that has come is not given up for another client', async (t) => {
    const gateway = await inProcess(t, { rules: { all: {} }, connections: 1 })
    using slow = await gateway.connect()
    slow.send('GET / HTTP/1.1\r\nho')
    await until(() => gateway.holdings.connections === 1)
    await new Promise((resolve) => setTimeout(resolve, 50))
    using refused = await gateway.connect()
    assert.equal((await refused.request({ host: 'w.test' })).status, 503)
    slow.send('st: w.test\r\n\r\n')
    assert.equal((await slow.response()).status, 200)
  })

  it('few clients at a time are told so, whatever comes: the others are closed', async (t) => {
    const upstream = await rawBackend(t, () => {})
    const gateway = await inProcess(t, { upstreams: [upstream.port], connections: 1 })
    using busy = await gateway.connect()
    busy.send(GET)
    await until(() => gateway.holdings.exchanges === 1)
    const clients = Array.from({ length: 200 }, async () => {
      const socket = connectTcp({ port: gateway.port, host: '127.0.0.1' })
      t.after(() => socket.destroy())
      let text = ''
      socket.on('error', () => {})
      socket.on('data', (bytes: Buffer) => (text += bytes.toString()))
      await once(socket, 'close').catch(() => {})
      return text
    })
    const texts = await Promise.all(clients)
    const told = texts.filter((text) => text.startsWith('HTTP/1.1 503 ')).length
    assert.ok(texts.every((text) => text === '' || text.startsWith('HTTP/1.1 503 ')))
    assert.ok(told > 0, 'some are told')
    assert.equal(gateway.holdings.exchanges, 1)
  })

  it('by memory one with TLS takes the place of several in clear text, and idle ones make room for it', async (t) => {
    const authority = new TestAuthority()
    // One context, one connection with TLS, and two in clear text.
    const connectionBytes = SECURE_CONTEXT_BYTES + TLS_BYTES + 3 * CONNECTION_BYTES
    const rig = await tlsRig(t, { defaultSecret: 'default', connectionBytes })
    rig.secret('default', authority.server('w.test'))
    const clear: RawClient[] = []
    for (let i = 0; i < 12; i++) {
      const client = await rig.connect()
      t.after(() => client.reset())
      clear.push(client)
      assert.equal((await client.request({ host: 'w.test' })).status, 200)
    }
    assert.equal(rig.holdings.connections, Math.floor(connectionBytes / CONNECTION_BYTES))
    const first = await idleOverTls(rig)
    assert.ok(rig.holdings.connections <= 5, `${rig.holdings.connections} are open`)
    await ended(clear[0]!)
    const closed = once(first, 'close')
    await idleOverTls(rig)
    await closed
    // What is closed is counted once: there is room for two in clear text beside the one with TLS, not more.
    for (let i = 0; i < 2; i++) {
      const client = await rig.connect()
      t.after(() => client.reset())
      assert.equal((await client.request({ host: 'w.test' })).status, 200)
    }
    await until(() => rig.holdings.connections === 3)
  })

  it('an alert is what a client with TLS is told', async (t) => {
    const authority = new TestAuthority()
    const upstream = await rawBackend(t, () => {})
    const rig = await tlsRig(t, {
      upstreams: [upstream.port],
      defaultSecret: 'default',
      connections: 1,
      rules: { all: { backendRefs: [{ name: 'up', weight: 1, priority: 0 }] } },
    })
    rig.secret('default', authority.server('w.test'))
    const busy = await rig.handshake({ servername: 'w.test' })
    t.after(() => busy.destroy())
    busy.write(GET)
    await until(() => rig.holdings.exchanges === 1)
    await assert.rejects(rig.handshake({ servername: 'w.test' }), /alert internal error/)
  })
})
