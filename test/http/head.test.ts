import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { INCOMPLETE, REFUSED, RequestHead, StatusHead } from '../../src/http/head.ts'

const LIMITS = { head: 1_000, headers: 10, uri: 100 }

function request(text: string, limits = LIMITS): RequestHead & { end: number } {
  const head = new RequestHead()
  const bytes = Buffer.from(text, 'latin1')
  return Object.assign(head, { end: head.parse(bytes, 0, bytes.length, limits) })
}

function status(text: string, limits = LIMITS): StatusHead & { end: number } {
  const head = new StatusHead()
  const bytes = Buffer.from(text, 'latin1')
  return Object.assign(head, { end: head.parse(bytes, 0, bytes.length, limits) })
}

describe('a request head', () => {
  it('gives method, target, version and fields, and says where it ends', () => {
    const head = request('PATCH /a?b=c HTTP/1.1\r\nHost: h\r\nX-Y:\t a b \t\r\n\r\nrest')
    assert.deepEqual([head.method, head.target, head.minor, head.end], ['PATCH', '/a?b=c', 1, 47])
    assert.equal(head.fields.get('host'), 'h')
    assert.equal(head.fields.get('x-y'), 'a b')
  })

  for (const method of ['GET', 'POST', 'HEAD', 'GETS', 'PUT', "M!#$%&'*+-.^_`|~"])
    it(`takes the method ${method}`, () => assert.equal(request(`${method} / HTTP/1.1\r\n\r\n`).method, method))

  it('treats every minor version above 1 as 1', () => {
    assert.equal(request('GET / HTTP/1.0\r\n\r\n').minor, 0)
    assert.equal(request('GET / HTTP/1.7\r\n\r\n').minor, 1)
  })

  it('keeps bytes above 0x7f of a value', () => {
    assert.equal(request('GET / HTTP/1.1\r\nx: \x80\xff\r\n\r\n').fields.get('x'), '\x80\xff')
  })

  /** RFC 9112 §2-5, each with the rule it breaks. */
  const REFUSALS: readonly (readonly [what: string, text: string, reason: string, detail: RegExp])[] = [
    ['a lone CR before it', '\rGET / HTTP/1.1\r\n\r\n', 'BadRequest', /lone CR/],
    ['two empty lines before it', '\r\n\r\nGET / HTTP/1.1\r\n\r\n', 'BadRequest', /no method/],
    ['an LF for an empty line', '\nGET / HTTP/1.1\r\n\r\n', 'BadRequest', /no method/],
    ['white space before it', ' GET / HTTP/1.1\r\n\r\n', 'BadRequest', /no method/],
    ['a delimiter in the method', 'GE(T / HTTP/1.1\r\n\r\n', 'BadRequest', /no method/],
    ['a tab behind the method', 'GET\t/ HTTP/1.1\r\n\r\n', 'BadRequest', /no method/],
    ['two spaces', 'GET  / HTTP/1.1\r\n\r\n', 'BadRequest', /target/],
    ['a fragment', 'GET /#a HTTP/1.1\r\n\r\n', 'BadRequest', /target/],
    ['a control byte in the target', 'GET /\x01 HTTP/1.1\r\n\r\n', 'BadRequest', /target/],
    ['a byte above ASCII in the target', 'GET /\xe9 HTTP/1.1\r\n\r\n', 'BadRequest', /target/],
    ['a CR in the target', 'GET /\rx HTTP/1.1\r\n\r\n', 'BadRequest', /target/],
    ['no version (HTTP/0.9)', 'GET /\r\n\r\n', 'BadRequest', /target/],
    ['a version in lower case', 'GET / http/1.1\r\n\r\n', 'BadRequest', /version/],
    ['two digits of a version', 'GET / HTTP/1.11\r\n\r\n', 'BadRequest', /CRLF/],
    ['a space behind the version', 'GET / HTTP/1.1 \r\n\r\n', 'BadRequest', /CRLF/],
    ['a bare LF behind the version', 'GET / HTTP/1.1\nhost: h\n\n', 'BadRequest', /CRLF/],
    ['another major version', 'GET / HTTP/2.0\r\n\r\n', 'VersionNotSupported', /HTTP\/2\.0/],
    ['the preface of HTTP/2', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'VersionNotSupported', /HTTP\/2\.0/],
    ['white space before the first field', 'GET / HTTP/1.1\r\n x: y\r\n\r\n', 'BadRequest', /folded/],
    ['a folded line', 'GET / HTTP/1.1\r\nx: y\r\n\tz\r\n\r\n', 'BadRequest', /folded/],
    ['white space before a colon', 'GET / HTTP/1.1\r\nx : y\r\n\r\n', 'BadRequest', /before the colon/],
    ['a field without a name', 'GET / HTTP/1.1\r\n: y\r\n\r\n', 'BadRequest', /without a name/],
    ['a field without a colon', 'GET / HTTP/1.1\r\nxy\r\n\r\n', 'BadRequest', /name/],
    ['a byte above ASCII in a name', 'GET / HTTP/1.1\r\nx\xe9: y\r\n\r\n', 'BadRequest', /name/],
    ['a NUL in a value', 'GET / HTTP/1.1\r\nx: \0\r\n\r\n', 'BadRequest', /control byte/],
    ['a DEL in a value', 'GET / HTTP/1.1\r\nx: \x7f\r\n\r\n', 'BadRequest', /control byte/],
    ['a CR in a value', 'GET / HTTP/1.1\r\nx: a\rb\r\n\r\n', 'BadRequest', /control byte/],
    ['an LF in a value', 'GET / HTTP/1.1\r\nx: a\nb: c\r\n\r\n', 'BadRequest', /control byte/],
    ['a lone CR for the empty line', 'GET / HTTP/1.1\r\nx: a\r\n\rX', 'BadRequest', /lone CR/],
    ['a target over the limit', `GET /${'a'.repeat(100)} HTTP/1.1\r\n\r\n`, 'UriTooLong', /100/],
    ['more fields than the limit', `GET / HTTP/1.1\r\n${'x: y\r\n'.repeat(11)}\r\n`, 'TooManyHeaders', /10/],
    ['a head over the limit', `GET / HTTP/1.1\r\nx: ${'y'.repeat(1_000)}\r\n\r\n`, 'HeadTooLarge', /1000/],
  ]
  for (const [what, text, reason, detail] of REFUSALS)
    it(`refuses ${what}`, () => {
      const head = request(text)
      assert.equal(head.end, REFUSED)
      assert.equal(head.fault!.reason, reason)
      assert.match(head.fault!.detail, detail)
    })

  it('is held to its limits to the byte', () => {
    const fits = `GET / HTTP/1.1\r\nx: ${'y'.repeat(20)}\r\n\r\n`
    assert.equal(request(fits, { ...LIMITS, head: fits.length }).end, fits.length)
    assert.equal(request(fits, { ...LIMITS, head: fits.length - 1 }).fault?.reason, 'HeadTooLarge')
    assert.ok(request(`GET /${'a'.repeat(99)} HTTP/1.1\r\n\r\n`).end > 0)
    assert.ok(request(`GET / HTTP/1.1\r\n${'x: y\r\n'.repeat(10)}\r\n`).end > 0)
  })

  it('does not wait for the end of what is too long already', () => {
    assert.equal(request('G'.repeat(1_001)).fault?.reason, 'HeadTooLarge')
    assert.equal(request(`GET /${'a'.repeat(100)}`).fault?.reason, 'UriTooLong')
    assert.equal(request(`GET / HTTP/1.1\r\n${'x: y\r\n'.repeat(11)}`).fault?.reason, 'TooManyHeaders')
    assert.equal(request(`GET / HTTP/1.1\r\nx: ${'y'.repeat(1_000)}`).fault?.reason, 'HeadTooLarge')
    assert.equal(request(`GET / HTTP/1.1\r\n${'y'.repeat(1_000)}`).fault?.reason, 'HeadTooLarge')
  })

  it('does not wait for the end of what can be no request', () => {
    assert.equal(request('\x16\x03\x01\x02').end, REFUSED)
    assert.equal(request('GET / SSH').end, REFUSED)
    assert.equal(request('GET / HTTP/1.1\r').end, INCOMPLETE)
  })
})

