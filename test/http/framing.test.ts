import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { fieldsText } from '../../src/http/field-lines.ts'
import {
  CHUNKED,
  type FramingFault,
  frameRequest,
  frameResponse,
  type RequestFraming,
  type ResponseFraming,
  requestFraming,
  UNTIL_CLOSE,
} from '../../src/http/framing.ts'
import { RequestHead, StatusHead } from '../../src/http/head.ts'

const LIMITS = { head: 10_000, headers: 100, uri: 100 }

interface Framed<Framing> {
  readonly fault: FramingFault | null
  readonly framing: Framing
  /** What is left of the fields. */
  readonly left: string
}

function request(fields: string, version = '1.1'): Framed<RequestFraming> {
  const head = new RequestHead()
  const bytes = Buffer.from(`POST / HTTP/${version}\r\n${fields}\r\n`, 'latin1')
  assert.ok(head.parse(bytes, 0, bytes.length, LIMITS) > 0)
  const framing = requestFraming()
  return { fault: frameRequest(head, framing), framing, left: fieldsText(head.fields) }
}

function response(fields: string, { status = '200', method = 'GET', version = '1.1' } = {}): Framed<ResponseFraming> {
  const head = new StatusHead()
  const bytes = Buffer.from(`HTTP/${version} ${status} x\r\n${fields}\r\n`, 'latin1')
  assert.ok(head.parse(bytes, 0, bytes.length, LIMITS) > 0)
  const framing: ResponseFraming = { bodyLength: 0, keepAlive: true, upgrade: null, idleTimeout: 0 }
  return { fault: frameResponse(head, method, framing), framing, left: fieldsText(head.fields) }
}

const HOST = 'Host: h\r\n'

