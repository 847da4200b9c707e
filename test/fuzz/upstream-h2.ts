/**
 * Fuzzer of connections to endpoints over HTTP/2: `node test/fuzz/upstream-h2.ts [seconds]`. An endpoint sends frames of
 * any kind while requests begin, send, pause and are given up. Whatever comes, each request hears of one end and of
 * nothing behind it, and nothing stays open.
 */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { Setting } from '../../src/http/frames.ts'
import { data, Flag, FrameType, frame, headers, reset, settings, uint32, windowUpdate } from '../http/raw-frames.ts'
import { type Dispatched, H2World } from '../http2/h2-dispatch.ts'
import { until } from '../socket/sockets.ts'

const IDS = [1, 3, 5, 7, 0, 2, 9, 99]
const LISTS = [
  [[':status', '200']],
  [
    [':status', '200'],
    ['content-length', '3'],
  ],
  [[':status', '103']],
  [[':status', '204']],
  [['grpc-status', '0']],
  [
    [':status', '200'],
    ['connection', 'close'],
  ],
  [['A', 'b']],
] as const

/** A frame by its number, for a stream. */
const FRAMES: readonly ((id: number) => Buffer)[] = [
  ...LISTS.flatMap((list) => [(id: number) => headers(id, list), (id: number) => headers(id, list, { end: false })]),
  (id) => headers(id, LISTS[0], { open: true }),
  (id) => frame({ type: FrameType.CONTINUATION, flags: Flag.END_HEADERS, stream: id }),
  (id) => data(id, 'abc'),
  (id) => data(id, 'abc', true),
  (id) => data(id, '', true),
  (id) => data(id, Buffer.alloc(16_000)),
  (id) => frame({ type: FrameType.DATA, flags: Flag.PADDED, stream: id, payload: '\x02abc\0\0' }),
  (id) => reset(id, 0),
  (id) => reset(id, 7),
  (id) => reset(id, 8),
  (id) => windowUpdate(id, 1),
  (id) => windowUpdate(id, 100_000),
  (id) => windowUpdate(id, 0x7fff_ffff),
  (id) => windowUpdate(id, 0),
  () => settings(Setting.INITIAL_WINDOW_SIZE, 0),
  () => settings(Setting.INITIAL_WINDOW_SIZE, 200_000),
  () => settings(Setting.MAX_CONCURRENT_STREAMS, 1),
  () => settings(Setting.MAX_CONCURRENT_STREAMS, 0),
  () => settings(Setting.HEADER_TABLE_SIZE, 0),
  () => frame({ type: FrameType.PING, payload: '12345678' }),
  (id) => frame({ type: FrameType.GOAWAY, payload: Buffer.concat([uint32(id), uint32(0)]) }),
  (id) => frame({ type: FrameType.GOAWAY, payload: Buffer.concat([uint32(id), uint32(2)]) }),
  (id) => frame({ type: FrameType.PRIORITY, stream: id, payload: '\0\0\0\0\x10' }),
  (id) => frame({ type: 0xee, stream: id, payload: 'x' }),
]

export interface Step {
  /** What happens: a frame of the endpoint, or something that a request does. */
  readonly what: number
  /** Which stream or request. */
  readonly which: number
}

/** What a request does, by its number below zero. */
const ACTIONS = 9

export const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.record({
    what: fc.oneof(fc.integer({ min: -ACTIONS, max: -1 }), fc.nat({ max: FRAMES.length - 1 })),
    which: fc.nat({ max: IDS.length - 1 }),
  }),
  { maxLength: 25 },
)

function act(world: H2World, requests: Dispatched[], what: number, which: number): void {
  if (what <= -7) {
    const post = what === -7
    requests.push(world.dispatch(post ? { method: 'POST', bodyLength: -1 } : { method: what === -8 ? 'HEAD' : 'GET' }))
    return
  }
  const request = requests[which % Math.max(1, requests.length)]
  const stream = request?.stream
  if (stream == null) return
  if (what === -1) stream.write(Buffer.from('hello'))
  else if (what === -2) stream.write(Buffer.alloc(70_000))
  else if (what === -3) stream.end(null)
  else if (what === -4) stream.pause()
  else if (what === -5) stream.resume()
  else {
    stream.abort()
    request!.events.push('aborted')
  }
}

/** Throws when a request hears of no end, or of something behind it. */
export async function checkSession(list: readonly Step[]): Promise<void> {
  const ends: (() => void | Promise<void>)[] = []
  const world = await H2World.open({ after: (end) => void ends.push(end) })
  const requests = [world.dispatch()]
  try {
    await until(() => requests[0]!.stream !== null || requests[0]!.error !== null)
    for (const { what, which } of list) {
      const peer = world.server.peers.at(-1)!
      if (what < 0) act(world, requests, what, which)
      else peer.send(FRAMES[what]!(IDS[which]!))
      if (which === 0) await new Promise((resolve) => setImmediate(resolve))
    }
    for (const peer of world.server.peers) peer.socket.end()
    for (const request of requests) request.stream?.resume()
    world.server.server.close()
    await until(() => {
      for (const peer of world.server.peers) peer.socket.end()
      return requests.every((request) => request.over || request.events.includes('aborted'))
    }, 'the end of each request')
    await until(() => world.world.pool.open === 0, 'the end of the connections')
    for (const { events } of requests) check(events)
  } finally {
    for (const end of ends.reverse()) await end()
  }
}

function check(events: readonly string[]): void {
  const story = events.join(', ')
  const last = events.findIndex((event) => event.startsWith('error') || event === 'aborted')
  if (last >= 0)
    assert.ok(
      events.slice(last + 1).every((event) => event === 'aborted'),
      story,
    )
  assert.ok(events.filter((event) => event.startsWith('end')).length <= 1, story)
  assert.ok(events.filter((event) => event.startsWith('head')).length <= 1, story)
  const end = events.findIndex((event) => event.startsWith('end'))
  const head = events.findIndex((event) => event.startsWith('head'))
  if (end >= 0) assert.ok(head >= 0 && head < end, story)
}

export const seeds: readonly (readonly Step[])[] = JSON.parse(
  readFileSync(new URL('upstream-h2.seeds.json', import.meta.url), 'utf8'),
)

if (import.meta.main) {
  const seconds = Number(process.argv[2] ?? 60)
  await fc.assert(fc.asyncProperty(steps, checkSession), {
    numRuns: Number.MAX_SAFE_INTEGER,
    interruptAfterTimeLimit: seconds * 1000,
    examples: seeds.map((seed): [Step[]] => [[...seed]]),
  })
}