describe('a response head', () => {
  it('gives status, version and fields', () => {
    const head = status('HTTP/1.0 404 Not \xe9 Found\r\nX: 1\r\n\r\nbody')
    assert.deepEqual([head.status, head.minor, head.fields.get('x'), head.end], [404, 0, '1', 34])
  })

  it('may leave the reason phrase out, with or without its space', () => {
    assert.equal(status('HTTP/1.1 200\r\n\r\n').status, 200)
    assert.equal(status('HTTP/1.1 200 \r\n\r\n').status, 200)
  })

  const REFUSALS: readonly (readonly [what: string, text: string, reason: string])[] = [
    ['another protocol', 'ICY 200 OK\r\n\r\n\r\n', 'UpstreamProtocolError'],
    ['a major version that is not 1', 'HTTP/2.0 200 OK\r\n\r\n', 'UpstreamProtocolError'],
    ['an empty line before it', '\r\nHTTP/1.1 200 OK\r\n\r\n', 'UpstreamProtocolError'],
    ['two digits of a status', 'HTTP/1.1 20 OK\r\n\r\n', 'UpstreamProtocolError'],
    ['four digits of a status', 'HTTP/1.1 2000 OK\r\n\r\n', 'UpstreamProtocolError'],
    ['status 0xx', 'HTTP/1.1 099 OK\r\n\r\n', 'UpstreamProtocolError'],
    ['status 6xx', 'HTTP/1.1 600 OK\r\n\r\n', 'UpstreamProtocolError'],
    ['two spaces', 'HTTP/1.1  200 OK\r\n\r\n', 'UpstreamProtocolError'],
    ['a control byte in the reason phrase', 'HTTP/1.1 200 O\0K\r\n\r\n', 'UpstreamProtocolError'],
    ['a bare LF', 'HTTP/1.1 200 OK\nx: y\n\n', 'UpstreamProtocolError'],
    ['a folded line', 'HTTP/1.1 200 OK\r\nx: y\r\n z\r\n\r\n', 'UpstreamProtocolError'],
    ['white space before a colon', 'HTTP/1.1 200 OK\r\nx : y\r\n\r\n', 'UpstreamProtocolError'],
    ['a head over the limit', `HTTP/1.1 200 OK\r\nx: ${'y'.repeat(1_000)}\r\n\r\n`, 'UpstreamHeadTooLarge'],
    ['too long a reason phrase', `HTTP/1.1 200 ${'y'.repeat(1_000)}`, 'UpstreamHeadTooLarge'],
    ['too many fields', `HTTP/1.1 200 OK\r\n${'x: y\r\n'.repeat(11)}\r\n`, 'UpstreamHeadTooLarge'],
  ]
  for (const [what, text, reason] of REFUSALS)
    it(`refuses ${what}`, () => {
      const head = status(text)
      assert.deepEqual([head.end, head.fault?.reason], [REFUSED, reason])
    })

  it('does not wait for the end of what can be no response', () => {
    assert.equal(status('SSH-2.0').end, REFUSED)
    assert.equal(status('HTTP/1.1 ').end, INCOMPLETE)
  })
})