describe('framing of a request', () => {
  /** RFC 9112 §3.2, §6, RFC 9110 §8.6, §10.1.1. */
  const REFUSALS: readonly (readonly [what: string, fields: string, reason: string, version?: string])[] = [
    ['no Host', '', 'BadHost'],
    ['two Hosts', `${HOST}${HOST}`, 'BadHost'],
    ['both lengths', `${HOST}Content-Length: 1\r\nTransfer-Encoding: chunked\r\n`, 'BadRequest'],
    ['both lengths, the other way round', `${HOST}Transfer-Encoding: chunked\r\nContent-Length: 1\r\n`, 'BadRequest'],
    ['two lengths that differ', `${HOST}Content-Length: 1\r\nContent-Length: 2\r\n`, 'BadRequest'],
    ['two lengths that agree', `${HOST}Content-Length: 1\r\nContent-Length: 1\r\n`, 'BadRequest'],
    ['a list of lengths', `${HOST}Content-Length: 1, 1\r\n`, 'BadRequest'],
    ['an empty length', `${HOST}Content-Length:\r\n`, 'BadRequest'],
    ['a length with a plus', `${HOST}Content-Length: +1\r\n`, 'BadRequest'],
    ['a length with a minus', `${HOST}Content-Length: -1\r\n`, 'BadRequest'],
    ['a length with a space in it', `${HOST}Content-Length: 1 0\r\n`, 'BadRequest'],
    ['a length with a no-break space', `${HOST}Content-Length: \xa01\r\n`, 'BadRequest'],
    ['a hexadecimal length', `${HOST}Content-Length: 0x1\r\n`, 'BadRequest'],
    ['a length with a fraction', `${HOST}Content-Length: 1.0\r\n`, 'BadRequest'],
    ['a length with an exponent', `${HOST}Content-Length: 1e1\r\n`, 'BadRequest'],
    ['a length beyond exact numbers', `${HOST}Content-Length: 9999999999999999\r\n`, 'BadRequest'],
    ['two codings', `${HOST}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n`, 'BadRequest'],
    ['chunked twice', `${HOST}Transfer-Encoding: chunked, chunked\r\n`, 'BadRequest'],
    ['chunked not last', `${HOST}Transfer-Encoding: chunked, gzip\r\n`, 'BadRequest'],
    ['identity', `${HOST}Transfer-Encoding: identity\r\n`, 'BadRequest'],
    ['an empty coding', `${HOST}Transfer-Encoding:\r\n`, 'BadRequest'],
    ['a coding that only looks like chunked', `${HOST}Transfer-Encoding: xchunked\r\n`, 'BadRequest'],
    ['chunked with a parameter', `${HOST}Transfer-Encoding: chunked;a=b\r\n`, 'BadRequest'],
    ['chunked in quotes', `${HOST}Transfer-Encoding: "chunked"\r\n`, 'BadRequest'],
    ['chunked behind a no-break space', `${HOST}Transfer-Encoding: \xa0chunked\r\n`, 'BadRequest'],
    ['another coding under chunked', `${HOST}Transfer-Encoding: gzip, chunked\r\n`, 'TransferCodingNotSupported'],
    ['a coding in HTTP/1.0', `${HOST}Transfer-Encoding: chunked\r\n`, 'BadRequest', '1.0'],
    ['an expectation nobody knows', `${HOST}Expect: magic\r\n`, 'ExpectationFailed'],
    ['Connection that is no list of tokens', `${HOST}Connection: a b\r\n`, 'BadRequest'],
    ['Connection with a no-break space', `${HOST}Connection: \xa0close\r\n`, 'BadRequest'],
    ['Connection with a quoted name', `${HOST}Connection: "x"\r\n`, 'BadRequest'],
    ['Connection that names Host', `${HOST}Connection: close, host\r\n`, 'BadRequest'],
    [
      'Connection that names Content-Length',
      `${HOST}Connection: Content-Length\r\nContent-Length: 1\r\n`,
      'BadRequest',
    ],
    ['Connection that names Transfer-Encoding', `${HOST}Connection: transfer-encoding\r\n`, 'BadRequest'],
    ['Connection that names Max-Forwards', `${HOST}Connection: max-forwards\r\nMax-Forwards: 0\r\n`, 'BadRequest'],
    ['a Connection list without end', `${HOST}Connection: ${'a,'.repeat(33)}\r\n`, 'BadRequest'],
    ['two Upgrades', `${HOST}Upgrade: a\r\nUpgrade: b\r\n`, 'BadRequest'],
  ]
  for (const [what, fields, reason, version] of REFUSALS)
    it(`refuses ${what}`, () => assert.equal(request(fields, version).fault?.reason, reason))

  it('knows the length of the body', () => {
    assert.equal(request(HOST).framing.bodyLength, 0)
    assert.equal(request(`${HOST}Content-Length: 0\r\n`).framing.bodyLength, 0)
    assert.equal(request(`${HOST}content-LENGTH: 0012 \r\n`).framing.bodyLength, 12)
    assert.equal(request(`${HOST}Content-Length: 999999999999999\r\n`).framing.bodyLength, 999_999_999_999_999)
    assert.equal(request(`${HOST}Transfer-Encoding: CHUNKED\r\n`).framing.bodyLength, CHUNKED)
  })

  const PERSISTENCE: readonly (readonly [version: string, connection: string | null, keepAlive: boolean])[] = [
    ['1.1', null, true],
    ['1.1', 'close', false],
    ['1.1', 'CLOSE', false],
    ['1.1', 'keep-alive', true],
    ['1.1', 'keep-alive, close', false],
    ['1.1', 'x, close', false],
    ['1.1', '', true],
    ['1.1', ',,close,', false],
    ['1.0', null, false],
    ['1.0', 'keep-alive', true],
    ['1.0', 'Keep-Alive', true],
    ['1.0', 'close, keep-alive', false],
  ]
  for (const [version, connection, keepAlive] of PERSISTENCE)
    it(`HTTP/${version} with Connection: ${connection ?? '(none)'} ${keepAlive ? 'is kept' : 'is closed'}`, () => {
      const fields = connection === null ? HOST : `${HOST}Connection: ${connection}\r\n`
      const { fault, framing, left } = request(fields, version)
      assert.deepEqual([fault, framing.keepAlive, left], [null, keepAlive, HOST])
    })

  it('counts close in any of several Connection fields', () => {
    assert.equal(request(`${HOST}Connection: keep-alive\r\nConnection: close\r\n`).framing.keepAlive, false)
    assert.equal(request(`${HOST}Connection: close\r\nConnection: x, keep-alive\r\n`).framing.keepAlive, false)
  })

  it('takes hop-by-hop fields out, and those that Connection names, wherever they stand', () => {
    const { left } = request(
      `X-A: 1\r\n${HOST}TE: gzip\r\nKeep-Alive: timeout=5\r\nProxy-Connection: close\r\nConnection: x-a, X-B\r\n` +
        'x-b: 2\r\nProxy-Authorization: Basic eDp5\r\nx-c: 3\r\nUpgrade: h2c\r\n',
    )
    assert.equal(left, `${HOST}x-c: 3\r\n`)
  })

  it('sees CDN-Loop in any spelling, and lets Connection not take it away', () => {
    const { framing, fault, left } = request('host: a\r\nCDN-Loop: x\r\ncdn-loop: y\r\n')
    assert.equal(fault, null)
    assert.equal(framing.cdnLoop, true)
    assert.match(left, /CDN-Loop: x\r\ncdn-loop: y/)
    assert.equal(request('host: a\r\nx-cdn-loop: x\r\ncdn-loo: y\r\n').framing.cdnLoop, false)
    for (const option of ['CDN-Loop', 'close, cdn-loop', 'cdn-loop, upgrade'])
      assert.match(request(`host: a\r\ncdn-loop: x\r\nconnection: ${option}\r\n`).fault?.detail ?? '', /names cdn-loop/)
  })

  it('finds upgrade only where Connection names it, in HTTP/1.1', () => {
    assert.equal(request(`${HOST}Upgrade: WebSocket\r\nConnection: Upgrade\r\n`).framing.upgrade, 'websocket')
    assert.equal(
      request(`${HOST}Connection: keep-alive, upgrade\r\nUpgrade: websocket\r\n`).framing.upgrade,
      'websocket',
    )
    assert.equal(request(`${HOST}Upgrade: websocket\r\n`).framing.upgrade, null)
    assert.equal(request(`${HOST}Connection: upgrade\r\n`).framing.upgrade, null)
    assert.equal(request(`${HOST}Upgrade: websocket\r\nConnection: Upgrade\r\n`, '1.0').framing.upgrade, null)
  })

  it('expects 100-continue of a request with a body, from HTTP/1.1', () => {
    const asks = `${HOST}Content-Length: 1\r\nExpect: 100-Continue\r\n`
    assert.equal(request(asks).framing.expectContinue, true)
    assert.equal(request(asks, '1.0').framing.expectContinue, false)
    assert.doesNotMatch(request(asks, '1.0').left, /expect/i)
    assert.equal(request(`${HOST}Expect: 100-continue\r\n`).framing.expectContinue, false)
  })

  it('knows whether trailers are welcome', () => {
    for (const [te, welcome] of [
      ['trailers', true],
      ['gzip;q=0.5, Trailers', true],
      ['gzip', false],
      ['xtrailers', false],
    ] as const)
      assert.equal(request(`${HOST}TE: ${te}\r\n`).framing.acceptsTrailers, welcome, te)
  })

  it('forgets the request before', () => {
    const framing = requestFraming()
    for (const [fields, length, host] of [
      [
        `${HOST}Content-Length: 5\r\nExpect: 100-continue\r\nTE: trailers\r\nConnection: upgrade\r\nUpgrade: x\r\n`,
        5,
        0,
      ],
      [`x: y\r\n${HOST}`, 0, 1],
    ] as const) {
      const head = new RequestHead()
      const bytes = Buffer.from(`POST / HTTP/1.1\r\n${fields}\r\n`)
      head.parse(bytes, 0, bytes.length, LIMITS)
      assert.equal(frameRequest(head, framing), null)
      assert.deepEqual([framing.bodyLength, framing.host], [length, host])
    }
    assert.deepEqual(framing, { ...requestFraming(), host: 1 })
  })
})

