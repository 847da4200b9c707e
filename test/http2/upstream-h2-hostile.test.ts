/** What an endpoint may send over HTTP/2 that breaks the protocol, or costs more than it is worth. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { ErrorCode, errorName, Setting } from '../../src/http/frames.ts'
import type { Reason } from '../../src/lib/reason.ts'
import type { UpstreamRequest } from '../../src/transport/upstream.ts'
import {
  data,
  Flag,
  FrameType,
  frame,
  headers,
  literalBlock,
  settings,
  uint32,
  windowUpdate,
} from '../http/raw-frames.ts'
import { until } from '../socket/sockets.ts'
import { H2World } from './h2-dispatch.ts'

const OK = [[':status', '200']] as const
type Frames = (stream: number) => readonly Buffer[]

/** Each costs its own stream, and no other. */
const MALFORMED: readonly (readonly [string, Frames, Partial<UpstreamRequest>?])[] = [
  ['DATA before a head', (id) => [data(id, 'x', true)]],
  ['the end of the stream before a head', (id) => [data(id, '', true)]],
  ['no :status', (id) => [headers(id, [['a', 'b']])]],
  [':status 101', (id) => [headers(id, [[':status', '101']], { end: false })]],
  [':status 99', (id) => [headers(id, [[':status', '099']])]],
  [':status 600', (id) => [headers(id, [[':status', '600']])]],
  [':status twice', (id) => [headers(id, [...OK, ...OK])]],
  [':path', (id) => [headers(id, [...OK, [':path', '/']])]],
  [':status behind a field', (id) => [headers(id, [['a', 'b'], ...OK])]],
  ['an upper-case name', (id) => [headers(id, [...OK, ['A', 'b']])]],
  ['CRLF in a value', (id) => [headers(id, [...OK, ['a', 'b\r\nc: d']])]],
  ['LF in a name', (id) => [headers(id, [...OK, ['a\nb', 'c']])]],
  ['a colon in a name', (id) => [headers(id, [...OK, ['a:b', 'c']])]],
  ['Connection', (id) => [headers(id, [...OK, ['connection', 'close']])]],
  ['Keep-Alive', (id) => [headers(id, [...OK, ['keep-alive', 'timeout=5']])]],
  ['Proxy-Connection', (id) => [headers(id, [...OK, ['proxy-connection', 'close']])]],
  ['Transfer-Encoding', (id) => [headers(id, [...OK, ['transfer-encoding', 'chunked']])]],
  ['Upgrade', (id) => [headers(id, [...OK, ['upgrade', 'h2c']])]],
  ['several lengths', (id) => [headers(id, [...OK, ['content-length', '1'], ['content-length', '1']], { end: false })]],
  ['a length that is a list', (id) => [headers(id, [...OK, ['content-length', '1, 1']], { end: false })]],
  ['a length that is negative', (id) => [headers(id, [...OK, ['content-length', '-1']], { end: false })]],
  ['a length beyond 2^53', (id) => [headers(id, [...OK, ['content-length', '9'.repeat(17)]], { end: false })]],
  ['a length and no body', (id) => [headers(id, [...OK, ['content-length', '1']])]],
  [
    'a 204 with a length',
    (id) => [
      headers(id, [
        [':status', '204'],
        ['content-length', '1'],
      ]),
    ],
  ],
  ['an interim response that ends the stream', (id) => [headers(id, [[':status', '103']])]],
  [
    'an interim response with a length',
    (id) => [
      headers(
        id,
        [
          [':status', '103'],
          ['content-length', '1'],
        ],
        { end: false },
      ),
    ],
  ],
  [
    'a hundred interim responses',
    (id) => Array.from({ length: 101 }, () => headers(id, [[':status', '103']], { end: false })),
  ],
]

