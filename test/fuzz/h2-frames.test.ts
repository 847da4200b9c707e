import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:http2'
import { type AddressInfo, connect, type Socket } from 'node:net'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { H2Connection } from '../../src/http2/downstream-h2.ts'
import type { Fields } from '../../src/message/fields.ts'
import type { DownstreamHandler, IncomingRequest } from '../../src/transport/downstream.ts'
import { Flag, FrameType, frame, literalBlock, PREFACE, settings } from '../http/raw-frames.ts'
import { until } from '../socket/sockets.ts'
import { checkFrames, connection, FakeSocket, PEER, seeds, world } from './h2-frames.ts'

describe('kept seeds of the fuzzer of HTTP/2 connections', () => {
  for (const [i, seed] of seeds.entries()) it(`neither throw nor leave anything: ${i}`, () => checkFrames(seed))
})

describe('an HTTP/2 connection', () => {
  it('takes whatever frames come, in whatever pieces', async () => {
    const cuts = fc.nat({ max: 40 }).map((n) => n + 1)
    await fc.assert(fc.asyncProperty(connection, cuts, checkFrames), { numRuns: 1_500 })
  })
})

/** A request as both servers must have understood it. */
interface Seen {
  readonly head: readonly string[]
  body: string
  trailers: readonly string[]
  ended: boolean
}

interface Plan {
  readonly method: string
  readonly path: string
  readonly fields: readonly (readonly [string, string])[]
  readonly body: readonly { readonly text: string; readonly padding: number }[]
  readonly trailers: boolean
  /** Bytes of the fragments of its head. */
  readonly fragments: number
}

const word = fc.stringMatching(/^[a-z0-9!~-]{0,12}$/)
const plan: fc.Arbitrary<Plan> = fc.record({
  method: fc.constantFrom('GET', 'POST', 'PUT', 'DELETE', 'OPTIONS', 'PROPFIND'),
  path: fc.stringMatching(/^\/[a-z0-9/.~%?&=-]{0,20}$/).map((path) => path.replaceAll('%', '%41')),
  fields: fc.uniqueArray(fc.tuple(fc.stringMatching(/^x-[a-z0-9]{1,8}$/), word), {
    selector: ([name]) => name,
    maxLength: 8,
  }),
  body: fc.array(
    fc.record({ text: fc.string({ unit: 'grapheme-ascii', maxLength: 200 }), padding: fc.nat({ max: 20 }) }),
    { maxLength: 5 },
  ),
  trailers: fc.boolean(),
  fragments: fc.integer({ min: 1, max: 200 }),
})

/** The frames of a request, those that must follow one another as one piece. */
function piecesOf({ method, path, fields, body, trailers, fragments }: Plan, stream: number): Buffer[] {
  const pseudo = [
    [':method', method],
    [':scheme', 'http'],
    [':path', path],
    [':authority', 'o.test'],
  ] as const
  const block = literalBlock([...pseudo, ['cookie', 'a=1'], ...fields, ['cookie', 'b=2']])
  const parts: Buffer[] = []
  const size = Math.max(fragments, Math.ceil(block.length / 8))
  for (let from = 0; from < block.length; from += size) {
    const last = from + size >= block.length ? Flag.END_HEADERS : 0
    const ends = from === 0 && body.length === 0 && !trailers ? Flag.END_STREAM : 0
    const type = from === 0 ? FrameType.HEADERS : FrameType.CONTINUATION
    parts.push(frame({ type, flags: last | ends, stream, payload: block.subarray(from, from + size) }))
  }
  const pieces: Buffer[] = [Buffer.concat(parts)]
  for (const [i, { text, padding }] of body.entries()) {
    const flags = Flag.PADDED | (i === body.length - 1 && !trailers ? Flag.END_STREAM : 0)
    const payload = Buffer.concat([Buffer.from([padding]), Buffer.from(text, 'latin1'), Buffer.alloc(padding)])
    pieces.push(frame({ type: FrameType.DATA, flags, stream, payload }))
  }
  if (trailers)
    pieces.push(frame({ type: FrameType.HEADERS, flags: 5, stream, payload: literalBlock([['x-sum', '1']]) }))
  return pieces
}

