import assert from 'node:assert/strict'
import type { Socket } from 'node:net'
import { before, describe, it } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { eventually, type Gateway, suiteScope } from './harness.ts'
import type { RawClient, RawResponse } from './raw-client.ts'
import {
  type Arrived,
  HOST,
  type Holdings,
  holdings,
  nothingLeft,
  type Scripted,
  scripted,
  wireGateway,
} from './wire.ts'

const OK = 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok'

/** Answers with the text that came for this request, its body included, once `done` of it is there. */
function echo(socket: Socket, arrived: Arrived, head: string, done: (rest: string) => boolean): void {
  const from = arrived.text.lastIndexOf(head)
  const look = (): void => {
    const text = arrived.text.slice(from)
    if (!done(text.slice(head.length))) return
    socket.off('data', look)
    socket.write(`HTTP/1.1 200 OK\r\ncontent-length: ${Buffer.byteLength(text, 'latin1')}\r\nx-end: 1\r\n\r\n`)
    socket.write(Buffer.from(text, 'latin1'))
  }
  socket.on('data', look)
  setImmediate(look)
}

/** Writes one byte after the other. */
async function dripping(socket: Socket, text: string): Promise<void> {
  for (const byte of Buffer.from(text, 'latin1')) {
    socket.write(Buffer.of(byte))
    await new Promise(setImmediate)
  }
}