/** Their heads have gone to the client. */
const BROKEN_BODIES: readonly (readonly [string, Frames, Partial<UpstreamRequest>?])[] = [
  ['a body that is longer', (id) => [headers(id, [...OK, ['content-length', '2']], { end: false }), data(id, 'abc')]],
  [
    'a body that is shorter',
    (id) => [headers(id, [...OK, ['content-length', '4']], { end: false }), data(id, 'abc', true)],
  ],
  [
    'a body that is shorter, with trailers',
    (id) => [headers(id, [...OK, ['content-length', '4']], { end: false }), data(id, 'abc'), headers(id, [['a', 'b']])],
  ],
  ['a body of HEAD', (id) => [headers(id, OK, { end: false }), data(id, 'abc', true)], { method: 'HEAD' }],
  ['a body of 304', (id) => [headers(id, [[':status', '304']], { end: false }), data(id, 'abc', true)]],
  ['a body of 204', (id) => [headers(id, [[':status', '204']], { end: false }), data(id, 'abc', true)]],
  ['trailers that do not end it', (id) => [headers(id, OK, { end: false }), headers(id, [['a', 'b']], { end: false })]],
  ['trailers with :status', (id) => [headers(id, OK, { end: false }), headers(id, OK)]],
  ['trailers with CRLF', (id) => [headers(id, OK, { end: false }), headers(id, [['a', 'b\r\n']])]],
]

/** Each costs the connection. */
const FATAL: readonly (readonly [string, ErrorCode, Frames])[] = [
  [
    'a field block that is none',
    ErrorCode.COMPRESSION_ERROR,
    (id) => [frame({ type: FrameType.HEADERS, flags: 5, stream: id, payload: '\xff\xff\xff\xff\xff' })],
  ],
  [
    'a table that is larger than allowed',
    ErrorCode.COMPRESSION_ERROR,
    (id) => [frame({ type: FrameType.HEADERS, flags: 5, stream: id, payload: '\x3f\xe2\x1f\x88' })],
  ],
  [
    'a field block of a closed stream that is none',
    ErrorCode.COMPRESSION_ERROR,
    () => [frame({ type: FrameType.HEADERS, flags: 5, stream: 1, payload: '\x80' })],
  ],
  [
    'PUSH_PROMISE',
    ErrorCode.PROTOCOL_ERROR,
    (id) => [frame({ type: FrameType.PUSH_PROMISE, flags: 4, stream: id, payload: '\0\0\0\x02\x82' })],
  ],
  ['HEADERS on a stream of its own', ErrorCode.PROTOCOL_ERROR, () => [headers(2, OK)]],
  ['HEADERS on an idle stream', ErrorCode.PROTOCOL_ERROR, () => [headers(99, OK)]],
  ['DATA on an idle stream', ErrorCode.PROTOCOL_ERROR, () => [data(99, 'x')]],
  ['DATA on stream 0', ErrorCode.PROTOCOL_ERROR, () => [data(0, 'x')]],
  [
    'RST_STREAM of an idle stream',
    ErrorCode.PROTOCOL_ERROR,
    () => [frame({ type: FrameType.RST_STREAM, stream: 99, payload: uint32(8) })],
  ],
  ['WINDOW_UPDATE of an idle stream', ErrorCode.PROTOCOL_ERROR, () => [windowUpdate(99, 1)]],
  ['HEADERS on a stream that is closed', ErrorCode.STREAM_CLOSED, () => [headers(1, OK)]],
  ['DATA on a stream that is closed', ErrorCode.STREAM_CLOSED, () => [data(1, 'x')]],
  ['a window beyond 2^31-1', ErrorCode.FLOW_CONTROL_ERROR, () => [windowUpdate(0, 0x7fff_ffff)]],
  [
    'an initial window beyond 2^31-1',
    ErrorCode.FLOW_CONTROL_ERROR,
    () => [settings(Setting.INITIAL_WINDOW_SIZE, 0x8000_0000)],
  ],
  [
    'an initial window that makes one too wide',
    ErrorCode.FLOW_CONTROL_ERROR,
    (id) => [windowUpdate(id, 100_000), settings(Setting.INITIAL_WINDOW_SIZE, 0x7fff_ffff)],
  ],
  ['a frame size that is too small', ErrorCode.PROTOCOL_ERROR, () => [settings(Setting.MAX_FRAME_SIZE, 1)]],
  ['push', ErrorCode.PROTOCOL_ERROR, () => [settings(Setting.ENABLE_PUSH, 1)]],
  [
    'a frame that is too large',
    ErrorCode.FRAME_SIZE_ERROR,
    (id) => [frame({ type: FrameType.DATA, stream: id, payload: Buffer.alloc(16_385) })],
  ],
  ['a frame within a field block', ErrorCode.PROTOCOL_ERROR, (id) => [headers(id, OK, { open: true }), data(id, 'x')]],
  [
    'more CONTINUATION than it needs',
    ErrorCode.ENHANCE_YOUR_CALM,
    (id) => [
      headers(id, OK, { open: true }),
      ...many(1_000, () => frame({ type: FrameType.CONTINUATION, stream: id })),
    ],
  ],
  [
    'a field block of 100 KiB',
    ErrorCode.ENHANCE_YOUR_CALM,
    (id) => [
      headers(id, OK, { open: true }),
      ...many(10, () => frame({ type: FrameType.CONTINUATION, stream: id, payload: Buffer.alloc(10_000, 0x88) })),
    ],
  ],
]

