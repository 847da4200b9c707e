/** Clients of HTTP/2 that read slowly, never end what they have begun, or make a few bytes mean many. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { describe, it, type TestContext } from 'node:test'
import { waitingBytes } from '../../src/exchange/request-body.ts'
import { Fields } from '../../src/message/fields.ts'
import type { Filter } from '../../src/policy/filter.ts'
import type { Connector } from '../../src/transport/connector.ts'
import { HELD_BODIES } from '../../src/transport/held-memory.ts'
import { data, Flag, FrameType, frame, headers, literalBlock, settings, windowUpdate } from '../http/raw-frames.ts'
import { liveBytes } from '../lib/live-bytes.ts'
import { RawH2, request } from '../lib/raw-h2.ts'
import { listening, until } from '../socket/sockets.ts'
import { type InProcess, inProcess } from './in-process.ts'
import { type InProcessOptions, toUp } from './test-plane.ts'

const MiB = 1024 * 1024
const POST = request('/', [], 'POST')
const ACK = frame({ type: FrameType.SETTINGS, flags: Flag.ACK })
const NO_WINDOW = [4, 0] as const

/** Responds itself, with a head and a body of these sizes. */
function responder(head: number, body = 0): Pick<InProcessOptions, 'filters' | 'rules'> {
  const filter: Filter = {
    name: 'responder',
    onRequest: () => ({
      type: 'respond',
      response: {
        status: 200,
        fields: Fields.from(head === 0 ? {} : { 'x-long': 'x'.repeat(head) }),
        body: body === 0 ? null : Buffer.alloc(body, 'b'),
      },
    }),
  }
  return { filters: [{ phase: 'answer', filter }], rules: { all: {} } }
}

async function upstreamOf(t: TestContext, bytes: number): Promise<number> {
  // One for all: what this server has not sent is not the gateway's.
  const body = Buffer.alloc(bytes, 'u')
  const server = createServer((_, res) => res.end(body))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => server.close().closeAllConnections())
  return (server.address() as AddressInfo).port
}

async function silent(t: TestContext): Promise<number> {
  return (await listening(t, (socket) => socket.resume())).port
}

async function nothingLeft(gateway: InProcess): Promise<void> {
  await gateway.nothingLeft()
  assert.deepEqual(gateway.errors, [])
}