describe('requests on the wire', () => {
  const scope = suiteScope()
  let gateway: Gateway
  let upstream: Scripted
  let base: Holdings
  before(async () => {
    upstream = await scripted(scope, {
      ok: (socket) => socket.write(OK),
      slow: (socket) => setTimeout(() => socket.write(OK), 30),
      chunked: (socket, arrived, head) =>
        echo(socket, arrived, head, (rest) =>
          /\r\n0\r\n(?:[^\r\n]+\r\n)*\r\n$|^0\r\n(?:[^\r\n]+\r\n)*\r\n$/.test(rest),
        ),
      ten: (socket, arrived, head) => echo(socket, arrived, head, (rest) => rest.length === 10),
      drip: (socket) =>
        void dripping(
          socket,
          `HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nx-sum: 6\r\n\r\n`,
        ),
      trailers: (socket) =>
        socket.write(
          'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nx-sum: 6\r\nset-cookie: evil=1\r\n\r\n',
        ),
      'until-close': (socket) => socket.end('HTTP/1.0 200 OK\r\n\r\nuntil the close'),
      'old-kept': (socket) => socket.write('HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 2\r\n\r\nok'),
      continue: (socket, arrived) => {
        socket.write('HTTP/1.1 100 Continue\r\n\r\n')
        const look = (): void => {
          if (!arrived.text.endsWith('body')) return
          socket.off('data', look)
          socket.write(OK)
        }
        socket.on('data', look)
      },
      'no-continue': (socket) => socket.write('HTTP/1.1 417 Expectation Failed\r\ncontent-length: 2\r\n\r\nno'),
      'early-413': (socket) =>
        socket.end('HTTP/1.1 413 Content Too Large\r\ncontent-length: 7\r\nconnection: close\r\n\r\ntoo big'),
      'early-200': (socket) => socket.write('HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nearly'),
      'early-reset': (socket) => {
        // What a server does that answers, closes and leaves the rest of the body unread: the kernel resets behind the
        // answer.
        socket.pause()
        socket.write('HTTP/1.1 413 Content Too Large\r\ncontent-length: 7\r\nconnection: close\r\n\r\ntoo big', () =>
          socket.destroy(),
        )
      },
      'head-lies': (socket) => socket.write('HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nabcde'),
      'no-content': (socket) => socket.write('HTTP/1.1 204 No Content\r\n\r\nGARBAGE'),
      'not-modified': (socket) => socket.write('HTTP/1.1 304 Not Modified\r\ncontent-length: 500\r\netag: "x"\r\n\r\n'),
      'no-content-long': (socket) => socket.write('HTTP/1.1 204 No Content\r\ncontent-length: 5\r\n\r\nabcde'),
    })
    gateway = await wireGateway(scope, upstream.port, { limits: { maxRequestBytes: '12Mi' } })
    await gateway.request({ host: 'wire.test', path: '/ok' })
    base = await holdings(gateway)
  })

  const get = (path: string, more = ''): string => `GET ${path} HTTP/1.1\r\n${HOST}${more}\r\n`

  async function ask(bytes: string, method = 'GET'): Promise<RawResponse> {
    using client = await gateway.connect()
    client.send(bytes)
    return await final(client, method)
  }

  it('are answered in their order when pipelined, slow ones and refused ones among them', async () => {
    using client = await gateway.connect()
    const post = (path: string, body: string): string =>
      `POST ${path} HTTP/1.1\r\n${HOST}content-length: ${body.length}\r\n\r\n${body}`
    client.send(
      get('/slow') +
        post('/ten', '0123456789') +
        get('/ok') +
        post('/ten%2f', 'x'.repeat(500)) +
        get('/slow') +
        `POST /chunked HTTP/1.1\r\n${HOST}transfer-encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n` +
        get('/ok'),
    )
    assert.equal((await client.response()).text, 'ok')
    assert.match((await client.response()).text, /0123456789$/)
    assert.equal((await client.response()).text, 'ok')
    assert.equal((await client.response()).status, 400, 'its body is skipped')
    assert.equal((await client.response()).text, 'ok')
    assert.match((await client.response()).text, /\r\n\r\n2\r\nab\r\n0\r\n\r\n$/)
    assert.equal((await client.response()).text, 'ok')
  })

  it('are answered in their order when pipelined by the hundred, however they are cut', async () => {
    for (const size of [1, 7, 1000, 100_000]) {
      using client = await gateway.connect()
      const count = size === 1 ? 10 : 200
      const bytes = Buffer.from(get('/ok').repeat(count))
      for (let at = 0; at < bytes.length; at += size) {
        client.send(bytes.subarray(at, at + size))
        if (at % 50 === 0) await new Promise(setImmediate)
      }
      for (let i = 0; i < count; i++) assert.equal((await client.response()).text, 'ok')
      assert.equal(client.unread.length, 0)
    }
  })

  it('and responses may come byte by byte', async () => {
    using client = await gateway.connect()
    const sent = dripping(
      client.socket,
      `POST /chunked?x HTTP/1.1\r\n${HOST}x-a: b\r\ntransfer-encoding: chunked\r\n\r\n3;e=f\r\nabc\r\n0\r\nx-t: 1\r\n\r\n${get('/drip', 'te: trailers\r\n')}`,
    )
    const first = await client.response()
    // What comes in one chunk goes on in as many as it arrives in (RFC 9112 §7.1).
    const [, chunks] = /^POST \/chunked\?x HTTP\/1\.1\r\n.*x-a: b\r\n.*\r\n\r\n(.*)0\r\nx-t: 1\r\n\r\n$/s.exec(
      first.text,
    )!
    assert.match(chunks!, /^(?:1\r\na\r\n1\r\nb\r\n1\r\nc|1\r\na\r\n2\r\nbc|2\r\nab\r\n1\r\nc|3\r\nabc)\r\n$/)
    await sent
    assert.equal((await client.response()).status, 103)
    const second = await client.response()
    assert.deepEqual([second.text, second.trailers], ['abc', [['x-sum', '6']]])
  })

  it('with pipelined ones behind are all answered before a half-close takes effect', async () => {
    using client = await gateway.connect()
    client.send(get('/slow').repeat(3)).end()
    for (let i = 0; i < 3; i++) assert.equal((await client.response()).text, 'ok')
    await client.closed()
  })

  it('pipelined behind a close are not answered', async () => {
    using client = await gateway.connect()
    client.send(get('/ok', 'connection: close\r\n') + get('/ok'))
    assert.equal((await client.response()).header('connection'), 'close')
    await client.closed()
  })

  it('that are refused before their body keep the connection, where the body is short', async () => {
    using client = await gateway.connect()
    const body = 'x'.repeat(30_000)
    client.send(`POST / HTTP/1.1\r\nhost: nobody.test\r\ncontent-length: ${body.length}\r\n\r\n`)
    assert.equal((await client.response()).status, 404)
    // The body comes after the answer, in pieces, the next request with its last.
    client.send(body.slice(0, 100))
    await delay(20)
    client.send(body.slice(100) + get('/ok'))
    assert.equal((await client.response()).text, 'ok')
    client.send(get('/ok'))
    assert.equal((await client.response()).text, 'ok')
  })

  it('that are refused before a long body lose the connection, after their answer', async () => {
    using client = await gateway.connect()
    client.send(`POST / HTTP/1.1\r\nhost: nobody.test\r\ncontent-length: 1000000\r\n\r\n`)
    const answer = await client.response()
    assert.deepEqual([answer.status, answer.header('connection')], [404, 'close'])
    client.send('x'.repeat(500_000))
    await client.closed()
  })

  it('whose body is too long by its length or by its chunks are 413', async () => {
    const long = await ask(`POST /ok HTTP/1.1\r\n${HOST}content-length: 30000000\r\n\r\n`)
    assert.deepEqual([long.status, long.json().reason], [413, 'BodyTooLarge'])
    using client = await gateway.connect()
    client.send(`POST /wait HTTP/1.1\r\n${HOST}transfer-encoding: chunked\r\n\r\n`)
    const chunk = `100000\r\n${'x'.repeat(0x100000)}\r\n`
    for (let i = 0; i < 14; i++) client.send(chunk)
    assert.equal((await client.response()).json().reason, 'BodyTooLarge')
  })

  it('may wait for 100-continue, which the upstream gives', async () => {
    using client = await gateway.connect()
    client.send(`POST /continue HTTP/1.1\r\n${HOST}content-length: 4\r\nexpect: 100-continue\r\n\r\n`)
    assert.equal((await client.response()).status, 100)
    client.send('body')
    assert.equal((await client.response()).text, 'ok')
    client.send(get('/ok'))
    assert.equal((await client.response()).text, 'ok')
  })

  it('may get a final answer instead of 100-continue, which ends the connection', async () => {
    using client = await gateway.connect()
    client.send(`POST /no-continue HTTP/1.1\r\n${HOST}content-length: 4\r\nexpect: 100-continue\r\n\r\n`)
    const answer = await client.response()
    assert.deepEqual([answer.status, answer.text, answer.header('connection')], [417, 'no', 'close'])
    await client.closed()
  })

  it('of HTTP/1.0 wait for nothing: Expect is dropped', async () => {
    const answer = await ask(
      `POST /ten HTTP/1.0\r\n${HOST}content-length: 10\r\nexpect: 100-continue\r\n\r\n0123456789`,
    )
    assert.doesNotMatch(answer.text, /expect/i)
    assert.match(answer.text, /0123456789$/)
  })

  for (const path of ['/early-413', '/early-200', '/early-reset'])
    it(`get what ${path} says while they are still sent, every time`, async () => {
      for (let i = 0; i < 15; i++) {
        using client = await gateway.connect()
        client.send(`POST ${path} HTTP/1.1\r\n${HOST}content-length: 10000000\r\n\r\n`)
        const chunk = Buffer.alloc(100_000)
        const pour = setInterval(() => client.send(chunk), 1)
        const answer = await client.response().finally(() => clearInterval(pour))
        assert.equal(answer.text, path === '/early-200' ? 'early' : 'too big')
        assert.equal(answer.status, path === '/early-200' ? 200 : 413)
      }
    })

  it('carry trailers both ways, those that are dangerous left out', async () => {
    using client = await gateway.connect()
    client.send(
      `POST /chunked HTTP/1.1\r\n${HOST}te: trailers\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\nx-sum: 1\r\nContent-Length: 5\r\nX_Forwarded_For: 6.6.6.6\r\nauthorization: x\r\n\r\n`,
    )
    const echoed = (await client.response()).text
    assert.match(echoed, /0\r\nx-sum: 1\r\n\r\n$/)
    client.send(get('/trailers', 'te: trailers\r\n'))
    assert.deepEqual((await client.response()).trailers, [['x-sum', '6']])
  })

  it('of HTTP/1.0 get bodies of unknown length until the close, and others with their length', async () => {
    using old = await gateway.connect()
    old.send(`GET /trailers HTTP/1.0\r\n${HOST}\r\n`)
    const answer = await old.response()
    assert.deepEqual([answer.framing, answer.text, answer.header('connection')], ['close', 'abc', 'close'])
    using kept = await gateway.connect()
    for (let i = 0; i < 2; i++) {
      kept.send(`GET /ok HTTP/1.0\r\n${HOST}connection: keep-alive\r\n\r\n`)
      const each = await kept.response()
      assert.deepEqual([each.framing, each.text, each.header('connection')], ['length', 'ok', 'keep-alive'])
    }
  })

  it('of HTTP/1.0 without a Host go upstream with one', async () => {
    await gateway.write('any.yaml', anyHost)
    await eventually(async () => {
      const answer = await ask('GET /ten HTTP/1.0\r\ncontent-length: 10\r\n\r\n0123456789')
      assert.equal(answer.status, 200)
      assert.match(answer.text, new RegExp(`^host: 127\\.0\\.0\\.1:${upstream.port}\\r$`, 'm'))
      assert.doesNotMatch(answer.text, /x-forwarded-host/)
    })
    await gateway.remove('any.yaml')
  })

  it('get a body without length from an HTTP/1.0 upstream in chunks, and its connection is not used again', async () => {
    using client = await gateway.connect()
    for (let i = 0; i < 3; i++) {
      const answer = await client.request({ host: 'wire.test', path: '/until-close' })
      assert.deepEqual([answer.framing, answer.text], ['chunked', 'until the close'])
    }
    const before = upstream.arrived.length
    for (let i = 0; i < 3; i++) await client.request({ host: 'wire.test', path: '/old-kept' })
    assert.ok(upstream.arrived.length - before <= 1)
  })

  it('HEAD, 204 and 304 have no body, whatever their length says, and what comes behind reaches nobody', async () => {
    using client = await gateway.connect()
    for (let i = 0; i < 3; i++) {
      client.send(`HEAD /head-lies HTTP/1.1\r\n${HOST}\r\n`)
      assert.equal((await client.response('HEAD')).header('content-length'), '5')
      client.send(get('/no-content'))
      assert.equal((await client.response()).status, 204)
      client.send(get('/not-modified'))
      const fresh = await client.response()
      assert.deepEqual([fresh.status, fresh.header('etag'), fresh.header('content-length')], [304, '"x"', '500'])
      client.send(get('/ok'))
      assert.equal((await client.response()).text, 'ok')
    }
    client.send(get('/no-content-long'))
    assert.equal((await client.response()).json().reason, 'UpstreamProtocolError')
  })

  it('that are refused to HEAD have no body either', async () => {
    using client = await gateway.connect()
    client.send('HEAD / HTTP/1.1\r\n\r\n')
    const answer = await client.response('HEAD')
    assert.equal(answer.status, 400)
    await client.closed()
  })

  it('may be preceded and followed by an empty line', async () => {
    using client = await gateway.connect()
    client.send(`\r\n${get('/ok')}\r\n${get('/ok')}\r\n`)
    assert.equal((await client.response()).text, 'ok')
    assert.equal((await client.response()).text, 'ok')
    client.end()
    await client.closed()
  })

  const sizes: readonly (readonly [what: string, bytes: string, status: number, reason: string])[] = [
    ['a head', get('/ok', `x: ${'y'.repeat(70_000)}\r\n`), 431, 'HeadTooLarge'],
    ['a head without end', `GET /ok HTTP/1.1\r\nx: ${'y'.repeat(70_000)}`, 431, 'HeadTooLarge'],
    ['a method without end', 'G'.repeat(70_000), 431, 'HeadTooLarge'],
    ['a name without end', `GET /ok HTTP/1.1\r\n${'y'.repeat(70_000)}`, 431, 'HeadTooLarge'],
    ['a target', get(`/ok?${'y'.repeat(20_000)}`), 414, 'UriTooLong'],
    ['a target without end', `GET /${'y'.repeat(20_000)}`, 414, 'UriTooLong'],
    ['the number of fields', get('/ok', 'x: y\r\n'.repeat(101)), 431, 'TooManyHeaders'],
  ]
  for (const [what, bytes, status, reason] of sizes)
    it(`over the limit by ${what} are ${status}`, async () => {
      using client = await gateway.connect()
      client.send(bytes)
      const answer = await client.response()
      assert.deepEqual([answer.status, answer.json().reason], [status, reason])
      await client.closed()
    })

  it('leave nothing behind', () => nothingLeft(gateway, base))

  it('have each one line in the log', async () => {
    await eventually(() => {
      const ids = new Set(gateway.accessLog.map((line) => line.id))
      assert.equal(ids.size, gateway.accessLog.length)
    })
  })
})

async function final(client: RawClient, method: string): Promise<RawResponse> {
  for (;;) {
    const response = await client.response(method)
    if (response.status >= 200) return response
  }
}

const anyHost = `${JSON.stringify({
  apiVersion: 'headgate.dev/v1alpha1',
  kind: 'Route',
  metadata: { name: 'any', namespace: 'default' },
  spec: { rules: [{ name: 'any', backendRefs: [{ name: 'up' }] }] },
})}\n`