const FLOODS: readonly (readonly [string, Frames])[] = [
  ['SETTINGS', () => [settings(Setting.HEADER_TABLE_SIZE, 4096)]],
  ['acknowledgements of SETTINGS', () => [frame({ type: FrameType.SETTINGS, flags: Flag.ACK })]],
  ['PING', () => [frame({ type: FrameType.PING, payload: '12345678' })]],
  ['answers to PING', () => [frame({ type: FrameType.PING, flags: Flag.ACK, payload: '12345678' })]],
  ['WINDOW_UPDATE', () => [windowUpdate(0, 1)]],
  ['WINDOW_UPDATE of a stream', (id) => [windowUpdate(id, 1)]],
  ['PRIORITY', (id) => [frame({ type: FrameType.PRIORITY, stream: id, payload: '\0\0\0\0\x10' })]],
  ['frames of an unknown type', () => [frame({ type: 0xee, payload: 'x' })]],
  ['RST_STREAM of a closed stream', () => [frame({ type: FrameType.RST_STREAM, stream: 1, payload: uint32(8) })]],
  ['empty DATA', (id) => [data(id, '')]],
  ['padding alone', (id) => [frame({ type: FrameType.DATA, flags: Flag.PADDED, stream: id, payload: '\0' })]],
]

function many(count: number, make: () => Buffer): Buffer[] {
  return Array.from({ length: count }, make)
}

/** A world in which stream 1 is closed. */
async function begun(t: Parameters<typeof H2World.open>[0]): Promise<H2World> {
  const world = await H2World.open(t)
  const { it: one, seen } = await world.asked()
  world.peer.respond(seen.stream, '')
  await until(() => one.over)
  return world
}

describe('a malformed response over HTTP/2', () => {
  for (const [group, head] of [
    [MALFORMED, false],
    [BROKEN_BODIES, true],
  ] as const)
    for (const [what, frames, request] of group)
      it(`is one with ${what}: it ends its stream and no other`, async (t) => {
        const world = await begun(t)
        const other = await world.asked()
        const { it: one, seen } = await world.asked(request)
        world.peer.send(...frames(seen.stream))
        await until(() => one.over)
        assert.equal(one.error?.reason, 'UpstreamProtocolError' satisfies Reason)
        assert.equal(
          one.events.some((event) => event.startsWith('head')),
          head,
        )
        await until(() => seen.reset !== null)
        assert.equal(errorName(seen.reset!), 'PROTOCOL_ERROR')
        world.peer.respond(other.seen.stream, 'fine')
        await until(() => other.it.over)
        assert.deepEqual([other.it.body, world.peer.goaways, world.world.pool.idleCount], ['fine', [], 1])
      })

  it('is one with a head that is too large: it ends its stream and no other', async (t) => {
    const world = await begun(t)
    const large = [...OK, ['x-large', 'x'.repeat(11_000)]] as const
    const list = [...OK, ...Array.from({ length: 101 }, (_, i) => [`x-${i}`, ''] as const)]
    for (const fields of [large, list]) {
      const { it: one, seen } = await world.asked()
      world.peer.send(headers(seen.stream, fields))
      await until(() => one.over && seen.reset !== null)
      assert.equal(one.error!.reason, 'UpstreamHeadTooLarge')
    }
    assert.equal(world.world.pool.idleCount, 1)
  })

  it('is one that references a large entry again and again: its connection is given up', async (t) => {
    const world = await begun(t)
    // `x` with 4,000 bytes, which fills the table, and then its index.
    const entry = Buffer.concat([Buffer.from('\x88\x40\x01x\x7f\xa1\x1e', 'latin1'), Buffer.alloc(4_000, 'y')])
    const payload = Buffer.concat([entry, Buffer.alloc(12_000, 0xbe)])
    const { it: one, seen } = await world.asked()
    world.peer.send(
      frame({ type: FrameType.HEADERS, flags: Flag.END_HEADERS | Flag.END_STREAM, stream: seen.stream, payload }),
    )
    await until(() => one.over)
    assert.equal(one.error!.reason, 'UpstreamProtocolError')
    await until(() => world.peer.closed)
    assert.equal(errorName(world.peer.goaways[0]!.code), 'ENHANCE_YOUR_CALM')
  })

  it('is one with more DATA than its window: FLOW_CONTROL_ERROR', async (t) => {
    const world = await begun(t)
    const { it: one, seen } = await world.asked()
    one.pauseAtHead = true
    world.peer.send(headers(seen.stream, OK, { end: false }), ...many(5, () => data(seen.stream, Buffer.alloc(16_000))))
    await until(() => one.over && seen.reset !== null)
    assert.equal(one.error!.reason, 'UpstreamProtocolError')
    assert.equal(errorName(seen.reset!), 'FLOW_CONTROL_ERROR')
    assert.equal(world.world.pool.idleCount, 1)
  })
})

