/**
 * Fuzzer of clients' HTTP/2 connections: `node test/fuzz/h2-frames.ts [seconds]`. Whatever frames come, in whatever
 * pieces: nothing throws, nothing is held without bound, and everything is given back. What it finds goes into
 * h2-frames.seeds.json, which h2-frames.test.ts runs for ever.
 */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import type { Socket } from 'node:net'
import { Duplex } from 'node:stream'
import fc from 'fast-check'
import { H2Connection } from '../../src/http2/downstream-h2.ts'
import type { GatewayError } from '../../src/lib/error.ts'
import { Fields } from '../../src/message/fields.ts'
import { ReadTurns } from '../../src/socket/read-turns.ts'
import type { ServerContext } from '../../src/socket/server-context.ts'
import type { Downstream, DownstreamHandler, IncomingRequest } from '../../src/transport/downstream.ts'
import type { Peer } from '../../src/transport/peer.ts'
import { Timers } from '../../src/transport/timers.ts'
import { readFrames } from '../http/frame-log.ts'
import { data, frame, headers, PREFACE, reset, settings, uint32, windowUpdate } from '../http/raw-frames.ts'
import { VirtualTime } from '../lib/virtual-time.ts'

/** A step of a connection: bytes in hexadecimal, or what the world does meanwhile. */
export type Step = string | { readonly act: 'drain' | 'respond' | 'pass' | 'resume' | 'stall' | 'flow' }

const pseudo = (path: string, method = 'GET'): [string, string][] => [
  [':method', method],
  [':scheme', 'http'],
  [':authority', 'f.test'],
  [':path', path],
]

const hex = (bytes: Buffer): string => bytes.toString('hex')
const stream = fc.constantFrom(1, 3, 5, 7, 9, 2, 0)
const small = fc.constantFrom(0, 1, 2, 100, 65_535, 0x7fff_ffff)

/** Frames that belong together somehow. */
const wellFormed: fc.Arbitrary<string> = fc.oneof(
  fc
    .tuple(stream, fc.constantFrom('/now', '/later', '/large', '/bodyless'), fc.boolean())
    .map(([id, path, end]) => hex(headers(id, pseudo(path, end ? 'GET' : 'POST'), { end }))),
  fc.tuple(stream, fc.boolean()).map(([id, end]) => hex(headers(id, [['x-trailer', '1']], { end }))),
  fc
    .tuple(stream, fc.constantFrom('', 'x', 'y'.repeat(5_000)), fc.boolean())
    .map(([id, body, end]) => hex(data(id, body, end))),
  fc.tuple(stream, small).map(([id, by]) => hex(windowUpdate(id, by))),
  stream.map((id) => hex(reset(id, 8))),
  fc.tuple(fc.nat({ max: 9 }), small).map(([id, value]) => hex(settings(id, value))),
  fc.constantFrom(
    hex(settings()),
    '000000040100000000',
    hex(frame({ type: 6, payload: 'headgate' })),
    hex(frame({ type: 6, flags: 1, payload: 'headgate' })),
  ),
  stream.map((id) => hex(frame({ type: 16, payload: Buffer.concat([uint32(id), Buffer.from('u=0, i')]) }))),
  stream.map((id) => hex(headers(id, pseudo('/now'), { open: true }))),
  stream.map((id) => hex(frame({ type: 9, flags: 4, stream: id }))),
)

const wild: fc.Arbitrary<string> = fc
  .record({ type: fc.nat({ max: 17 }), flags: fc.nat({ max: 255 }), stream, payload: fc.uint8Array({ maxLength: 40 }) })
  .map((fields) => hex(frame({ ...fields, payload: Buffer.from(fields.payload) })))

const act: fc.Arbitrary<Step> = fc.record({
  act: fc.constantFrom('drain', 'respond', 'pass', 'resume', 'stall', 'flow'),
})

export const connection: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof(
    { weight: 12, arbitrary: wellFormed },
    { weight: 2, arbitrary: wild },
    { weight: 3, arbitrary: act },
    { weight: 1, arbitrary: fc.uint8Array({ maxLength: 20 }).map((bytes) => hex(Buffer.from(bytes))) },
  ),
  { maxLength: 40 },
)

/** A socket that takes bytes as long as it flows. */
export class FakeSocket extends Duplex {
  readonly taken: Buffer[] = []
  stalled = false
  #waiting: (() => void)[] = []

  constructor() {
    super({ allowHalfOpen: true, highWaterMark: 128 * 1024 })
  }

  override _read(): void {}

  override _write(chunk: Buffer, _: string, done: () => void): void {
    this.taken.push(Buffer.from(chunk))
    if (this.stalled) this.#waiting.push(done)
    else done()
  }

  flow(): void {
    this.stalled = false
    for (const done of this.#waiting.splice(0)) done()
  }

  get bytesWritten(): number {
    return 0
  }
}

class FakeHandler implements DownstreamHandler {
  readonly #downstream: Downstream
  readonly #path: string
  gone = 0
  ends = 0
  answered = false

