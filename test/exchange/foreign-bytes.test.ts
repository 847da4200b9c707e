/**
 * Reads of all connections of a thread go into shared buffers, so a view that is kept too long shows another exchange's
 * bytes: the worst that can happen to a gateway. Many exchanges at once, slow readers, filters that wait and filters
 * that keep what they are given: every byte of every response, field and trailer, and of every request body, must be
 * the one that was asked for.
 */
import assert from 'node:assert/strict'
import type { Socket } from 'node:net'
import { describe, it, type TestContext } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import type { BodySink, BodyStep } from '../../src/message/body.ts'
import type { Fields } from '../../src/message/fields.ts'
import type { ResponseHead } from '../../src/message/head.ts'
import type { Exchange } from '../../src/policy/exchange.ts'
import type { Filter } from '../../src/policy/filter.ts'
import { rawBackend } from '../feature/backends.ts'
import { RawClient, type RawResponse } from '../feature/raw-client.ts'
import { type InProcess, inProcess } from '../worker/in-process.ts'
import { toUp } from '../worker/test-plane.ts'

const NOISE = Buffer.alloc(3_000_000)
for (let i = 0, seed = 1; i < NOISE.length; i++) {
  seed = (Math.imul(seed, 1_103_515_245) + 12_345) | 0
  NOISE[i] = seed >>> 16
}

/** The one body that belongs to a number. */
function bodyOf(number: number, size: number): Buffer {
  const offset = (number * 7_919) % (NOISE.length - size)
  return NOISE.subarray(offset, offset + size)
}

const SIZES = [0, 1, 17, 700, 4_096, 5_000, 30_000, 65_536, 70_000, 300_000, 1_000_000]
const FRAMINGS = ['length', 'chunked', 'close'] as const

interface Wish {
  readonly number: number
  readonly size: number
  readonly framing: (typeof FRAMINGS)[number]
  readonly upload: number
}

function wish(number: number): Wish {
  const random = (Math.imul(number + 1, 2_654_435_761) >>> 8) % 1_000
  return {
    number,
    size: SIZES[random % SIZES.length]!,
    framing: random % 20 === 0 ? 'close' : FRAMINGS[random % 2]!,
    upload: number % 4 === 0 ? SIZES[(random >> 3) % 9]! : 0,
  }
}

/** Answers `/NUMBER/SIZE/FRAMING/UPLOAD` with its bytes, in pieces; closes on an upload that is not the number's. */
function serve(socket: Socket, wrong: string[]): void {
  let bytes = Buffer.alloc(0)
  let busy = false
  const next = async (): Promise<void> => {
    if (busy) return
    busy = true
    for (;;) {
      const end = bytes.indexOf('\r\n\r\n')
      if (end < 0) break
      const head = bytes.toString('latin1', 0, end)
      const [, number, size, framing, upload] = /^\w+ \/(\d+)\/(\d+)\/(\w+)\/(\d+) /.exec(head)!
      const length = Number(upload)
      if (bytes.length < end + 4 + length) break
      const body = bytes.subarray(end + 4, end + 4 + length)
      if (!body.equals(bodyOf(Number(number), length))) wrong.push(`upload of ${number}`)
      bytes = bytes.subarray(end + 4 + length)
      await answer(socket, Number(number), Number(size), framing!)
    }
    busy = false
  }
  socket.on('data', (chunk: Buffer) => {
    bytes = Buffer.concat([bytes, chunk])
    void next()
  })
  socket.on('end', () => socket.end())
}

async function answer(socket: Socket, number: number, size: number, framing: string): Promise<void> {
  const body = bodyOf(number, size)
  const mark = `x-mark: ${`${number}-`.repeat(20)}\r\n`
  const piece = 400 + ((number * 37) % 90_000)
  if (framing === 'length') socket.write(`HTTP/1.1 200 OK\r\n${mark}content-length: ${size}\r\n\r\n`)
  else if (framing === 'close') socket.write(`HTTP/1.1 200 OK\r\nconnection: close\r\n${mark}\r\n`)
  else socket.write(`HTTP/1.1 200 OK\r\n${mark}transfer-encoding: chunked\r\n\r\n`)
  for (let at = 0; at < size; at += piece) {
    const part = body.subarray(at, at + piece)
    if (framing === 'chunked') socket.write(`${part.length.toString(16)}\r\n`)
    const room = socket.write(part)
    if (framing === 'chunked') socket.write('\r\n')
    if (!room && !socket.destroyed) await new Promise((resolve) => socket.once('drain', resolve).once('close', resolve))
  }
  if (framing === 'chunked') socket.write(`0\r\nx-number: ${number}\r\n\r\n`)
  if (framing === 'close') socket.end()
}

