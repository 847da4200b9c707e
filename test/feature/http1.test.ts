import assert from 'node:assert/strict'
import { before, describe, it } from 'node:test'
import { type EchoBackend, echoBackend, onHead, type Received, rawBackend } from './backends.ts'
import { backend, type Gateway, route, startGateway, suiteScope } from './harness.ts'

const HOST = 'host: h.test\r\n'

/** RFC 9112 and RFC 9110: each must be refused, and the connection closed. */
const FORBIDDEN: readonly (readonly [what: string, request: string, status?: number])[] = [
  ['no Host', 'GET / HTTP/1.1\r\n\r\n'],
  ['two Hosts', `GET / HTTP/1.1\r\n${HOST}${HOST}\r\n`],
  ['an invalid Host', 'GET / HTTP/1.1\r\nhost: a b\r\n\r\n'],
  ['a Host with a user', 'GET / HTTP/1.1\r\nhost: u@h.test\r\n\r\n'],
  ['a bare LF', `GET / HTTP/1.1\nhost: h.test\n\n`],
  ['a bare CR in a value', `GET / HTTP/1.1\r\n${HOST}x: a\rb\r\n\r\n`],
  ['a NUL in a value', `GET / HTTP/1.1\r\n${HOST}x: a\0b\r\n\r\n`],
  ['a space before the colon', `GET / HTTP/1.1\r\n${HOST}x : 1\r\n\r\n`],
  ['a folded line', `GET / HTTP/1.1\r\n${HOST}x: 1\r\n 2\r\n\r\n`],
  ['a line that begins with a space', `GET / HTTP/1.1\r\n ${HOST}\r\n`],
  ['an empty field name', `GET / HTTP/1.1\r\n${HOST}: 1\r\n\r\n`],
  ['a field without a colon', `GET / HTTP/1.1\r\n${HOST}nothing\r\n\r\n`],
  [
    'a length beside a transfer coding',
    `POST / HTTP/1.1\r\n${HOST}content-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n`,
  ],
  ['two lengths', `POST / HTTP/1.1\r\n${HOST}content-length: 3\r\ncontent-length: 3\r\n\r\nabc`],
  ['a list of lengths', `POST / HTTP/1.1\r\n${HOST}content-length: 3, 3\r\n\r\nabc`],
  ['a negative length', `POST / HTTP/1.1\r\n${HOST}content-length: -1\r\n\r\n`],
  ['a length with a sign', `POST / HTTP/1.1\r\n${HOST}content-length: +3\r\n\r\nabc`],
  ['a hexadecimal length', `POST / HTTP/1.1\r\n${HOST}content-length: 0x3\r\n\r\nabc`],
  ['a length beyond all numbers', `POST / HTTP/1.1\r\n${HOST}content-length: 99999999999999999999\r\n\r\n`],
  ['chunked not last', `POST / HTTP/1.1\r\n${HOST}transfer-encoding: chunked, gzip\r\n\r\n`],
  ['chunked twice', `POST / HTTP/1.1\r\n${HOST}transfer-encoding: chunked, chunked\r\n\r\n`],
  ['an unknown coding', `POST / HTTP/1.1\r\n${HOST}transfer-encoding: xchunked\r\n\r\n`],
  [
    'a coding under chunked that is not ours',
    `POST / HTTP/1.1\r\n${HOST}transfer-encoding: gzip, chunked\r\n\r\n`,
    501,
  ],
  ['a transfer coding in HTTP/1.0', `POST / HTTP/1.0\r\n${HOST}transfer-encoding: chunked\r\n\r\n0\r\n\r\n`],
  ['no target', `GET HTTP/1.1\r\n${HOST}\r\n`],
  ['two spaces', `GET  / HTTP/1.1\r\n${HOST}\r\n`],
  ['a tab for a space', `GET\t/ HTTP/1.1\r\n${HOST}\r\n`],
  ['a target without a slash', `GET x HTTP/1.1\r\n${HOST}\r\n`],
  ['a fragment', `GET /#x HTTP/1.1\r\n${HOST}\r\n`],
  ['a control byte in the target', `GET /\x01 HTTP/1.1\r\n${HOST}\r\n`],
  ['an invalid method', `G(T / HTTP/1.1\r\n${HOST}\r\n`],
  ['an asterisk for GET', `GET * HTTP/1.1\r\n${HOST}\r\n`],
  ['another protocol', `GET / HTTQ/1.1\r\n${HOST}\r\n`],
  ['version 1.2 spelt wrong', `GET / HTTP/1.1x\r\n${HOST}\r\n`],
  ['version 2', `GET / HTTP/2.0\r\n${HOST}\r\n`, 505],
  ['CONNECT', 'CONNECT h.test:443 HTTP/1.1\r\nhost: h.test:443\r\n\r\n', 405],
  ['an expectation nobody knows', `GET / HTTP/1.1\r\n${HOST}expect: magic\r\n\r\n`, 417],
  ['an absolute target with another Host', 'GET http://a.test/ HTTP/1.1\r\nhost: b.test\r\n\r\n'],
  ['a chunk size of nothing', `POST /echo HTTP/1.1\r\n${HOST}transfer-encoding: chunked\r\n\r\n\r\n`],
  ['a chunk size that is no number', `POST /echo HTTP/1.1\r\n${HOST}transfer-encoding: chunked\r\n\r\nxyz\r\n`],
  ['a chunk size with a sign', `POST /echo HTTP/1.1\r\n${HOST}transfer-encoding: chunked\r\n\r\n+1\r\na\r\n0\r\n\r\n`],
  [
    'a chunk longer than its size',
    `POST /echo HTTP/1.1\r\n${HOST}transfer-encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n`,
  ],
  ['a chunk line with a bare LF', `POST /echo HTTP/1.1\r\n${HOST}transfer-encoding: chunked\r\n\r\n1\na\r\n0\r\n\r\n`],
]