/** One stream after the other is opened; what follows is dealt out in turns. */
function bytesOf(plans: readonly Plan[]): Buffer {
  const streams = plans.map((each, i) => piecesOf(each, 2 * i + 1))
  const order: Buffer[] = streams.map((pieces) => pieces[0]!)
  for (let turn = 1; turn < 8; turn++)
    for (const pieces of streams) if (pieces[turn] !== undefined) order.push(pieces[turn]!)
  return Buffer.concat([PREFACE, settings(), frame({ type: FrameType.SETTINGS, flags: Flag.ACK }), ...order])
}

function sorted(fields: Fields): string[] {
  const list: string[] = []
  fields.forEach((name, value) => void list.push(`${name}: ${value}`))
  return list.sort()
}

/** By the gateway's connection, in pieces of this size. */
async function seenByUs(bytes: Buffer, piece: number): Promise<Seen[]> {
  const seen: Seen[] = []
  const begin = (_: unknown, request: IncomingRequest): DownstreamHandler => {
    const { method, target, authority, fields } = request
    fields.remove('content-length')
    const one: Seen = { head: [method, target, authority, ...sorted(fields)], body: '', trailers: [], ended: false }
    seen.push(one)
    return {
      onRequestBody(chunk) {
        one.body += chunk.toString('latin1')
        return true
      },
      onRequestEnd(trailers) {
        one.ended = true
        if (trailers !== null) one.trailers = sorted(trailers)
      },
      onRequestFailed(error) {
        if (error.reason !== 'ShuttingDown') one.body += `failed: ${error.message}`
      },
      onClientDrain() {},
      onClientEnd: () => true,
      onClientGone() {},
    }
  }
  const made = world()
  const requests = { ...made.context.requests, begin }
  const ours = new H2Connection(() => new FakeSocket() as unknown as Socket, PEER, { ...made.context, requests })
  for (let from = 0; from < bytes.length; from += piece) ours.receive(Buffer.from(bytes.subarray(from, from + piece)))
  ours.destroy()
  return seen
}

async function seenByNode(bytes: Buffer, count: number): Promise<Seen[]> {
  const seen: Seen[] = []
  const server = createServer()
  server.on('stream', (stream, headers) => {
    const { ':method': method, ':path': path, ':authority': authority } = headers
    const fields = Object.entries(headers).filter(([name]) => !name.startsWith(':'))
    const head = [method!, path!, authority!, ...fields.map(([name, value]) => `${name}: ${value}`).sort()]
    const one: Seen = { head, body: '', trailers: [], ended: false }
    seen[(stream.id! - 1) / 2] = one
    stream.on('data', (part: Buffer) => (one.body += part.toString('latin1')))
    stream.on('trailers', (trailers) => (one.trailers = Object.entries(trailers).map(([n, v]) => `${n}: ${v}`)))
    stream.on('end', () => (one.ended = true))
    stream.on('error', () => {})
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const socket = connect((server.address() as AddressInfo).port, '127.0.0.1')
  socket.on('error', () => {}).resume()
  socket.write(bytes)
  await until(() => seen.filter(({ ended }) => ended).length === count, `${count} requests at node:http2`)
  socket.destroy()
  server.close()
  return seen
}

describe('requests of HTTP/2', () => {
  it('are the same to the gateway as to node:http2', async () => {
    const plans = fc.array(plan, { minLength: 1, maxLength: 6 })
    const pieces = fc.constantFrom(1, 7, 50, 1_000, 100_000)
    const property = fc.asyncProperty(plans, pieces, async (all, piece) => {
      const bytes = bytesOf(all)
      assert.deepEqual(await seenByUs(bytes, piece), await seenByNode(bytes, all.length))
    })
    await fc.assert(property, { numRuns: 120 })
  })
})