async function fetchOne(gateway: InProcess, client: RawClient | null, { number, size, framing, upload }: Wish) {
  const own = client ?? (await RawClient.connect(gateway.port))
  const target = `/${number}/${size}/${framing}/${upload}`
  own.send(`POST ${target} HTTP/1.1\r\nhost: b.test\r\nte: trailers\r\ncontent-length: ${upload}\r\n\r\n`)
  const bytes = bodyOf(number, upload)
  for (let at = 0; at < upload; at += 50_000) {
    own.send(bytes.subarray(at, at + 50_000))
    if (number % 3 === 0) await delay(1)
  }
  // A reader that stops now and then, so that what is sent to it has to wait.
  const slow = number % 3 === 1
  const rhythm = slow
    ? setInterval(() => {
        own.socket.pause()
        setTimeout(() => own.socket.resume(), 15)
      }, 20)
    : undefined
  const response = await own.response()
  clearInterval(rhythm)
  own.socket.resume()
  checkResponse(response, { number, size, framing, upload })
  return own
}

function checkResponse(response: RawResponse, { number, size, framing }: Wish): void {
  assert.equal(response.status, 200, response.text)
  assert.equal(response.header('x-mark'), `${number}-`.repeat(20))
  assert.equal(response.body.length, size)
  assert.ok(response.body.equals(bodyOf(number, size)), `foreign bytes in the answer to ${number}`)
  if (framing === 'chunked') assert.deepEqual(response.trailers, [['x-number', String(number)]])
}

/** @param clients so many at once, each with `each` requests one after the other */
async function storm(t: TestContext, filters: readonly Filter[], clients: number, each: number): Promise<void> {
  const wrong: string[] = []
  const upstreams = await Promise.all([1, 2].map(() => rawBackend(t, (socket) => serve(socket, wrong))))
  const gateway = await inProcess(t, {
    upstreams: upstreams.map(({ port }) => port),
    rules: toUp({ retry: { attempts: 0 } }),
    filters: filters.map((filter) => ({ phase: 'compression', filter })),
  })
  let number = 0
  await Promise.all(
    Array.from({ length: clients }, async () => {
      let client: RawClient | null = null
      for (let i = 0; i < each; i++) client = await fetchOne(gateway, client, wish(number++))
      client?.socket.destroy()
    }),
  )
  assert.deepEqual([wrong, gateway.errors], [[], []])
  await gateway.nothingLeft()
  assert.equal(gateway.log().length, clients * each)
}

/** Takes its time over every response. */
const waiting: Filter = { name: 'waiting', onResponse: () => delay(2).then(() => undefined) }

/** Keeps the head to its very end, and sees there what it saw at first. */
function keeping(wrong: string[]): Filter {
  const heads = new WeakMap<Exchange, { head: ResponseHead; mark: string | undefined }>()
  return {
    name: 'keeping',
    onResponse(x, head) {
      heads.set(x, { head, mark: head.fields.get('x-mark') })
      return undefined
    },
    onEnd(x) {
      const kept = heads.get(x)!
      if (kept.head.fields.get('x-mark') !== kept.mark) wrong.push(`head of ${x.path}`)
    },
  }
}

/** Holds every chunk, and the trailers, a while: what it was given must be its own. */
class Holding implements BodyStep {
  readonly #sink: BodySink
  readonly #resume: () => void
  readonly #held: Uint8Array[] = []
  #trailers: Fields | null | undefined
  #timer: NodeJS.Timeout | undefined

  constructor(sink: BodySink, resume: () => void) {
    this.#sink = sink
    this.#resume = resume
  }
  data(chunk: Uint8Array): boolean {
    this.#held.push(chunk)
    this.#timer ??= setTimeout(() => this.#flush(), 3)
    return this.#held.length < 4
  }
  end(trailers: Fields | null): void {
    this.#trailers = trailers
    this.#timer ??= setTimeout(() => this.#flush(), 3)
  }
  #flush(): void {
    this.#timer = undefined
    for (const chunk of this.#held.splice(0)) this.#sink.write(chunk)
    if (this.#trailers !== undefined) this.#sink.end(this.#trailers)
    else this.#resume()
  }
  drained(): void {}
  abort(): void {
    clearTimeout(this.#timer)
  }
}

const holding: Filter = {
  name: 'holding',
  responseBody(_, head) {
    head.bodyLength = undefined
    return (sink, resume) => new Holding(sink, resume)
  },
}

describe('no exchange ever sees the bytes of another', () => {
  it('where nothing stands between upstream and client', (t) => storm(t, [], 40, 8))

  it('where a filter takes its time over heads', (t) => storm(t, [waiting], 20, 6))

  it('where a filter keeps heads', async (t) => {
    const wrong: string[] = []
    await storm(t, [keeping(wrong)], 20, 6)
    assert.deepEqual(wrong, [])
  })

  it('where a filter holds pieces of bodies and trailers', (t) => storm(t, [holding], 20, 6))

  it('where all of them do', async (t) => {
    const wrong: string[] = []
    await storm(t, [keeping(wrong), waiting, holding], 20, 6)
    assert.deepEqual(wrong, [])
  })
})
