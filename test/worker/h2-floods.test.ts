/** Floods of HTTP/2 frames that cost a client nothing: each ends its own connection, early, and with the RFC's code. */
import assert from 'node:assert/strict'
import { describe, it, type TestContext } from 'node:test'
import { data, Flag, FrameType, frame, headers, reset, settings, uint32, windowUpdate } from '../http/raw-frames.ts'
import { liveBytes } from '../lib/live-bytes.ts'
import { RawH2, request } from '../lib/raw-h2.ts'
import { listening } from '../socket/sockets.ts'
import { type InProcess, inProcess } from './in-process.ts'
import { toUp } from './test-plane.ts'

const CALM = 'ENHANCE_YOUR_CALM'
const POST = request('/', [], 'POST')
/** Far above what the process needs besides, far below what a flood that is kept would take. */
const FLAT = 24 * 1024 * 1024

interface Flood {
  readonly what: string
  /** What is sent on and on; streams are odd numbers from 3, a new one for each round. */
  readonly frames: (stream: number) => Buffer
  readonly ends: string
  /** Bodies and responses wait for an upstream that never answers. */
  readonly pending?: boolean
  /** Rounds that must suffice; a client that means well may send as many as half of them. */
  readonly within?: number
}

const pad = (stream: number): Buffer =>
  frame({ type: FrameType.DATA, flags: Flag.PADDED, stream, payload: Buffer.from([3, 0, 0, 0]) })
const priority = (on: number): Buffer =>
  frame({ type: FrameType.PRIORITY, stream: 1, payload: `${'\0'.repeat(3)}${String.fromCharCode(on)}\x10` })
const update = (stream: number): Buffer =>
  frame({ type: FrameType.PRIORITY_UPDATE, payload: Buffer.concat([uint32(stream), Buffer.from('u=1')]) })

/** Requests that their own client makes fail (CVE-2025-8671). */
const PROVOKED: readonly (readonly [string, (stream: number) => Buffer])[] = [
  ['a window that is too large', (s) => windowUpdate(s, 0x7fff_ffff)],
  ['a window that grows by 0', (s) => windowUpdate(s, 0)],
  [
    'a PRIORITY of its own',
    (s) => frame({ type: FrameType.PRIORITY, stream: s, payload: Buffer.concat([uint32(s), Buffer.from([1])]) }),
  ],
  ['a PRIORITY of 4 bytes', (s) => frame({ type: FrameType.PRIORITY, stream: s, payload: uint32(0) })],
  ['trailers without END_STREAM', (s) => headers(s, [['a', 'b']], { end: false })],
  ['trailers with a pseudo-header field', (s) => headers(s, [[':path', '/']])],
  ['trailers in upper case', (s) => headers(s, [['A', 'b']])],
]

