/** Messages whose parts go on as they come, between HTTP/1.1 and HTTP/2 on either side, with Node's own at both ends. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import {
  createServer as createHttp1,
  request as http1Request,
  type IncomingMessage,
  type ServerResponse,
} from 'node:http'
import { createServer as createHttp2, type IncomingHttpHeaders, type ServerHttp2Session } from 'node:http2'
import type { AddressInfo, Socket } from 'node:net'
import type { Readable, Writable } from 'node:stream'
import { describe, it } from 'node:test'
import { H2C_UPSTREAMS } from '../lib/h2-upstreams.ts'
import { h2Session } from '../lib/h2-websocket.ts'
import { until } from '../socket/sockets.ts'
import { type InProcess, inProcess } from './in-process.ts'
import { type Scope, toUp } from './test-plane.ts'

type Serve = (request: IncomingMessage, response: ServerResponse) => void
type Headers = Readonly<Record<string, string>>

interface Response {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly body: Readable
}

interface Call {
  readonly body: Writable
  readonly response: Promise<Response>
  /** Statuses and links of interim responses. */
  readonly interim: (readonly [status: number, link: unknown])[]
  /** The client goes away. */
  vanish(): void
}

interface World {
  readonly gateway: InProcess
  /** With a body, which is to be ended, unless the method is GET. */
  call(method: string, headers?: Headers): Call
}

