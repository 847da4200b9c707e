import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import type { Socket } from 'node:net'
import { before, describe, it } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { backend, eventually, type Gateway, route, startGateway, suiteScope } from './harness.ts'
import type { RawClient } from './raw-client.ts'
import { HOST, type Holdings, holdings, nothingLeft, type Scripted, scripted } from './wire.ts'

const KEY = 'dGhlIHNhbXBsZSBub25jZQ=='
/** RFC 6455 §4.2.2. */
const ACCEPT = createHash('sha1').update(`${KEY}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64')
const SWITCH = `HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\nsec-websocket-accept: ${ACCEPT}\r\n\r\n`

function asks(path: string, more = ''): string {
  return `GET ${path} HTTP/1.1\r\n${HOST}connection: keep-alive, Upgrade\r\nupgrade: WebSocket\r\nsec-websocket-key: ${KEY}\r\nsec-websocket-version: 13\r\n${more}\r\n`
}

/** A text frame with a mask, as a client must send it (RFC 6455 §5.2). */
function frame(text: string): Buffer {
  const mask = randomBytes(4)
  const payload = Buffer.from(text)
  for (let i = 0; i < payload.length; i++) payload[i]! ^= mask[i % 4]!
  return Buffer.concat([Buffer.from([0x81, 0x80 | payload.length]), mask, payload])
}

/** Sends each masked frame of up to 125 bytes back, unmasked. */
function echoFrames(socket: Socket): void {
  let bytes = Buffer.alloc(0)
  socket.on('data', (chunk: Buffer) => {
    bytes = Buffer.concat([bytes, chunk])
    while (bytes.length >= 6 && bytes.length >= 6 + (bytes[1]! & 0x7f)) {
      const length = bytes[1]! & 0x7f
      const payload = Buffer.from(bytes.subarray(6, 6 + length))
      for (let i = 0; i < length; i++) payload[i]! ^= bytes[2 + (i % 4)]!
      socket.write(Buffer.concat([Buffer.from([0x81, length]), payload]))
      bytes = bytes.subarray(6 + length)
    }
  })
}

/** Answers with the head that arrived. */
function says(socket: Socket, _: unknown, head: string): void {
  socket.write(`HTTP/1.1 200 OK\r\ncontent-length: ${head.length}\r\n\r\n${head}`)
}

describe('upgrades', () => {
  const scope = suiteScope()
  let gateway: Gateway
  let upstream: Scripted
  let base: Holdings
  before(async () => {
    upstream = await scripted(scope, {
      echo: (socket) => {
        socket.write(SWITCH)
        echoFrames(socket)
      },
      // The upstream's first bytes come with its 101.
      early: (socket) => socket.write(`${SWITCH}early`),
      last: (socket) => {
        socket.write(SWITCH)
        socket.once('data', () => socket.end(Buffer.alloc(3_000_000, 'last ')))
      },
      silent: (socket) => socket.write(SWITCH),
      refused: (socket) => socket.write('HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno'),
      plain: says,
      never: says,
      other: (socket) => socket.write('HTTP/1.1 101 x\r\nupgrade: other\r\nconnection: upgrade\r\n\r\n'),
      deaf: (socket) => {
        socket.write(SWITCH)
        socket.pause()
      },
      reset: (socket) => {
        socket.write(SWITCH)
        setTimeout(() => socket.resetAndDestroy(), 50)
      },
    })
    const rule = (name: string, policies: object): object => ({
      name,
      matches: [{ path: { type: 'PathPrefix', value: `/${name}` } }],
      backendRefs: [{ name: 'up' }],
      policies: { retry: { attempts: 0 }, ...policies },
    })
    const rules = ['echo', 'early', 'last', 'refused', 'plain', 'other', 'reset'].map((name) => rule(name, {}))
    gateway = await startGateway(scope, {
      'all.yaml':
        backend('up', [upstream.port]) +
        route(
          'wire',
          ['wire.test'],
          [
            ...rules,
            rule('silent', { timeouts: { tunnelIdle: '300ms' } }),
            rule('deaf', { timeouts: { tunnelIdle: '1s' } }),
            rule('never', { upgrades: [] }),
          ],
        ),
    })
    base = await holdings(gateway)
  })

  async function opened(path: string): Promise<RawClient> {
    const client = await gateway.connect()
    client.send(asks(path))
    const answer = await client.response()
    assert.equal(answer.status, 101, answer.text)
    return client
  }

  async function bytesUntil(client: RawClient, length: number): Promise<Buffer> {
    await eventually(() => assert.ok(client.unread.length >= length, `${client.unread.length} of ${length} bytes`))
    return client.unread
  }

  it('carry a websocket both ways, its handshake whole', async () => {
    using client = await gateway.connect()
    client.send(asks('/echo'))
    const answer = await client.response()
    assert.deepEqual(
      [answer.status, answer.header('upgrade'), answer.header('connection'), answer.header('sec-websocket-accept')],
      [101, 'websocket', 'upgrade', ACCEPT],
    )
    assert.match(upstream.arrived.at(-1)!.text, /^upgrade: websocket\r$/m)
    assert.match(upstream.arrived.at(-1)!.text, /^connection: upgrade\r$/m)
    for (const text of ['hello', 'x'.repeat(125), '']) {
      const before = client.unread.length
      client.send(frame(text))
      const all = await bytesUntil(client, before + 2 + text.length)
      assert.equal(all.subarray(before + 2).toString(), text)
    }
  })

  it('lose no byte that comes right behind either side of the handshake', async () => {
    using early = await gateway.connect()
    early.send(asks('/early'))
    assert.equal((await early.response()).status, 101)
    assert.equal((await bytesUntil(early, 5)).toString(), 'early')
    using eager = await gateway.connect()
    eager.send(Buffer.concat([Buffer.from(asks('/echo')), frame('eager')]))
    assert.equal((await eager.response()).status, 101)
    assert.equal((await bytesUntil(eager, 7)).subarray(2).toString(), 'eager')
  })

  it('give a slow client all that the upstream sent before it closed', async () => {
    using client = await opened('/last')
    client.socket.pause()
    client.send('go')
    await delay(300)
    client.socket.resume()
    assert.equal((await bytesUntil(client, 3_000_000)).length, 3_000_000)
    await eventually(() => assert.equal(client.socket.readableEnded, true))
  })

  it('pass the end of the client on, and what the upstream says after it', async () => {
    using client = await opened('/last')
    client.send('go').end()
    assert.equal((await bytesUntil(client, 3_000_000)).length, 3_000_000)
  })

  it('hold back what the other side does not take', async () => {
    using client = await opened('/deaf')
    const before = (await holdings(gateway)).clients
    assert.ok(before >= 1)
    const chunk = Buffer.alloc(1_000_000)
    let waited = false
    for (let i = 0; i < 60 && !waited; i++) waited = !(await written(client.socket, chunk))
    assert.equal(waited, true)
  })

  it('end after their idle time, and the log says so', async () => {
    using client = await opened('/silent')
    const began = performance.now()
    await client.closed()
    assert.ok(performance.now() - began < 2_000)
    assert.equal((await gateway.logged((line) => line.rule === 'silent')).reason, 'IdleTimeout')
  })

  it('end on one side when the other vanishes', async () => {
    const client = await opened('/echo')
    const socket = upstream.arrived.at(-1)!.socket
    client.reset()
    await once(socket, 'close')
    using other = await opened('/reset')
    await eventually(() => assert.equal(other.socket.closed || other.socket.readableEnded, true))
  })

  it('are an answer like any other when the upstream refuses', async () => {
    using client = await gateway.connect()
    client.send(asks('/refused'))
    const answer = await client.response()
    assert.deepEqual([answer.status, answer.text], [403, 'no'])
    assert.equal((await client.request({ host: 'wire.test', path: '/plain' })).status, 200)
  })

  it('are 502 when the upstream switches to something else', async () => {
    using client = await gateway.connect()
    client.send(asks('/other'))
    assert.equal((await client.response()).json().reason, 'UpstreamProtocolError')
  })

  for (const [what, bytes] of [
    ['of another protocol', `GET /plain HTTP/1.1\r\n${HOST}connection: upgrade\r\nupgrade: h2c\r\n\r\n`],
    ['that Connection does not name', `GET /plain HTTP/1.1\r\n${HOST}upgrade: websocket\r\n\r\n`],
    ['in HTTP/1.0', `GET /plain HTTP/1.0\r\n${HOST}connection: upgrade\r\nupgrade: websocket\r\n\r\n`],
    ['of a list', `GET /plain HTTP/1.1\r\n${HOST}connection: upgrade\r\nupgrade: websocket, h2c\r\n\r\n`],
  ] as const)
    it(`${what} are not passed on: the request is a plain one`, async () => {
      using client = await gateway.connect()
      client.send(bytes)
      const answer = await client.response()
      assert.equal(answer.status, 200)
      assert.doesNotMatch(answer.text, /upgrade/i)
    })

  it('that the rule does not allow are not passed on', async () => {
    using client = await gateway.connect()
    client.send(asks('/never'))
    const answer = await client.response()
    assert.match(answer.text, /^GET \/never/)
    assert.doesNotMatch(answer.text, /upgrade/i)
  })

  it('leave nothing open', () => nothingLeft(gateway, base))

  it('end with a drain, at its deadline', async (t) => {
    const one = await startGateway(t, {
      'all.yaml':
        backend('up', [upstream.port]) + route('wire', ['wire.test'], [{ name: 'all', backendRefs: [{ name: 'up' }] }]),
    })
    using client = await one.connect()
    client.send(asks('/echo'))
    assert.equal((await client.response()).status, 101)
    const socket = upstream.arrived.at(-1)!.socket
    const closed = once(socket, 'close')
    await one.stop()
    await closed
    await eventually(() => assert.equal(client.socket.closed || client.socket.readableEnded, true))
  })
})

/** Resolves to false when the system takes nothing more for half a second. */
async function written(socket: Socket, chunk: Buffer): Promise<boolean> {
  if (socket.write(chunk)) return true
  return Promise.race([once(socket, 'drain').then(() => true), delay(500).then(() => false)])
}