  constructor(downstream: Downstream, { target }: IncomingRequest) {
    this.#downstream = downstream
    this.#path = target
  }

  respond(): void {
    if (this.answered) return
    this.answered = true
    const size = this.#path === '/large' ? 40_000 : 10
    const body = this.#path === '/bodyless' ? null : Buffer.alloc(size, 'b')
    this.#downstream.sendComplete({ status: 200, fields: Fields.from({ 'x-a': 'b' }), body }, false)
  }

  onRequestBody(): boolean {
    assert.equal(this.ends, 0, 'a body behind its end')
    return this.#path !== '/later'
  }

  onRequestEnd(): void {
    assert.equal(++this.ends, 1, 'a second end of the body')
  }

  onRequestFailed(_: GatewayError): void {
    this.respond()
  }

  onClientDrain(): void {}

  onClientEnd(): boolean {
    return true
  }

  onClientGone(): void {
    assert.equal(++this.gone, 1, 'gone twice')
    this.answered = true
  }

  resume(): void {
    if (!this.answered) this.#downstream.resumeBody()
  }
}

export interface World {
  readonly context: ServerContext
  readonly time: VirtualTime
  readonly handlers: FakeHandler[]
  opened: number
}

export function world(): World {
  const time = new VirtualTime()
  const timers = new Timers(time.keeper())
  const handlers: FakeHandler[] = []
  const made: World = {
    time,
    handlers,
    opened: 0,
    context: {
      timers,
      turns: new ReadTurns(time.keeper()),
      wall: () => 1_800_000_000_000,
      heldLimit: 1 << 20,
      leaving: false,
      draining: false,
      options: {
        limits: { head: 65_536, headers: 100, uri: 16_384 },
        requestHead: 10_000,
        keepAlive: 20_000,
        handshake: 10_000,
      },
      connections: new Set(),
      requests: {
        begin: (downstream, request) => {
          const handler = new FakeHandler(downstream, request)
          handlers.push(handler)
          if (request.target === '/now') handler.respond()
          return handler
        },
        refused: () => ({ status: 400, fields: Fields.from({}), body: Buffer.from('no') }),
        connectionOpened: () => void made.opened++,
        connectionClosed: () => void made.opened--,
      },
    },
  }
  return made
}

export const PEER = { address: '192.0.2.1', port: 1, listener: { leaving: false }, tls: null } as unknown as Peer

/** Throws where the connection does, or leaves something. */
export async function checkFrames(steps: readonly Step[], cut = 7): Promise<void> {
  const made = world()
  const { context, time, handlers } = made
  const socket = new FakeSocket()
  const connection = new H2Connection(() => socket as unknown as Socket, PEER, context)
  const receive = (bytes: Buffer): void => {
    for (let from = 0; from < bytes.length; from += cut * 13) {
      if (socket.destroyed) return
      connection.receive(Buffer.from(bytes.subarray(from, from + cut * 13)))
    }
  }
  receive(Buffer.concat([PREFACE, settings()]))
  for (const step of steps) {
    if (typeof step === 'string') receive(Buffer.from(step, 'hex'))
    else if (step.act === 'drain') connection.drain()
    else if (step.act === 'respond') for (const handler of handlers) handler.respond()
    else if (step.act === 'resume') for (const handler of handlers) handler.resume()
    else if (step.act === 'pass') await time.pass(15_000)
    else if (step.act === 'stall') socket.stalled = true
    else socket.flow()
    assert.ok(connection.output.backlog < 1 << 20, 'bytes wait without bound')
  }
  await new Promise(setImmediate)
  connection.destroy()
  await new Promise(setImmediate)
  assert.equal(made.opened, 0)
  assert.equal(context.connections.size, 0)
  assert.equal(context.timers.armed, 0)
  assert.equal(connection.streams.size, 0)
  for (const handler of handlers) assert.ok(handler.answered, 'a request was forgotten')
  const { lines } = readFrames(Buffer.concat(socket.taken), [], { maxFieldBlock: 1 << 20 })
  const fault = lines.find((line) => line.startsWith('error') || line.startsWith('stream error'))
  assert.equal(fault, undefined, 'what the gateway sends breaks the protocol')
}

export const seeds = JSON.parse(readFileSync(new URL('h2-frames.seeds.json', import.meta.url), 'utf8')) as Step[][]

if (import.meta.main) {
  const seconds = Number(process.argv[2] ?? 60)
  const options = { numRuns: Number.POSITIVE_INFINITY, interruptAfterTimeLimit: seconds * 1_000 }
  await fc.assert(
    fc.asyncProperty(
      connection,
      fc.nat({ max: 40 }).map((n) => n + 1),
      checkFrames,
    ),
    options,
  )
}
