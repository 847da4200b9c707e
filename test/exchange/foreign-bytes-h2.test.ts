/**
 * As in foreign-bytes.test.ts over HTTP/2: many streams of few connections, to endpoints of HTTP/1.1 and of HTTP/2,
 * bodies and trailers both ways, interim responses, small windows, readers and writers that pause, and streams that
 * either side resets. Every byte that arrives must be the one that was sent, and nothing may be left.
 */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer as createH1, type IncomingMessage, type ServerResponse } from 'node:http'
import {
  type ClientHttp2Session,
  connect,
  constants,
  createServer as createH2,
  type IncomingHttpHeaders,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from 'node:http2'
import type { AddressInfo } from 'node:net'
import { describe, it, type TestContext } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { H2cConnector } from '../../src/connector/h2c-connector.ts'
import { realTimers } from '../socket/sockets.ts'
import { type InProcess, inProcess } from '../worker/in-process.ts'
import { toUp } from '../worker/test-plane.ts'

const NOISE = Buffer.alloc(2_000_000)
for (let i = 0, seed = 1; i < NOISE.length; i++) {
  seed = (Math.imul(seed, 1_103_515_245) + 12_345) | 0
  NOISE[i] = seed >>> 16
}

/** The one body that belongs to a number. */
function bodyOf(number: number, size: number): Buffer {
  const offset = (number * 7_919) % (NOISE.length - size)
  return NOISE.subarray(offset, offset + size)
}

const SIZES = [0, 1, 17, 700, 4_096, 5_000, 30_000, 65_535, 65_536, 70_000, 300_000, 700_000]

interface Wish {
  readonly number: number
  readonly size: number
  readonly upload: number
  /** The client gives up behind so many bytes of the response; -1: it does not. */
  readonly cancel: number
  /** The upstream breaks off in the middle. */
  readonly breaks: boolean
}

function wish(number: number): Wish {
  const random = (Math.imul(number + 1, 2_654_435_761) >>> 8) % 10_000
  return {
    number,
    size: SIZES[random % SIZES.length]!,
    upload: number % 2 === 0 ? SIZES[(random >> 4) % SIZES.length]! : 0,
    cancel: number % 11 === 5 ? random % 3_000 : -1,
    breaks: number % 13 === 7,
  }
}

function pathOf({ number, size, upload, breaks }: Wish): string {
  return `/${number}/${size}/${upload}/${breaks ? 1 : 0}`
}

type Asked = Pick<Wish, 'number' | 'size' | 'upload' | 'breaks'>

function asked(path: string): Asked {
  const [, number = 0, size = 0, upload = 0, breaks = 0] = path.split('/').map(Number)
  return { number, size, upload, breaks: breaks === 1 }
}

/** Takes a body in steps, and says where it is not the number's. */
class Checker {
  readonly number: number
  readonly whole: Buffer
  at = 0
  wrong = false

  constructor(number: number, size: number) {
    this.number = number
    this.whole = bodyOf(number, size)
  }

  take(bytes: Buffer): void {
    if (!this.whole.subarray(this.at, this.at + bytes.length).equals(bytes)) this.wrong = true
    this.at += bytes.length
  }

  get complete(): boolean {
    return !this.wrong && this.at === this.whole.length
  }
}

interface Pausing {
  pause(): unknown
  resume(): unknown
  on(event: 'data', take: (bytes: Buffer) => void): unknown
}

/** Reads with pauses of its number's own. */
function read(from: Pausing, check: Checker): void {
  let reads = 0
  from.on('data', (bytes) => {
    check.take(bytes)
    if (check.number % 3 !== 0 || ++reads % 4 !== 0) return
    from.pause()
    setTimeout(() => from.resume(), check.number % 7)
  })
}

interface Writing {
  readonly destroyed: boolean
  write(bytes: Buffer): boolean
  once(event: 'drain' | 'close', next: () => void): unknown
  off(event: 'drain' | 'close', next: () => void): unknown
}

function room(to: Writing): Promise<void> {
  return new Promise((resolve) => {
    const next = (): void => {
      to.off('drain', next)
      to.off('close', next)
      resolve()
    }
    to.once('drain', next)
    to.once('close', next)
  })
}

/** In pieces of its number's own size, with pauses. */
async function write(to: Writing, number: number, body: Buffer): Promise<void> {
  const piece = 100 + ((number * 37) % 40_000) + body.length / 50
  for (let at = 0; at < body.length && !to.destroyed; at += piece) {
    if (!to.write(body.subarray(at, at + piece)) && !to.destroyed) await room(to)
    if (number % 5 === 0) await delay(1)
  }
}

function noteUpload(check: Checker, breaks: boolean, wrong: string[]): void {
  // A stream of node:http2 that is closed ends its direction first, wherever it stands.
  const partial = breaks || wish(check.number).cancel >= 0
  if (check.wrong || (!check.complete && !partial)) wrong.push(`upload of ${check.number} at ${check.at}`)
}

async function answerH1(req: IncomingMessage, res: ServerResponse, wrong: string[]): Promise<void> {
  const { number, size, upload, breaks } = asked(req.url!)
  const check = new Checker(number, upload)
  read(req, check)
  req.on('error', () => {})
  req.on('end', () => noteUpload(check, breaks, wrong))
  if (number % 4 === 0) res.writeEarlyHints({ link: `</${number}>; rel=preload` })
  res.writeHead(200, { 'x-mark': `${number}-`.repeat(20), ...(number % 3 === 0 ? { 'content-length': size } : {}) })
  const body = bodyOf(number, size)
  await write(res, number, breaks ? body.subarray(0, size / 2) : body)
  if (breaks) return void res.destroy()
  if (number % 3 !== 0) res.addTrailers({ 'x-number': String(number) })
  res.end()
}

async function answerH2(stream: ServerHttp2Stream, headers: IncomingHttpHeaders, wrong: string[]): Promise<void> {
  const { number, size, upload, breaks } = asked(headers[':path']!)
  const check = new Checker(number, upload)
  stream.on('error', () => {})
  read(stream, check)
  stream.on('end', () => {
    if (stream.rstCode === 0 && !stream.aborted) noteUpload(check, breaks, wrong)
  })
  if (number % 4 === 0) stream.additionalHeaders({ ':status': 103, link: `</${number}>; rel=preload` })
  stream.respond({ ':status': 200, 'x-mark': `${number}-`.repeat(20) }, { waitForTrailers: !breaks })
  stream.on('wantTrailers', () => stream.sendTrailers({ 'x-number': String(number) }))
  const body = bodyOf(number, size)
  await write(stream, number, breaks ? body.subarray(0, size / 2) : body)
  if (breaks) stream.close(constants.NGHTTP2_INTERNAL_ERROR)
  else stream.end()
}

type Serve = (t: TestContext, wrong: string[]) => Promise<number>

const serveH1: Serve = async (t, wrong) => {
  const server = createH1((req, res) => void answerH1(req, res, wrong))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => server.close().closeAllConnections())
  return (server.address() as AddressInfo).port
}

