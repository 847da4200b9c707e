import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { createSecureContext } from 'node:tls'
import fc from 'fast-check'
import { readSecret, type SecretReading } from '../../src/compile/secret.ts'
import { TestAuthority } from '../lib/certificates.ts'

const authority = new TestAuthority()
const shop = authority.server('shop.example')
const base64 = (text: string | Buffer): string => Buffer.from(text).toString('base64')

function read(type: string, data: Record<string, string | Buffer>) {
  const encoded = Object.fromEntries(Object.entries(data).map(([key, value]) => [key, base64(value)]))
  return readSecret({ type, data: encoded })
}

function contentsOf(found: ReturnType<typeof readSecret>): Record<string, string> {
  assert.ok(found !== undefined && !('fault' in found), JSON.stringify(found))
  const texts = Array.from((found as SecretReading).contents, ([key, bytes]) => {
    assert.ok(bytes.buffer instanceof SharedArrayBuffer, 'threads share it')
    return [key, Buffer.from(bytes).toString('latin1')]
  })
  return Object.fromEntries(texts)
}

const faultOf = (found: ReturnType<typeof readSecret>): string =>
  found !== undefined && 'fault' in found ? found.fault : assert.fail('it is refused')

describe('a Secret of TLS', () => {
  it('has what a handshake needs, and nothing else of it is delivered', () => {
    const data = { 'tls.crt': `noise\n${shop.cert}`, 'tls.key': shop.key, 'ca.crt': authority.ca, keystore: 'x' }
    assert.deepEqual(contentsOf(read('kubernetes.io/tls', data)), { 'tls.crt': shop.cert, 'tls.key': shop.key })
    const stapled = contentsOf(read('kubernetes.io/tls', { ...data, 'tls.ocsp-staple': Buffer.from([1, 2, 3]) }))
    assert.equal(stapled['tls.ocsp-staple'], '\u0001\u0002\u0003')
  })

  it('leaves out a response of the responder that cannot be one, and serves without it', () => {
    const data = { 'tls.crt': shop.cert, 'tls.key': shop.key }
    for (const staple of [Buffer.alloc(0), Buffer.alloc(20_000)])
      assert.deepEqual(Object.keys(contentsOf(read('kubernetes.io/tls', { ...data, 'tls.ocsp-staple': staple }))), [
        'tls.crt',
        'tls.key',
      ])
  })

  it('is refused without a key that its type has', () => {
    assert.equal(faultOf(read('kubernetes.io/tls', { 'tls.crt': shop.cert })), 'it has no key tls.key; add it')
    assert.equal(faultOf(read('headgate.dev/ca', { 'tls.crt': authority.ca })), 'it has no key ca.crt; add it')
    assert.equal(faultOf(read('headgate.dev/crl', {})), 'it has no key ca.crl; add it')
    assert.equal(faultOf(read('headgate.dev/session-ticket-key', {})), 'it has no key key; add it')
  })

  it('may be of authorities, of revocation lists and of a key for session tickets', () => {
    assert.deepEqual(contentsOf(read('headgate.dev/ca', { 'ca.crt': authority.ca })), { 'ca.crt': authority.ca })
    const list = authority.revoke([])
    assert.deepEqual(contentsOf(read('headgate.dev/crl', { 'ca.crl': list })), { 'ca.crl': list })
    const key = Buffer.alloc(32, 7)
    assert.deepEqual(contentsOf(read('headgate.dev/session-ticket-key', { key })), { key: key.toString('latin1') })
    for (const bytes of [31, 5000])
      assert.match(faultOf(read('headgate.dev/session-ticket-key', { key: Buffer.alloc(bytes) })), /32 to 4096/)
  })

  it('is none with another type', () => {
    assert.equal(read('Opaque', { 'tls.crt': shop.cert, 'tls.key': shop.key }), undefined)
    assert.equal(read('toString', {}), undefined)
  })

  it('has no certificate that OpenSSL does not take, whatever bytes are changed', () => {
    const lines = shop.cert.trim().split('\n')
    const der = Buffer.from(lines.slice(1, -1).join(''), 'base64')
    fc.assert(
      fc.property(fc.nat({ max: der.length - 1 }), fc.nat({ max: 255 }), (at, byte) => {
        const bytes = Buffer.from(der)
        bytes[at] = byte
        const pem = `-----BEGIN CERTIFICATE-----\n${base64(bytes)}\n-----END CERTIFICATE-----\n`
        const found = read('kubernetes.io/tls', { 'tls.crt': pem, 'tls.key': shop.key })
        if (found === undefined || 'fault' in found) return
        const contents = contentsOf(found)
        createSecureContext({ cert: contents['tls.crt']!, key: contents['tls.key']! })
      }),
      { numRuns: 400 },
    )
  })

  it('costs little to refuse, however large it is', () => {
    const start = process.cpuUsage().user
    for (let i = 0; i < 20; i++) {
      assert.match(faultOf(read('kubernetes.io/tls', { 'tls.crt': 'A'.repeat(700_000), 'tls.key': '' })), /larger/)
      const many = '-----BEGIN X-----\n-----END X-----\n'.repeat(1900)
      assert.match(faultOf(read('kubernetes.io/tls', { 'tls.crt': many, 'tls.key': '' })), /blocks/)
    }
    assert.ok((process.cpuUsage().user - start) / 40_000 < 50, 'far from what anybody would notice')
  })
})