const FLOODS: readonly Flood[] = [
  {
    what: 'rapid reset (CVE-2023-44487)',
    frames: (s) => Buffer.concat([headers(s, request()), reset(s, 8)]),
    ends: `${CALM} "too many requests were given up"`,
    pending: true,
  },
  ...PROVOKED.map(
    ([what, then]): Flood => ({
      what: `resets of ours that a client provokes by ${what}`,
      frames: (s) => Buffer.concat([headers(s, POST, { end: false }), then(s)]),
      ends: `${CALM} "too many requests that break the protocol"`,
      pending: true,
    }),
  ),
  {
    what: 'DATA beyond the content-length',
    frames: (s) => Buffer.concat([headers(s, [...POST, ['content-length', '1']], { end: false }), data(s, 'ab')]),
    ends: `${CALM} "too many requests that break the protocol"`,
    pending: true,
  },
  {
    what: 'malformed requests',
    frames: (s) => headers(s, [...request(), ['Upper', 'x']]),
    ends: `${CALM} "too many requests that break the protocol"`,
  },
  {
    what: 'requests over the limit of streams',
    frames: (s) => headers(s, request()),
    ends: `${CALM} "too many requests over the limit of streams"`,
    pending: true,
    within: 8_000,
  },
  { what: 'PING', frames: () => frame({ type: FrameType.PING, payload: '12345678' }), ends: CALM },
  {
    what: 'PING acknowledgements',
    frames: () => frame({ type: FrameType.PING, flags: Flag.ACK, payload: '12345678' }),
    ends: CALM,
  },
  { what: 'SETTINGS', frames: () => settings(), ends: CALM },
  { what: 'SETTINGS acknowledgements', frames: () => frame({ type: FrameType.SETTINGS, flags: Flag.ACK }), ends: CALM },
  { what: 'windows by SETTINGS', frames: (s) => settings(4, s % 4 === 1 ? 0 : 65_535), ends: CALM },
  {
    what: 'long SETTINGS',
    frames: () => settings(...Array.from({ length: 4_000 }, (_, i) => (i % 2 === 0 ? 1 : i))),
    ends: CALM,
    within: 200,
  },
  { what: 'table sizes by SETTINGS', frames: (s) => settings(1, s % 4 === 1 ? 0 : 0xffff_ffff), ends: CALM },
  { what: 'windows of the connection', frames: () => windowUpdate(0, 1), ends: CALM },
  { what: 'windows of a stream', frames: () => windowUpdate(1, 1), ends: CALM, pending: true },
  { what: 'windows of a closed stream', frames: () => windowUpdate(1, 1), ends: CALM },
  { what: 'PRIORITY', frames: () => priority(0), ends: CALM },
  { what: 'PRIORITY of a closed stream on itself', frames: () => priority(1), ends: CALM },
  { what: 'PRIORITY_UPDATE of a stream', frames: () => update(1), ends: CALM, pending: true },
  { what: 'PRIORITY_UPDATE of streams to come', frames: update, ends: CALM },
  { what: 'empty DATA', frames: () => data(1, ''), ends: CALM, pending: true },
  { what: 'padding alone', frames: () => pad(1), ends: CALM, pending: true },
  { what: 'DATA on a closed stream', frames: () => data(1, 'x'), ends: CALM },
  { what: 'resets of a closed stream', frames: () => reset(1, 8), ends: CALM },
  { what: 'unknown frames', frames: () => frame({ type: 0xee, stream: 1, payload: 'what?' }), ends: CALM },
  { what: 'GOAWAY', frames: () => frame({ type: FrameType.GOAWAY, payload: '\0'.repeat(8) }), ends: CALM },
  {
    what: 'small CONTINUATION frames (CVE-2024-27316)',
    frames: (s) =>
      s === 3 ? headers(3, request(), { open: true }) : frame({ type: FrameType.CONTINUATION, stream: 3 }),
    ends: `${CALM} "a field block in too many frames"`,
    within: 64,
  },
  {
    what: 'large CONTINUATION frames',
    frames: (s) =>
      s === 3
        ? headers(3, request(), { open: true })
        : frame({ type: FrameType.CONTINUATION, stream: 3, payload: Buffer.alloc(16_384) }),
    ends: `${CALM} "a field block of over 131072 bytes"`,
    within: 64,
  },
]

async function rig(t: TestContext, pending = false): Promise<InProcess> {
  if (!pending) return await inProcess(t, { rules: { all: { respond: { statusCode: 204 } } } })
  return await inProcess(t, {
    upstreams: [(await listening(t, (socket) => socket.resume())).port],
    rules: toUp({ retry: { attempts: 0 } }),
  })
}

/** The first request, whose stream is closed at once, or stays open. */
async function begin(t: TestContext, gateway: InProcess, pending: boolean): Promise<RawH2> {
  const client = await RawH2.connect(t, gateway.port)
  await client.sees('settings ack')
  // A client that acknowledges nothing is ended after ten seconds, flood or none.
  client.send(frame({ type: FrameType.SETTINGS, flags: Flag.ACK }))
  if (pending) client.send(headers(1, POST, { end: false }))
  else {
    client.get(1)
    await client.sees('head 1 204 end')
  }
  return client
}

describe('a flood of HTTP/2', { concurrency: false }, () => {
  for (const { what, frames, ends, pending = false, within = 5_000 } of FLOODS)
    it(`ends its connection: ${what}`, async (t) => {
      const gateway = await rig(t, pending)
      const client = await begin(t, gateway, pending)
      using bystander = await gateway.connect()
      const before = liveBytes()
      const rounds = await client.flood((round) => frames(2 * round + 3), within)
      await client.ended()
      assert.match(client.goaway ?? '', new RegExp(`^goaway \\d+ ${ends}`), `after ${rounds} rounds`)
      assert.ok(liveBytes() - before < FLAT, 'what a flood has brought is kept')
      if (!pending) assert.equal((await bystander.request({ host: 'raw.test' })).status, 204)
      bystander.end()
      await gateway.nothingLeft()
      assert.deepEqual(gateway.errors, [])
    })
})