const serveH2: Serve = async (t, wrong) => {
  const sessions = new Set<ServerHttp2Session>()
  const server = createH2({ settings: { initialWindowSize: 20_000, maxConcurrentStreams: 40 } })
  server.on('session', (session) => sessions.add(session))
  server.on('stream', (stream, headers) => void answerH2(stream as ServerHttp2Stream, headers, wrong))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => {
    for (const session of sessions) session.destroy()
    server.close()
  })
  return (server.address() as AddressInfo).port
}

interface Result {
  readonly status: number
  readonly complete: boolean
}

async function fetchOne(session: ClientHttp2Session, one: Wish): Promise<Result> {
  const { number, size, upload, cancel } = one
  const priority = `u=${number % 8}${number % 2 === 0 ? ', i' : ''}`
  const stream = session.request(
    { ':method': 'POST', ':path': pathOf(one), ':authority': 'b.test', te: 'trailers', priority },
    { endStream: false },
  )
  const check = new Checker(number, size)
  const closed = new Promise((resolve) => stream.on('close', resolve))
  let status = 0
  let mark: unknown
  let trailers: IncomingHttpHeaders | undefined
  const hints: unknown[] = []
  stream.on('error', () => {})
  stream.on('headers', ({ link }) => hints.push(link))
  stream.on('response', (headers) => {
    status = headers[':status']!
    mark = headers['x-mark']
    if (status !== 200) return void stream.resume()
    read(stream, check)
    if (cancel >= 0)
      stream.on('data', () => {
        if (check.at >= cancel) stream.close(constants.NGHTTP2_CANCEL)
      })
  })
  stream.on('trailers', (fields) => (trailers = fields))
  void write(stream, number, bodyOf(number, upload)).then(() => stream.end())
  await closed
  if (status === 200) {
    assert.equal(mark, `${number}-`.repeat(20))
    assert.ok(!check.wrong, `foreign bytes in the answer to ${number}`)
    for (const link of hints) assert.equal(link, `</${number}>; rel=preload`)
    if (trailers?.['x-number'] !== undefined) assert.equal(trailers['x-number'], String(number))
  }
  return { status, complete: check.complete && stream.rstCode === constants.NGHTTP2_NO_ERROR }
}

async function clientOf(gateway: InProcess, window: number): Promise<ClientHttp2Session> {
  const session = connect(`http://127.0.0.1:${gateway.port}`, { settings: { initialWindowSize: window } })
  session.on('error', () => {})
  await once(session, 'remoteSettings')
  return session
}

/** Connections of clients with windows of these sizes, on which so many requests run at a time, one after the other. */
async function storm(t: TestContext, serve: Serve, windows: readonly number[], width: number, each: number) {
  const wrong: string[] = []
  const upstreams = [await serve(t, wrong), await serve(t, wrong)]
  const gateway = await inProcess(t, {
    upstreams,
    rules: toUp({ retry: { attempts: 0 } }),
    heldLimit: 1 << 26,
    ...(serve === serveH2 ? { connector: new H2cConnector(realTimers()) } : {}),
  })
  let number = 0
  const one = async (session: ClientHttp2Session): Promise<void> => {
    for (let i = 0; i < each; i++) {
      const next = wish(number++)
      const { status, complete } = await fetchOne(session, next)
      if (next.breaks || next.cancel >= 0) continue
      assert.equal(status, 200, `${pathOf(next)}: ${status}`)
      assert.ok(complete, `the answer to ${pathOf(next)} is not complete`)
    }
  }
  const sessions = await Promise.all(windows.map((window) => clientOf(gateway, window)))
  await Promise.all(sessions.flatMap((session) => Array.from({ length: width }, () => one(session))))
  for (const session of sessions) session.close()
  assert.deepEqual([wrong, gateway.errors], [[], []])
  await gateway.nothingLeft()
  assert.equal(gateway.log().length, number, 'each exchange ends once')
}

describe('no exchange over HTTP/2 ever sees the bytes of another', () => {
  it('to endpoints of HTTP/1.1', (t) => storm(t, serveH1, [1_000, 65_535, 1_000_000], 16, 6))
  it('to endpoints of HTTP/2', (t) => storm(t, serveH2, [1_000, 65_535, 1_000_000], 16, 6))
})
