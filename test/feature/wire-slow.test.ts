import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { Socket } from 'node:net'
import { before, describe, it } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { onHead, rawBackend } from './backends.ts'
import { eventually, type Gateway, suiteScope } from './harness.ts'
import { RawClient } from './raw-client.ts'
import { HOST, type Holdings, holdings, nothingLeft, residentMiB, scripted, wireGateway } from './wire.ts'

const SIZE = 200_000_000
/**
 * MiB that a gateway may grow by while one side does not take what the other sends: far below the 191 that are sent.
 */
const GROWTH = 40
const CHUNK = Buffer.alloc(1_000_000, 'headgate ')

/** Writes `size` bytes as fast as the other side takes them, then `last`. */
function pour(socket: Socket, size: number, last = ''): void {
  let left = size
  const more = (): void => {
    while (left > 0) {
      const part = left >= CHUNK.length ? CHUNK : CHUNK.subarray(0, left)
      left -= part.length
      if (!socket.write(part)) {
        socket.once('drain', more)
        return
      }
    }
    socket.write(last)
  }
  more()
}

/** The most that the gateway grew within a time. */
async function growth(gateway: Gateway, before: number, milliseconds: number): Promise<number> {
  let most = 0
  for (const until = performance.now() + milliseconds; performance.now() < until; await delay(50))
    most = Math.max(most, residentMiB(gateway) - before)
  return most
}

/** A head that comes byte by byte and never ends: what the gateway says to it, and after how long. */
async function drippedHead(gateway: Gateway): Promise<{ readonly text: string; readonly took: number }> {
  const client = await RawClient.connect(gateway.port)
  const began = performance.now()
  client.send('GET / HTTP/1.1\r\n')
  const drip = setInterval(() => client.send('x'), 500)
  try {
    await once(client.socket, 'end')
  } finally {
    clearInterval(drip)
    client.socket.destroy()
  }
  return { text: client.unread.toString(), took: performance.now() - began }
}

describe('slow sides', () => {
  const scope = suiteScope()
  let gateway: Gateway
  let base: Holdings
  let dripped: ReturnType<typeof drippedHead>
  before(async () => {
    const upstream = await scripted(scope, {
      ok: (socket) => socket.write('HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok'),
      large: (socket) => {
        socket.write(`HTTP/1.1 200 OK\r\ncontent-length: ${SIZE}\r\n\r\n`)
        pour(socket, SIZE)
      },
      chunks: (socket) => {
        socket.write('HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n')
        socket.write(`${SIZE.toString(16)}\r\n`)
        pour(socket, SIZE, '\r\n0\r\n\r\n')
      },
    })
    gateway = await wireGateway(scope, upstream.port)
    // Memory settles once everything has run.
    for (let i = 0; i < 50; i++) await gateway.request({ host: 'wire.test', path: '/ok' })
    base = await holdings(gateway)
    // Ten seconds, in which the rest is looked at.
    dripped = drippedHead(gateway)
    dripped.catch(() => {})
  })

  for (const path of ['/large', '/chunks'])
    it(`a client that does not read ${path} costs no memory, and gets every byte when it does`, async () => {
      const before = residentMiB(gateway)
      using client = await RawClient.connect(gateway.port)
      // The reader of these tests would keep everything; this one counts.
      client.socket.removeAllListeners('data')
      client.socket.pause()
      client.send(`GET ${path} HTTP/1.1\r\n${HOST}connection: close\r\n\r\n`)
      const grown = await growth(gateway, before, 1_500)
      assert.ok(grown < GROWTH, `grew by ${grown} MiB`)
      let received = 0
      client.socket.on('data', (bytes: Buffer) => {
        received += bytes.length
      })
      const whole = once(client.socket, 'end')
      client.socket.resume()
      const drained = growth(gateway, before, 300)
      await whole
      assert.ok((await drained) < GROWTH)
      assert.ok(received > SIZE, `${received} bytes; ${gateway.processLog.join('\n')}`)
    })

  it('an upstream that does not read an upload costs no memory', async (t) => {
    const deaf = await rawBackend(t, (socket) => socket.pause())
    const one = await wireGateway(t, deaf.port, { timeouts: { idle: '2s' } })
    await one.request({ host: 'nobody.test' })
    const before = residentMiB(one)
    using client = await one.connect()
    client.send(`POST /up HTTP/1.1\r\n${HOST}content-length: ${SIZE}\r\n\r\n`)
    pour(client.socket, SIZE)
    const grown = await growth(one, before, 1_500)
    assert.ok(grown < GROWTH, `grew by ${grown} MiB`)
    assert.equal((await client.response()).json().reason, 'IdleTimeout')
  })

  it('a client that asks and asks and reads nothing costs no memory', async (t) => {
    const quick = await rawBackend(t, (socket) =>
      onHead(socket, () => socket.write('HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok')),
    )
    const one = await wireGateway(t, quick.port)
    for (let i = 0; i < 50; i++) await one.request({ host: 'wire.test' })
    const before = residentMiB(one)
    using client = await RawClient.connect(one.port)
    client.socket.pause()
    const many = Buffer.from(
      `GET /none HTTP/1.1\r\nhost: nobody.test\r\n\r\nGET /ok HTTP/1.1\r\n${HOST}\r\n`.repeat(4_000),
    )
    let sent = 0
    const flood = setInterval(() => {
      if (!client.socket.writableNeedDrain) {
        client.send(many)
        sent++
      }
    }, 5)
    const grown = await growth(one, before, 2_500)
    clearInterval(flood)
    assert.ok(sent > 1)
    assert.ok(grown < GROWTH, `grew by ${grown} MiB after ${sent} times 8000 requests`)
    client.reset()
    await eventually(async () => assert.equal((await holdings(one)).exchanges, 0))
  })

  it('a head that takes its time is 408', async () => {
    const { text, took } = await dripped
    assert.match(text, /^HTTP\/1\.1 408 .*"reason":"RequestHeadTimeout"/s)
    assert.ok(took > 9_900 && took < 12_000, `${took} ms`)
  })

  it('leave nothing behind', () => nothingLeft(gateway, base))
})
