/**
 * The origin server of the tests of the cache: raw bytes on real sockets, so that it can misbehave. Each page has its
 * own path and its own list of answers, and its body says the page and which answer it is: a client that gets a body of
 * another page, or of an answer that is over, notices.
 */
import type { Socket } from 'node:net'
import { rawBackend } from '../backends.ts'
import type { Scope } from '../harness.ts'

/** A request as it arrived. */
export interface Asked {
  readonly method: string
  readonly target: string
  /** Names in lower case; the lines of one name are joined by `, `. */
  readonly fields: ReadonlyMap<string, string>
  readonly body: string
  readonly socket: Socket
}

export interface Answer {
  /** Default 200; a 304 and an answer to HEAD have no body. */
  readonly status?: number
  /** `name: value`. A Date of now is added unless one is given; `date:` alone stands for none. */
  readonly fields?: readonly string[]
  /** Default: `PATH answer N`. */
  readonly body?: string | Buffer
  /** Default `length`. */
  readonly framing?: 'length' | 'chunked' | 'close'
  readonly trailers?: readonly string[]
  /** Heads that are sent before, without their empty line. */
  readonly interim?: readonly string[]
  /** Content-Length that is told, where it is not that of the body. */
  readonly length?: number
  /** Only so many bytes of the body are sent, and the connection is reset. */
  readonly cut?: number
  /** Waited for before the head. */
  readonly head?: Promise<unknown>
  /** Waited for behind the first half of the body. */
  readonly rest?: Promise<unknown>
  /** Sent instead of all of the above; the connection is closed behind it. */
  readonly raw?: string
}

export type Answers = readonly (Answer | ((asked: Asked) => Answer))[]

interface Registered {
  readonly path: string
  readonly answers: Answers
  readonly asked: Asked[]
}

export interface Origin {
  readonly port: number
  /** What arrived for paths that no page has. */
  readonly strays: Asked[]
  /** The n-th request for this path (whatever its query) gets the n-th answer, all further ones the last. */
  add(path: string, answers: Answers): readonly Asked[]
}

/** @param otherwise the answer for paths that no page has; default a 404 that is not stored */
export async function cacheOrigin(scope: Scope, otherwise?: (asked: Asked) => Answer): Promise<Origin> {
  const pages = new Map<string, Registered>()
  const strays: Asked[] = []
  const stray: Registered = { path: 'stray', answers: [otherwise ?? NO_PAGE], asked: strays }
  const { port } = await rawBackend(scope, (socket) => {
    socket.setNoDelay(true)
    let bytes: Buffer = Buffer.alloc(0)
    /** Answers of one connection follow one another. */
    let turn = Promise.resolve()
    socket.on('data', (chunk: Buffer) => {
      // It has closed: what still comes has met nobody.
      if (socket.writableEnded || socket.destroyed) return
      bytes = bytes.length === 0 ? chunk : Buffer.concat([bytes, chunk])
      for (let read = readRequest(bytes, socket); read !== null; read = readRequest(bytes, socket)) {
        const { asked, length } = read
        bytes = bytes.subarray(length)
        turn = turn
          .then(async () => {
            if (!socket.writableEnded) await respond(pages.get(pathOf(asked.target)) ?? stray, asked)
          })
          .catch(() => {})
      }
    })
    socket.on('end', () => socket.end())
  })
  return {
    port,
    strays,
    add: (path, answers) => {
      const page = { path, answers, asked: [] }
      pages.set(path, page)
      return page.asked
    },
  }
}

export const pathOf = (target: string): string => target.split('?', 1)[0]!

/** The body of the n-th answer of a page, from 1. */
export const bodyOf = (path: string, number: number): string => `${path} answer ${number}`

/** A whole request at the beginning of the bytes, and how long it is; bodies are of known length or chunked. */
function readRequest(bytes: Buffer, socket: Socket): { readonly asked: Asked; readonly length: number } | null {
  const end = bytes.indexOf('\r\n\r\n')
  if (end < 0) return null
  const [line = '', ...lines] = bytes.toString('latin1', 0, end).split('\r\n')
  const [method = '', target = ''] = line.split(' ')
  const fields = new Map<string, string>()
  for (const text of lines) {
    const colon = text.indexOf(':')
    const name = text.slice(0, colon).toLowerCase()
    const value = text.slice(colon + 1).trim()
    const before = fields.get(name)
    fields.set(name, before === undefined ? value : `${before}, ${value}`)
  }
  const start = end + 4
  const request = (body: string, length: number) => ({ asked: { method, target, fields, body, socket }, length })
  if (fields.get('transfer-encoding') === 'chunked') {
    const last = bytes.indexOf('0\r\n\r\n', start)
    return last < 0 ? null : request(bytes.toString('latin1', start, last), last + 5)
  }
  const length = Number(fields.get('content-length') ?? 0)
  if (bytes.length < start + length) return null
  return request(bytes.toString('latin1', start, start + length), start + length)
}

async function respond(page: Registered, asked: Asked): Promise<void> {
  const { socket } = asked
  const number = page.asked.push(asked)
  const stated = page.answers[Math.min(number, page.answers.length) - 1]!
  const answer = typeof stated === 'function' ? stated(asked) : stated
  await answer.head
  if (answer.raw !== undefined) {
    socket.end(Buffer.from(answer.raw, 'latin1'))
    return
  }
  for (const head of answer.interim ?? []) socket.write(`${head}\r\n\r\n`)
  await send(socket, answer, Buffer.from(answer.body ?? bodyOf(page.path, number)), asked.method)
}

async function send(socket: Socket, answer: Answer, body: Buffer, method: string): Promise<void> {
  const { status = 200, fields = [], framing = 'length', trailers = [] } = answer
  const bodiless = method === 'HEAD' || status === 204 || status === 304
  const lines = [`HTTP/1.1 ${status} Of The Test`, ...fields.filter((line) => line !== 'date:')]
  if (!fields.some((line) => /^date:/i.test(line))) lines.push(`date: ${new Date().toUTCString()}`)
  if (framing === 'chunked' && status !== 304 && status !== 204) lines.push('transfer-encoding: chunked')
  if (framing === 'close') lines.push('connection: close')
  if (framing === 'length' && status !== 304 && status !== 204)
    lines.push(`content-length: ${answer.length ?? body.length}`)
  socket.write(`${lines.join('\r\n')}\r\n\r\n`)
  if (!bodiless) {
    const sent = body.subarray(0, answer.cut ?? body.length)
    const half = answer.rest === undefined ? sent.length : sent.length >> 1
    const part = (bytes: Buffer): void => {
      if (bytes.length === 0) return
      socket.write(framing === 'chunked' ? Buffer.concat([chunkSize(bytes), bytes, CRLF]) : bytes)
    }
    part(sent.subarray(0, half))
    await answer.rest
    part(sent.subarray(half))
    if (answer.cut !== undefined) {
      // Behind what is written: bytes that are still here are lost by a reset.
      socket.write('', () => setImmediate(() => socket.destroy()))
      return
    }
    if (framing === 'chunked') socket.write(`0\r\n${trailers.map((line) => `${line}\r\n`).join('')}\r\n`)
  }
  if (framing === 'close') socket.end()
}

const NO_PAGE: Answer = { status: 404, fields: ['cache-control: no-store'], body: 'no such page' }
const CRLF = Buffer.from('\r\n')
const chunkSize = (bytes: Buffer): Buffer => Buffer.from(`${bytes.length.toString(16)}\r\n`)
