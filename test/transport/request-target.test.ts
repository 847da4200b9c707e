import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { frameRequest, requestFraming } from '../../src/http/framing.ts'
import { RequestHead } from '../../src/http/head.ts'
import { GatewayError } from '../../src/lib/error.ts'
import type { IncomingRequest } from '../../src/transport/downstream.ts'
import { requestTarget } from '../../src/transport/request-target.ts'

function read(line: string, host = 'h.test', version = '1.1'): IncomingRequest | GatewayError {
  const head = new RequestHead()
  const bytes = Buffer.from(`${line} HTTP/${version}\r\n${host === '' ? '' : `Host: ${host}\r\n`}\r\n`)
  assert.ok(head.parse(bytes, 0, bytes.length, { head: 10_000, headers: 10, uri: 1_000 }) > 0)
  const framing = requestFraming()
  assert.equal(frameRequest(head, framing), null)
  return requestTarget(head, framing, framing.host >= 0 ? head.fields.valueAt(framing.host) : '')
}

/** RFC 9112 §3.2. */
const TAKEN: readonly (readonly [line: string, host: string, authority: string, target: string, moved: boolean])[] = [
  ['GET /', 'h.test', 'h.test', '/', false],
  ['GET /a?b', 'h.test:80', 'h.test:80', '/a?b', false],
  ['GET //a', 'h.test', 'h.test', '//a', false],
  ['OPTIONS *', 'h.test', 'h.test', '*', false],
  ['GET http://h.test/a?b', 'h.test', 'h.test', '/a?b', true],
  ['GET HTTP://H.test', 'h.TEST', 'H.test', '/', true],
  ['GET http://h.test:80/x', 'h.test', 'h.test:80', '/x', true],
  ['GET http://h.test/x', 'h.test:80', 'h.test', '/x', true],
  ['GET https://h.test:443/x', 'h.test', 'h.test:443', '/x', true],
  ['GET HTTPS://h.test/x', 'h.test:443', 'h.test', '/x', true],
  ['GET http://h.test./x', 'h.test', 'h.test.', '/x', true],
  ['GET http://h.test/x', 'H.test.:80', 'h.test', '/x', true],
  ['GET http://h.test:/x', 'h.test', 'h.test:', '/x', true],
  ['GET http://h.test:080/x', 'h.test:', 'h.test:080', '/x', true],
  ['GET http://h.test:8080/x', 'H.TEST.:8080', 'h.test:8080', '/x', true],
  ['GET http://[2001:db8::1]/x', '[2001:0DB8:0:0::1]:80', '[2001:db8::1]', '/x', true],
  ['GET http://[::ffff:192.0.2.1]/x', '[::ffff:c000:201]', '[::ffff:192.0.2.1]', '/x', true],
  ['GET https://h.test:1', 'h.test:1', 'h.test:1', '/', true],
  ['GET http://h.test?q', 'h.test', 'h.test', '/?q', true],
  ['OPTIONS http://h.test', 'h.test', 'h.test', '*', true],
  ['OPTIONS http://h.test/', 'h.test', 'h.test', '/', true],
]

const REFUSED: readonly (readonly [line: string, host: string, reason: string])[] = [
  ['CONNECT h.test:443', 'h.test:443', 'ConnectNotAllowed'],
  ['CONNECT /', 'h.test', 'ConnectNotAllowed'],
  ['GET *', 'h.test', 'BadRequest'],
  ['OPTIONS *a', 'h.test', 'BadRequest'],
  ['GET a', 'h.test', 'BadRequest'],
  ['GET h.test:443', 'h.test', 'BadRequest'],
  ['GET ?a', 'h.test', 'BadRequest'],
  ['GET ftp://h.test/', 'h.test', 'BadRequest'],
  ['GET http:///a', 'h.test', 'BadRequest'],
  ['GET http:/a', 'h.test', 'BadRequest'],
  ['GET http://other.test/', 'h.test', 'BadHost'],
  ['GET http://h.test:81/', 'h.test', 'BadHost'],
  ['GET http://h.test/', 'h.test:81', 'BadHost'],
  ['GET http://h.test:443/', 'h.test', 'BadHost'],
  ['GET https://h.test:80/', 'h.test', 'BadHost'],
  ['GET http://h.test:80/', 'h.test:443', 'BadHost'],
  ['GET http://h.test../', 'h.test', 'BadHost'],
  ['GET http://h.test:0/', 'h.test', 'BadHost'],
  ['GET http://[2001:db8::1]/', '[2001:db8::2]', 'BadHost'],
  ['GET http://[2001:db8::1]/', '2001:db8::1', 'BadHost'],
  ['GET http://u@h.test/', 'h.test', 'BadHost'],
  ['GET http://h.test/', 'u@h.test', 'BadHost'],
  ['GET http://u@h.test/', 'u@h.test', 'BadHost'],
  ['GET http://h.test\\x/', 'h.test', 'BadHost'],
]

describe('a request target', () => {
  for (const [line, host, authority, target, moved] of TAKEN)
    it(`${line} is ${target} of ${authority}`, () => {
      const request = read(line, host)
      assert.ok(!(request instanceof GatewayError))
      assert.deepEqual([request.authority, request.target, request.authorityMoved], [authority, target, moved])
      // A Host that the absolute form has overruled must not be sent on beside it.
      assert.equal(request.fields.has('host'), !moved)
    })

  for (const [line, host, reason] of REFUSED)
    it(`${line} is refused`, () => {
      const request = read(line, host)
      assert.ok(request instanceof GatewayError)
      assert.equal(request.reason, reason)
    })

  it('of HTTP/1.1 with an empty Host is rejected, that of HTTP/1.0 is accepted', () => {
    for (const line of ['GET /', 'OPTIONS *']) {
      const request = read(line, ' ')
      assert.ok(request instanceof GatewayError)
      assert.equal(request.reason, 'BadHost')
      assert.ok(!(read(line, ' ', '1.0') instanceof GatewayError))
    }
    const absolute = read('GET http://h.test/a', ' ')
    assert.ok(!(absolute instanceof GatewayError))
    assert.deepEqual([absolute.authority, absolute.authorityMoved], ['h.test', true])
  })

  it('of HTTP/1.0 may stand without a Host', () => {
    const request = read('GET /', '', '1.0')
    assert.ok(!(request instanceof GatewayError))
    assert.deepEqual([request.authority, request.protocol, request.authorityMoved], ['', 'HTTP/1.0', false])
    const absolute = read('GET http://h.test/a', '', '1.0')
    assert.ok(!(absolute instanceof GatewayError))
    assert.deepEqual([absolute.authority, absolute.target, absolute.authorityMoved], ['h.test', '/a', true])
  })
})