describe('HTTP/1.1 with a client', () => {
  const scope = suiteScope()
  let gateway: Gateway
  let echo: EchoBackend
  before(async () => {
    echo = await echoBackend(scope)
    const hints = await rawBackend(scope, (socket) =>
      onHead(socket, () => {
        socket.write('HTTP/1.1 103 Early Hints\r\nlink: </style.css>; rel=preload\r\n\r\n')
        socket.write('HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n')
        socket.write('3\r\nabc\r\n0\r\nx-sum: 6\r\n\r\n')
      }),
    )
    // Answers at once, without reading the body that is still to come.
    const early = await rawBackend(scope, (socket) => {
      socket.once('data', () => socket.write('HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno'))
    })
    const rule = (name: string): object => ({
      name,
      matches: [{ path: { type: 'PathPrefix', value: `/${name}` } }],
      backendRefs: [{ name }],
    })
    gateway = await startGateway(scope, {
      'all.yaml':
        backend('echo', [echo.port]) +
        backend('hints', [hints.port]) +
        backend('early', [early.port]) +
        route('all', ['h.test'], [rule('echo'), rule('hints'), rule('early')]),
    })
  })

  for (const [what, bytes, status = 400] of FORBIDDEN)
    it(`refuses ${what} with ${status} and closes`, async () => {
      using client = await gateway.connect()
      client.send(bytes)
      const answer = await client.response()
      assert.equal(answer.status, status, answer.text)
      await client.closed()
    })

  it('closes the connection of a TLS hello, which could not read an answer', async () => {
    using client = await gateway.connect()
    client.send('\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03')
    await client.closed()
    const line = await gateway.logged(({ reason }) => reason === 'TlsOnClearText')
    assert.equal(line.status, 0)
  })

  it('refuses a head, a target and too many fields over the limit', async () => {
    for (const [bytes, status] of [
      [`GET / HTTP/1.1\r\n${HOST}x: ${'y'.repeat(70_000)}\r\n\r\n`, 431],
      [`GET /${'y'.repeat(20_000)} HTTP/1.1\r\n${HOST}\r\n`, 414],
      [`GET / HTTP/1.1\r\n${HOST}${'x: y\r\n'.repeat(101)}\r\n`, 431],
    ] as const) {
      using client = await gateway.connect()
      client.send(bytes)
      assert.equal((await client.response()).status, status)
      await client.closed()
    }
  })

  it('serves many requests on one connection', async () => {
    using client = await gateway.connect()
    for (let i = 0; i < 50; i++)
      assert.equal((await client.request({ host: 'h.test', path: `/echo/${i}` })).json().url, `/echo/${i}`)
  })

  it('answers pipelined requests in order, bodies among them', async () => {
    using client = await gateway.connect()
    const post = (body: string): string => `POST /echo HTTP/1.1\r\n${HOST}content-length: ${body.length}\r\n\r\n${body}`
    client.send(`GET /echo/1 HTTP/1.1\r\n${HOST}\r\n${post('two')}GET /nobody HTTP/1.1\r\n${HOST}\r\n${post('four')}`)
    assert.equal((await client.response()).json().url, '/echo/1')
    assert.equal((await client.response()).json().body, 'two')
    assert.equal((await client.response()).status, 404)
    assert.equal((await client.response()).json().body, 'four')
  })

  it('reads a request that comes byte by byte', async () => {
    using client = await gateway.connect()
    const bytes = `POST /echo HTTP/1.1\r\n${HOST}transfer-encoding: chunked\r\n\r\n3;ext="a\\"b"\r\nabc\r\n0\r\nx-t: 1\r\n\r\n`
    for (const byte of bytes) {
      client.send(byte)
      await new Promise(setImmediate)
    }
    const received = (await client.response()).json<Received>()
    assert.deepEqual([received.body, received.trailers], ['abc', { 'x-t': '1' }])
  })

  it('carries a large body through, both framings, whole', async () => {
    const body = Buffer.alloc(3_000_000, 'headgate ')
    const sized = await gateway.request({ host: 'h.test', path: '/echo', method: 'POST', body })
    assert.equal(sized.json().body, body.toString())
    using client = await gateway.connect()
    client.send(`POST /echo HTTP/1.1\r\n${HOST}transfer-encoding: chunked\r\n\r\n`)
    for (let at = 0; at < body.length; at += 100_000)
      client
        .send('186a0\r\n')
        .send(body.subarray(at, at + 100_000))
        .send('\r\n')
    client.send('0\r\n\r\n')
    assert.equal((await client.response()).json().body, body.toString())
  })

  it('asks for the body that a client holds back with 100-continue', async () => {
    using client = await gateway.connect()
    client.send(`POST /echo HTTP/1.1\r\n${HOST}content-length: 4\r\nexpect: 100-continue\r\n\r\n`)
    assert.equal((await client.response()).status, 100)
    client.send('body')
    assert.equal((await client.response()).json().body, 'body')
  })

  it('does not ask for a body that it refuses', async () => {
    using client = await gateway.connect()
    client.send(`POST /nobody HTTP/1.1\r\n${HOST}content-length: 4\r\nexpect: 100-continue\r\n\r\n`)
    assert.equal((await client.response()).status, 404)
  })

  it('passes 103 and trailers on', async () => {
    using client = await gateway.connect()
    client.send(`GET /hints HTTP/1.1\r\n${HOST}te: trailers\r\n\r\n`)
    const hint = await client.response()
    assert.deepEqual([hint.status, hint.header('link')], [103, '</style.css>; rel=preload'])
    const answer = await client.response()
    assert.deepEqual([answer.status, answer.text, answer.trailers], [200, 'abc', [['x-sum', '6']]])
  })

  it('passes an early answer on while the client still sends', async () => {
    using client = await gateway.connect()
    client.send(`POST /early HTTP/1.1\r\n${HOST}content-length: 1000000\r\n\r\n${'x'.repeat(1000)}`)
    const answer = await client.response()
    assert.deepEqual([answer.status, answer.text], [403, 'no'])
  })

  for (const status of [204, 304])
    it(`passes ${status} on without a body, and keeps the connection`, async () => {
      using client = await gateway.connect()
      const headers = { 'x-answer-status': String(status) }
      for (let i = 0; i < 2; i++)
        assert.equal((await client.request({ host: 'h.test', path: '/echo', headers })).status, status)
    })

  it('answers HEAD with the length of what GET would give', async () => {
    using client = await gateway.connect()
    const head = await client.request({ host: 'h.test', path: '/echo', method: 'HEAD' })
    assert.deepEqual([head.status, head.body.length], [200, 0])
    assert.equal((await client.request({ host: 'h.test', path: '/echo' })).status, 200)
  })

  it('serves a client that closes its side after the request', async () => {
    using client = await gateway.connect()
    client.send(`GET /echo/half HTTP/1.1\r\n${HOST}\r\n`).end()
    assert.equal((await client.response()).json().url, '/echo/half')
    await client.closed()
  })

  it('takes an absolute target, and OPTIONS *', async () => {
    using client = await gateway.connect()
    client.send('GET http://h.test/echo/abs?q HTTP/1.1\r\nhost: h.test\r\n\r\n')
    assert.equal((await client.response()).json().url, '/echo/abs?q')
    client.send(`OPTIONS * HTTP/1.1\r\n${HOST}\r\n`)
    assert.ok((await client.response()).status < 500)
  })

  it('serves HTTP/1.0, and closes', async () => {
    using client = await gateway.connect()
    client.send(`GET /echo/old HTTP/1.0\r\n${HOST}\r\n`)
    assert.equal((await client.response()).json().url, '/echo/old')
    await client.closed()
  })

  it('closes when asked to, and ignores an empty line before a request', async () => {
    using client = await gateway.connect()
    client.send(`\r\nGET /echo HTTP/1.1\r\n${HOST}connection: close\r\n\r\n`)
    const answer = await client.response()
    assert.equal(answer.header('connection'), 'close')
    await client.closed()
  })

  it('survives clients that vanish at every stage', async () => {
    const whole = `POST /echo HTTP/1.1\r\n${HOST}content-length: 10\r\n\r\n0123456789`
    for (let length = 0; length <= whole.length; length += 4) {
      const client = await gateway.connect()
      client.send(whole.slice(0, length))
      await new Promise(setImmediate)
      client.reset()
    }
    assert.equal((await gateway.request({ host: 'h.test', path: '/echo' })).status, 200)
  })
})