describe('an endpoint that breaks HTTP/2', () => {
  for (const [what, code, frames] of FATAL)
    it(`by ${what}: ${errorName(code)}`, async (t) => {
      const world = await begun(t)
      const { it: one, seen } = await world.asked()
      world.peer.send(...frames(seen.stream))
      await until(() => one.over)
      assert.equal(one.error!.reason, 'UpstreamProtocolError')
      await until(() => world.peer.closed)
      assert.equal(errorName(world.peer.goaways[0]!.code), errorName(code))
      assert.equal(world.world.pool.open, 0)
    })
})

describe('an endpoint that floods a connection', () => {
  for (const [what, frames] of FLOODS)
    it(`with ${what}: ENHANCE_YOUR_CALM, and memory stays flat`, async (t) => {
      const world = await begun(t)
      const { it: one, seen } = await world.asked()
      world.peer.send(headers(seen.stream, OK, { end: false }))
      const burst = Buffer.concat(many(1_000, () => Buffer.concat([...frames(seen.stream)])))
      const before = process.memoryUsage().arrayBuffers
      for (let i = 0; i < 50 && !one.over; i++) {
        world.peer.send(burst)
        await new Promise((resolve) => setImmediate(resolve))
      }
      await until(() => one.over)
      await until(() => world.peer.closed)
      assert.equal(errorName(world.peer.goaways[0]!.code), 'ENHANCE_YOUR_CALM')
      // Its answers are few, and nothing is kept of what came: 50,000 frames would be more than this.
      assert.ok(world.peer.lines.length < 10, `${world.peer.lines.length}`)
      assert.ok(process.memoryUsage().arrayBuffers - before < 64 * 1024 * 1024)
    })

  it('with a malformed frame on a stream that is closed: the stream is reset, once, and no other', async (t) => {
    const world = await begun(t)
    const { it: one, seen } = await world.asked()
    const wrong = frame({ type: FrameType.PRIORITY, stream: 1, payload: '\0\0\0\0' })
    world.peer.send(wrong, windowUpdate(1, 0), wrong)
    await world.peer.heard()
    assert.deepEqual(world.peer.resets, ['1 FRAME_SIZE_ERROR'])
    world.peer.respond(seen.stream, 'fine')
    await until(() => one.over)
    assert.deepEqual([one.body, world.peer.goaways], ['fine', []])
  })

  it('with answers to requests that were given up: they are dropped, and the connection goes on', async (t) => {
    const world = await begun(t)
    for (let i = 0; i < 50; i++) {
      const { it: one, seen } = await world.asked()
      one.stream!.abort()
      await until(() => seen.reset !== null)
      world.peer.send(
        headers(seen.stream, [...OK, ['x-late', String(i)]], { end: false }),
        data(seen.stream, 'late', true),
      )
    }
    const last = await world.asked()
    world.peer.send(
      frame({ type: FrameType.HEADERS, flags: Flag.END_HEADERS, stream: last.seen.stream, payload: literalBlock(OK) }),
    )
    world.peer.send(data(last.seen.stream, 'fine', true))
    await until(() => last.it.over)
    assert.deepEqual([last.it.body, world.peer.goaways, world.server.peers.length], ['fine', [], 1])
  })
})