describe('framing of a response', () => {
  const REFUSALS: readonly (readonly [what: string, fields: string, options?: object])[] = [
    ['both lengths', 'Content-Length: 1\r\nTransfer-Encoding: chunked\r\n'],
    ['two lengths', 'Content-Length: 1\r\nContent-Length: 1\r\n'],
    ['a length that is no number', 'Content-Length: many\r\n'],
    ['a coding besides chunked', 'Transfer-Encoding: gzip, chunked\r\n'],
    ['gzip alone', 'Transfer-Encoding: gzip\r\n'],
    ['two codings', 'Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n'],
    ['a coding in HTTP/1.0', 'Transfer-Encoding: chunked\r\n', { version: '1.0' }],
    ['204 with a length', 'Content-Length: 1\r\n', { status: '204' }],
    ['204 with a coding', 'Transfer-Encoding: chunked\r\n', { status: '204' }],
    ['103 with a length', 'Content-Length: 1\r\n', { status: '103' }],
    ['101 with a coding', 'Transfer-Encoding: chunked\r\n', { status: '101' }],
    ['Connection that names Content-Length', 'Connection: content-length\r\nContent-Length: 1\r\n'],
    ['Connection that is no list', 'Connection: (\r\n'],
  ]
  for (const [what, fields, options] of REFUSALS)
    it(`cannot use ${what}`, () => assert.equal(response(fields, options).fault?.reason, 'UpstreamProtocolError'))

  for (const [name, value] of [
    ['Cache-Control', 'no-store'],
    ['CDN-Cache-Control', 'max-age=60'],
    ['Headgate-Cache-Control', 'max-age=60'],
    ['Expires', '0'],
    ['Age', '60'],
    ['Vary', '*'],
    ['Set-Cookie', 'a=b'],
    ['Content-Encoding', 'gzip'],
    ['Content-Range', 'bytes 0-1/2'],
  ] as const)
    it(`RFC 9110 §7.6.1: Connection that names ${name} takes it away, and nobody stores the response`, () => {
      const cached = 'Cache-Control: max-age=60\r\nCDN-Cache-Control: max-age=60\r\n'
      const { fault, left } = response(`${name}: ${value}\r\nConnection: close, ${name}, x-a\r\nX-A: 1\r\n${cached}`)
      assert.equal(fault, null)
      assert.equal(left, 'cache-control: no-store\r\n')
    })

  const LENGTHS: readonly (readonly [fields: string, options: object, length: number])[] = [
    ['Content-Length: 5\r\n', {}, 5],
    ['Transfer-Encoding: chunked\r\n', {}, CHUNKED],
    ['', {}, UNTIL_CLOSE],
    ['', { version: '1.0' }, UNTIL_CLOSE],
    ['', { status: '205' }, UNTIL_CLOSE],
    ['Content-Length: 5\r\n', { method: 'HEAD' }, 0],
    ['Transfer-Encoding: chunked\r\n', { method: 'HEAD' }, 0],
    ['', { method: 'HEAD' }, 0],
    ['Content-Length: 5\r\n', { status: '304' }, 0],
    ['Transfer-Encoding: chunked\r\n', { status: '304' }, 0],
    ['Content-Length: 0\r\n', { status: '204' }, 0],
    ['', { status: '204' }, 0],
    ['', { status: '100' }, 0],
  ]
  for (const [fields, options, length] of LENGTHS)
    it(`${JSON.stringify(options)} with ${JSON.stringify(fields)} has a body of ${length}`, () => {
      const { fault, framing } = response(fields, options)
      assert.deepEqual([fault, framing.bodyLength], [null, length])
    })

  it('takes Content-Length out where a status may not carry one (RFC 9110 §8.6), and leaves it where it may', () => {
    const zero = 'content-LENGTH: 0\r\nServer: s\r\n'
    for (const status of ['100', '101', '102', '103', '199', '204'])
      for (const method of ['GET', 'HEAD'])
        assert.equal(response(zero, { status, method }).left, 'Server: s\r\n', `${status} to ${method}`)
    for (const status of ['200', '205', '304', '404']) assert.equal(response(zero, { status }).left, zero, status)
    assert.equal(response('Content-Length: 7\r\n', { status: '304' }).left, 'Content-Length: 7\r\n')
    assert.equal(response('Content-Length: 7\r\n', { method: 'HEAD' }).left, 'Content-Length: 7\r\n')
  })

  it('keeps no connection whose close is the end of the body', () => {
    assert.equal(response('').framing.keepAlive, false)
    assert.equal(response('Connection: keep-alive\r\n').framing.keepAlive, false)
    assert.equal(response('Content-Length: 1\r\n').framing.keepAlive, true)
    assert.equal(response('Content-Length: 1\r\nConnection: close\r\n').framing.keepAlive, false)
    assert.equal(response('Content-Length: 1\r\n', { version: '1.0' }).framing.keepAlive, false)
    assert.equal(
      response('Content-Length: 1\r\nConnection: keep-alive\r\n', { version: '1.0' }).framing.keepAlive,
      true,
    )
  })

  for (const [value, seconds] of [
    ['timeout=5', 5],
    ['timeout=5, max=100', 5],
    ['max=100, timeout="15"', 15],
    ['max=100', 0],
    ['xtimeout=5', 0],
    ['timeout=', 0],
  ] as const)
    it(`reads Keep-Alive: ${value} as ${seconds} s`, () =>
      assert.equal(response(`Content-Length: 0\r\nKeep-Alive: ${value}\r\n`).framing.idleTimeout, seconds))

  it('takes hop-by-hop fields out, and those that Connection names', () => {
    const { left } = response('X-Hop: 1\r\nConnection: x-hop\r\nKeep-Alive: timeout=5\r\nUpgrade: h2\r\nServer: s\r\n')
    assert.equal(left, 'Server: s\r\n')
  })
})