describe('a client of HTTP/2 that reads slowly', () => {
  it('is not read while the heads of its responses wait, and served when it reads', async (t) => {
    const gateway = await inProcess(t, responder(16_000))
    const client = await RawH2.connect(t, gateway.port)
    await client.sees('settings ack')
    client.send(ACK)
    client.socket.pause()
    const before = liveBytes()
    const COUNT = 4_000
    for (let i = 0; i < COUNT; i++) client.get(2 * i + 1)
    await until(() => client.socket.writableLength === 0 || client.socket.writableNeedDrain)
    // All of them would be 64 MB, and one read of them brings hundreds.
    assert.ok(liveBytes() - before < 16 * MiB)
    const asked = gateway.log().length
    assert.ok(asked < COUNT, `all ${asked} responses were made`)
    client.socket.resume()
    await until(() => client.log.heads.size === COUNT, 'all responses')
    client.socket.end()
    await nothingLeft(gateway)
  })

  it('loses streams where it holds back many, and memory is short', async (t) => {
    const gateway = await inProcess(t, { upstreams: [await upstreamOf(t, 200_000)], heldBodies: MiB })
    const client = await RawH2.connect(t, gateway.port, ...NO_WINDOW)
    const before = liveBytes()
    for (let i = 0; i < 100; i++) client.get(2 * i + 1)
    await until(() => client.lines.some((line) => /^reset \d+ ENHANCE_YOUR_CALM$/.test(line)), 'a reset')
    await until(() => client.log.heads.size === 100)
    // 1 MiB may be held by all; 100 times what one read of an upstream brings would be over six.
    await until(() => liveBytes() - before < 5 * MiB, 'the end of what was held too much')
    // Another one that holds back a single response is not touched.
    const modest = await RawH2.connect(t, gateway.port, ...NO_WINDOW)
    modest.get(1)
    await modest.sees('head 1 200')
    modest.send(windowUpdate(1, 200_000), windowUpdate(0, 200_000))
    await until(() => modest.received > 200_000)
    assert.ok(!modest.lines.some((line) => line.startsWith('reset')))
    for (const each of [client, modest]) each.socket.destroy()
    await nothingLeft(gateway)
    assert.ok(gateway.log().some(({ reason }) => reason === 'MemoryLimit'))
  })

  it('whose uploads wait loses some of many, and another that has one does not', async (t) => {
    const SIZE = 60_000
    // Nobody takes a body before there is a connection for it.
    const connector: Connector = { connect: () => ({ cancel() {} }) }
    const connection = { connectTimeout: '60s', idleTimeout: '60s', maxRequestsPerConnection: 0 }
    const gateway = await inProcess(t, { upstreams: [1], connector, backend: { connection }, heldBodies: MiB })
    const upload = (client: RawH2, stream: number): void => {
      client.send(headers(stream, [...POST, ['content-length', String(SIZE)]], { end: false }))
      for (let at = 0; at < SIZE; at += 10_000) client.send(data(stream, 'u'.repeat(10_000), at + 10_000 === SIZE))
    }
    const greedy = await RawH2.connect(t, gateway.port)
    for (let i = 0; i < 500 && greedy.goaway === undefined; i++) upload(greedy, 2 * i + 1)
    await until(() => greedy.lines.some((line) => /^reset \d+ ENHANCE_YOUR_CALM$/.test(line)), 'a reset')
    const modest = await RawH2.connect(t, gateway.port)
    upload(modest, 1)
    modest.send(frame({ type: FrameType.PING, payload: '12345678' }))
    await until(() => modest.lines.some((line) => line.startsWith('ping ack')), 'all of it was read')
    assert.ok(!modest.lines.some((line) => /^(reset|head)/.test(line)), modest.lines.join('\n'))
    for (const each of [greedy, modest]) each.socket.destroy()
    await until(() => HELD_BODIES.bytes === 0 && waitingBytes() === 0, 'the end of what was held')
    assert.deepEqual(gateway.errors, [])
  })

  it('has its streams reset that take nothing for long', async (t) => {
    const gateway = await inProcess(t, { ...responder(0, 1_000), keepAlive: 150 })
    const client = await RawH2.connect(t, gateway.port, ...NO_WINDOW)
    client.send(ACK)
    client.get(1)
    await client.sees('reset 1 ENHANCE_YOUR_CALM')
    assert.match(await client.ended(), /NO_ERROR/)
    await nothingLeft(gateway)
  })

  it('is closed where its socket takes nothing for long', async (t) => {
    const gateway = await inProcess(t, { upstreams: [await upstreamOf(t, 32 * MiB)], keepAlive: 300 })
    const client = await RawH2.connect(t, gateway.port, 4, 0x7fff_ffff)
    client.send(ACK, windowUpdate(0, 0x7000_0000))
    client.socket.pause()
    client.get(1)
    await until(() => gateway.holdings.connections === 1)
    await nothingLeft(gateway)
    client.socket.destroy()
  })

  it('ends with its connection where it opens windows by single bytes', async (t) => {
    const gateway = await inProcess(t, { upstreams: [await upstreamOf(t, 100_000)] })
    const client = await RawH2.connect(t, gateway.port, ...NO_WINDOW)
    client.get(1)
    await client.sees('head 1 200')
    const rounds = await client.flood(() => windowUpdate(1, 1), 5_000)
    assert.match(await client.ended(), /ENHANCE_YOUR_CALM/, `${rounds} rounds`)
    await nothingLeft(gateway)
  })
})