async function upstream(t: Scope, http2: boolean, serve: Serve): Promise<number> {
  const sockets = new Set<Socket | ServerHttp2Session>()
  // The compatibility API of node:http2 takes the same handler.
  const server = http2 ? createHttp2(serve as never) : createHttp1(serve)
  server.on(http2 ? 'session' : 'connection', (one: Socket | ServerHttp2Session) => {
    sockets.add(one)
    one.on('error', () => {})
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => {
    server.close()
    for (const one of sockets) one.destroy()
  })
  return (server.address() as AddressInfo).port
}

async function world(t: Scope, from: number, to: number, serve: Serve): Promise<World> {
  const port = await upstream(t, to === 2, serve)
  const gateway = await inProcess(t, {
    upstreams: [port],
    rules: toUp({ retry: { attempts: 0 } }),
    ...(to === 2 ? { connector: H2C_UPSTREAMS.connector } : {}),
  })
  if (from === 1) return { gateway, call: (method, headers = {}) => overHttp1(t, gateway.port, method, headers) }
  const session = await h2Session(t, `http://127.0.0.1:${gateway.port}`)
  return {
    gateway,
    call(method, headers = {}) {
      const stream = session.request(
        { ':method': method, ':path': '/', ':authority': 'w.test', ...headers },
        { endStream: method === 'GET' },
      )
      const interim: [number, unknown][] = []
      stream.on('error', () => {})
      stream.on('headers', (fields) => interim.push([Number(fields[':status']), fields.link]))
      const response = once(stream, 'response').then(([fields]) => ({
        status: Number((fields as IncomingHttpHeaders)[':status']),
        headers: fields as IncomingHttpHeaders,
        body: stream as Readable,
      }))
      return { body: stream, response, interim, vanish: () => stream.close(8) }
    },
  }
}

function overHttp1(t: Scope, port: number, method: string, headers: Headers): Call {
  const request = http1Request({ host: '127.0.0.1', port, method, headers: { host: 'w.test', ...headers } })
  t.after(() => void request.destroy())
  const interim: [number, unknown][] = []
  request.on('error', () => {})
  request.on('information', ({ statusCode, headers: fields }) => interim.push([statusCode, fields.link]))
  if (method === 'GET') request.end()
  else request.flushHeaders()
  const response = once(request, 'response').then(([message]) => {
    const { statusCode, headers: fields } = message as IncomingMessage
    return { status: statusCode!, headers: fields as IncomingHttpHeaders, body: message as Readable }
  })
  return { body: request, response, interim, vanish: () => request.destroy() }
}

async function text(body: Readable): Promise<string> {
  let all = ''
  for await (const bytes of body) all += String(bytes)
  return all
}

/** The next bytes, in flowing mode. */
async function next(body: Readable): Promise<string> {
  const [bytes] = (await once(body, 'data')) as [Buffer]
  return bytes.toString()
}

const TOTAL = 24 << 20
const PART = Buffer.alloc(64 << 10, 'x')

/** Writes {@link TOTAL} bytes with back-pressure. @returns bytes that have left so far */
function pour(into: Writable): () => number {
  let left = 0
  const more = (written: number): void => {
    if (written === TOTAL) return void into.end()
    into.write(PART, () => {
      left = written + PART.length
      more(left)
    })
  }
  more(0)
  return () => left
}

/** Waits until no more bytes leave. */
async function settled(left: () => number): Promise<number> {
  for (let before = -1, quiet = 0; quiet < 4; quiet = left() === before ? quiet + 1 : 0) {
    before = left()
    await new Promise((resolve) => setTimeout(resolve, 60))
  }
  return left()
}

for (const [from, to] of [
  [1, 1],
  [2, 1],
  [1, 2],
  [2, 2],
] as const)
  describe(`from a client over HTTP/${from} to an upstream over HTTP/${to}`, () => {
    it('events go out as they come', async (t) => {
      let events: ServerResponse | undefined
      const { gateway, call } = await world(t, from, to, (_, response) => {
        response.writeHead(200, { 'content-type': 'text/event-stream' })
        response.write(': hello\n\n')
        events = response
      })
      const { response } = call('GET', { accept: 'text/event-stream' })
      const { status, headers, body } = await response
      assert.deepEqual(
        [status, headers['content-type'], headers['content-length']],
        [200, 'text/event-stream', undefined],
      )
      assert.equal(await next(body), ': hello\n\n')
      const delays: number[] = []
      for (let i = 0; i < 20; i++) {
        const arrived = next(body)
        const began = performance.now()
        events!.write(`data: ${i}\n\n`)
        assert.equal(await arrived, `data: ${i}\n\n`)
        delays.push(performance.now() - began)
      }
      // Milliseconds of two processors that are shared; nothing that waits for more bytes or a timer would be so quick.
      assert.ok(Math.min(...delays) < 15, `${delays.map((delay) => delay.toFixed(1)).join(' ')} ms`)
      events!.end()
      await until(() => gateway.holdings.exchanges === 0)
    })

    it('a poll waits for as long as its upstream does, and is given up with its client', async (t) => {
      const waiting: ServerResponse[] = []
      let closed = 0
      const { gateway, call } = await world(t, from, to, (_, response) => {
        waiting.push(response)
        response.on('close', () => closed++)
      })
      const polls = [call('GET'), call('GET')] as const
      polls[1].response.catch(() => {})
      await until(() => waiting.length === 2)
      await new Promise((resolve) => setTimeout(resolve, 200))
      for (const response of waiting.slice(0, 1)) response.end('news')
      const answered = await Promise.race(polls.map((poll) => poll.response))
      assert.equal(await text(answered.body), 'news')
      // HTTP/1.1 shows it by a FIN that may be a half-close; HTTP/2 by RST_STREAM.
      if (from === 2) {
        for (const poll of polls) poll.vanish()
        await until(() => closed === 2 && gateway.holdings.exchanges === 0)
      }
    })

    it('a response that begins before the request has ended goes on both ways', async (t) => {
      const { gateway, call } = await world(t, from, to, (request, response) => {
        response.writeHead(200)
        response.write('ready')
        request.on('data', (bytes: Buffer) => response.write(bytes.toString().toUpperCase()))
        request.on('end', () => response.end('over'))
      })
      const { body: up, response } = call('POST')
      const { body: down } = await response
      assert.equal(await next(down), 'ready')
      for (const word of ['a', 'bc', 'def']) {
        const back = next(down)
        up.write(word)
        assert.equal(await back, word.toUpperCase())
      }
      const last = next(down)
      up.end()
      assert.equal(await last, 'over')
      await until(() => gateway.holdings.exchanges === 0)
    })

    it('an upload arrives while it is sent', async (t) => {
      let received = ''
      const { call } = await world(t, from, to, (request, response) => {
        request.on('data', (bytes: Buffer) => (received += bytes.toString()))
        request.on('end', () => response.end(received))
      })
      const { body, response } = call('PUT', { 'content-length': '9' })
      for (const part of ['one', 'two', 'end']) {
        body.write(part)
        await until(() => received.endsWith(part))
      }
      body.end()
      assert.equal(await text((await response).body), 'onetwoend')
    })

    it('ranges and their answers are untouched', async (t) => {
      const { call } = await world(t, from, to, (request, response) => {
        const { range, 'if-range': ifRange } = request.headers
        response.writeHead(206, {
          'content-range': 'bytes 5-9/20',
          'accept-ranges': 'bytes',
          'content-length': '5',
          etag: '"v1"',
          'x-asked': `${range} ${ifRange}`,
        })
        response.end('56789')
      })
      const { status, headers, body } = await call('GET', { range: 'bytes=5-9', 'if-range': '"v1"' }).response
      assert.deepEqual(
        [status, headers['content-range'], headers['content-length'], headers['accept-ranges'], headers.etag],
        [206, 'bytes 5-9/20', '5', 'bytes', '"v1"'],
      )
      assert.deepEqual([headers['x-asked'], await text(body)], ['bytes=5-9 "v1"', '56789'])
    })

    it('early hints are passed on before the response is there', async (t) => {
      let late: ServerResponse | undefined
      const { call } = await world(t, from, to, (_, response) => {
        response.writeEarlyHints({ link: '</a.css>; rel=preload' })
        late = response
      })
      const { response, interim } = call('GET')
      await until(() => interim.length === 1)
      assert.deepEqual(interim, [[103, '</a.css>; rel=preload']])
      late!.end('page')
      const { status, body } = await response
      assert.deepEqual([status, await text(body)], [200, 'page'])
    })

    it('a client that does not read stops its upstream, and gets all in the end', async (t) => {
      let left = (): number => 0
      const { call } = await world(t, from, to, (_, response) => {
        left = pour(response)
      })
      const { body } = await call('GET').response
      const held = await settled(left)
      assert.ok(held < TOTAL, `${held} bytes`)
      let received = 0
      for await (const bytes of body) received += (bytes as Buffer).length
      assert.equal(received, TOTAL)
    })

    it('an upstream that does not read stops its client, and gets all in the end', async (t) => {
      let read = (): void => {}
      let received = 0
      const { call } = await world(t, from, to, (request, response) => {
        read = () => {
          request.on('data', (bytes: Buffer) => (received += bytes.length))
          request.on('end', () => response.end(String(received)))
        }
      })
      const { body, response } = call('POST')
      const left = pour(body)
      const held = await settled(left)
      assert.ok(held < TOTAL, `${held} bytes`)
      read()
      assert.equal(await text((await response).body), String(TOTAL))
    })
  })