describe('a client of HTTP/2 that does not end what it begins', () => {
  it('has its requests ended one by one, by their own deadline', async (t) => {
    const rules = toUp({ timeouts: { idle: '200ms' }, retry: { attempts: 0 } })
    const gateway = await inProcess(t, { upstreams: [await silent(t)], rules })
    const client = await RawH2.connect(t, gateway.port)
    client.send(ACK)
    for (let i = 0; i < 200; i++) client.send(headers(2 * i + 1, POST, { end: false }))
    await until(() => client.log.heads.size === 200, 'responses')
    assert.ok(client.lines.includes('head 1 408'), client.lines.join('\n'))
    client.socket.end()
    await nothingLeft(gateway)
    assert.equal(gateway.log().filter(({ reason }) => reason === 'RequestBodyTimeout').length, 200)
  })

  const head = headers(1, request('/', [['a', 'x'.repeat(500)]]))
  const CONTINUED = headers(1, request(), { open: true })
  const continuation = frame({ type: FrameType.CONTINUATION, stream: 1 })
  for (const [what, pieces] of [
    ['a head in single bytes', [...head].map((byte) => Buffer.from([byte]))],
    ['a head in CONTINUATION frames', [CONTINUED, continuation, continuation, continuation, continuation]],
    ['a PING in single bytes', [...frame({ type: FrameType.PING, payload: '12345678' })].map((b) => Buffer.from([b]))],
  ] as const)
    it(`is ended for ${what}`, async (t) => {
      const gateway = await inProcess(t, { rules: { all: {} }, requestHead: 300 })
      const client = await RawH2.connect(t, gateway.port)
      client.send(ACK)
      let at = 0
      const trickle = setInterval(() => client.send(pieces[at++ % pieces.length]!), 90)
      t.after(() => clearInterval(trickle))
      assert.match(await client.ended(), /PROTOCOL_ERROR "a frame that did not arrive in time"/)
      await nothingLeft(gateway)
    })

  it('is waited for where each read ends within another frame', async (t) => {
    const gateway = await inProcess(t, { upstreams: [await upstreamOf(t, 2)], requestHead: 1_500 })
    const client = await RawH2.connect(t, gateway.port)
    client.send(ACK, headers(1, POST, { end: false }))
    const bytes = Buffer.concat(Array.from({ length: 8 }, () => data(1, 'x'.repeat(20))))
    client.send(bytes.subarray(0, 4))
    for (let from = 4; from < bytes.length - 29; from += 29) {
      await new Promise((resolve) => setTimeout(resolve, 300))
      client.send(bytes.subarray(from, from + 29))
    }
    client.send(bytes.subarray(-25), data(1, '', true))
    await client.sees('head 1 200')
    assert.equal(client.goaway, undefined)
    client.socket.end()
    await nothingLeft(gateway)
  })

  it('may not leave parts of heads on many connections', async (t) => {
    const gateway = await inProcess(t, responder(0))
    const before = liveBytes()
    const part = headers(
      1,
      request(
        '/',
        Array.from({ length: 40 }, (_, i) => [`a${i}`, 'x'.repeat(300)]),
      ),
      { open: true },
    )
    const more = frame({ type: FrameType.CONTINUATION, stream: 1, payload: Buffer.alloc(16_000) })
    const clients: RawH2[] = []
    // Each leaves 76 KB; the thread has one MiB for all of them.
    for (let i = 0; i < 40; i++) {
      const client = await RawH2.connect(t, gateway.port)
      client.send(part, more, more, more, more)
      clients.push(client)
    }
    await until(() => clients.some(({ goaway }) => goaway !== undefined), 'the first refusal')
    assert.ok(liveBytes() - before < 8 * MiB)
    for (const { goaway } of clients)
      if (goaway !== undefined) assert.match(goaway, /ENHANCE_YOUR_CALM "too many request/)
    for (const client of clients) client.socket.destroy()
    await until(() => gateway.holdings.connections === 0)
    const after = await RawH2.connect(t, gateway.port)
    after.send(part.subarray(0), more, frame({ type: FrameType.CONTINUATION, flags: Flag.END_HEADERS, stream: 1 }))
    await until(() => after.lines.some((line) => line.startsWith('head') || line.startsWith('goaway')))
    after.socket.destroy()
    await nothingLeft(gateway)
  })
})

describe('a client of HTTP/2 with many open requests', () => {
  it('is refused further ones where their heads take too much, and others are not', async (t) => {
    const rules = toUp({ retry: { attempts: 0 } })
    const gateway = await inProcess(t, { upstreams: [await silent(t)], rules })
    const client = await RawH2.connect(t, gateway.port)
    const entry = Buffer.concat([Buffer.from([0x40]), literalBlock([['x-long', 'v'.repeat(3_900)]]).subarray(1)])
    const head = (stream: number, fields: Buffer): Buffer => {
      const payload = Buffer.concat([literalBlock(request()), fields])
      return frame({ type: FrameType.HEADERS, flags: Flag.END_HEADERS | Flag.END_STREAM, stream, payload })
    }
    client.send(ACK, head(1, entry))
    const before = liveBytes()
    // Each of them takes 60 bytes to send, and 62 KB to hold.
    for (let i = 1; i < 100; i++) client.send(head(2 * i + 1, Buffer.alloc(15, 0xbe)))
    client.send(frame({ type: FrameType.PING, payload: '12345678' }))
    await client.sees('ping ack 12345678')
    assert.ok(client.lines.filter((line) => line.endsWith(' REFUSED_STREAM')).length > 70)
    assert.ok(liveBytes() - before < 4 * MiB)
    const modest = await RawH2.connect(t, gateway.port)
    modest.send(
      ACK,
      head(1, entry),
      head(3, Buffer.alloc(5, 0xbe)),
      frame({ type: FrameType.PING, payload: '12345678' }),
    )
    await modest.sees('ping ack 12345678')
    assert.ok(!modest.lines.some((line) => line.startsWith('reset')))
    for (const each of [client, modest]) each.socket.destroy()
    await nothingLeft(gateway)
  })
})

describe('the deadlines of a connection of HTTP/2', () => {
  it('end one that sends no SETTINGS, or does not acknowledge ours', async (t) => {
    const gateway = await inProcess(t, { ...responder(0), requestHead: 200 })
    const mute = await RawH2.connect(t, gateway.port)
    assert.match(await mute.ended(), /SETTINGS_TIMEOUT/)
    await nothingLeft(gateway)
  })

  it('end an idle one with GOAWAY, and ask one that is silent for a sign of life', async (t) => {
    const gateway = await inProcess(t, { upstreams: [await silent(t)], keepAlive: 150, requestHead: 2_000 })
    const idle = await RawH2.connect(t, gateway.port)
    idle.send(ACK)
    assert.match(await idle.ended(), /^goaway 0 NO_ERROR/)
    const busy = await RawH2.connect(t, gateway.port)
    busy.send(ACK)
    busy.get(1)
    await busy.sees('ping headgate')
    busy.send(frame({ type: FrameType.PING, flags: Flag.ACK, payload: 'headgate' }))
    await until(() => busy.lines.filter((line) => line === 'ping headgate').length === 2, 'the second PING')
    await busy.ended()
    await nothingLeft(gateway)
  })
})

describe('a client of HTTP/2 whose few bytes mean many', () => {
  const NAME = 'n'.repeat(4_000)
  const insert = Buffer.concat([Buffer.from([0x40]), literalBlock([[NAME, '']]).subarray(1)])
  const block = (fields: Buffer): Buffer =>
    frame({
      type: FrameType.HEADERS,
      flags: Flag.END_HEADERS | Flag.END_STREAM,
      stream: 3,
      payload: Buffer.concat([literalBlock(request()), fields]),
    })

  for (const [what, fields, ends] of [
    ['an entry of a table again and again', Buffer.alloc(10_000, 0xbe), /ENHANCE_YOUR_CALM "a section many times/],
    ['the name of an entry', Buffer.from('0f2f00'.repeat(5_000), 'hex'), /ENHANCE_YOUR_CALM "a section many times/],
    ['an entry somewhat too often', Buffer.alloc(40, 0xbe), /^head 3 431$/],
  ] as const)
    it(`is refused for ${what}`, async (t) => {
      const gateway = await inProcess(t, responder(0))
      const client = await RawH2.connect(t, gateway.port)
      const first = Buffer.concat([literalBlock(request()), insert])
      client.send(ACK, frame({ type: FrameType.HEADERS, flags: 5, stream: 1, payload: first }), block(fields))
      await until(() => client.lines.some((line) => ends.test(line)), JSON.stringify(client.lines))
      client.socket.end()
      await nothingLeft(gateway)
    })

  it('plays with the sizes of both tables, for nothing', async (t) => {
    const gateway = await inProcess(t, responder(2_000))
    const client = await RawH2.connect(t, gateway.port, 1, 0xffff_ffff)
    client.send(ACK)
    const before = liveBytes()
    for (let i = 0; i < 500; i++) {
      const resized = Buffer.concat([Buffer.from('203fe11f', 'hex'), literalBlock(request()), insert])
      client.send(settings(1, i % 2 === 0 ? 0 : 0xffff_ffff))
      client.send(frame({ type: FrameType.HEADERS, flags: 5, stream: 2 * i + 1, payload: resized }))
    }
    await until(() => client.log.heads.size === 500, 'all responses')
    assert.ok(liveBytes() - before < 8 * MiB)
    client.send(frame({ type: FrameType.HEADERS, flags: 5, stream: 2_001, payload: Buffer.from('3fe21f82', 'hex') }))
    assert.match(await client.ended(), /COMPRESSION_ERROR "a table size above/)
    await nothingLeft(gateway)
  })
})
