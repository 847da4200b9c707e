import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { checkServerIdentity, type PeerCertificate } from 'node:tls'
import fc from 'fast-check'
import { dnsNamesOf, namesCover } from '../../src/tls/certificate-names.ts'
import { TestAuthority } from '../lib/certificates.ts'

const authority = new TestAuthority()
const covers = (names: readonly string[], hostname: string): boolean => namesCover(new Set(names), hostname)

describe('the names of a certificate', () => {
  it('are DNS names in lower case, and nothing else that stands there', () => {
    const { x509 } = authority.issue({
      names: {
        dns: [
          'Shop.Example',
          '*.b.example',
          'xn--mnchen-3ya.example',
          'a,b.example',
          'x\u0000.example',
          '*',
          'a.*.example',
        ],
        ip: ['192.0.2.1'],
        uri: ['spiffe://a, DNS:evil.example'],
        email: ['DNS:evil.example'],
      },
    })
    assert.deepEqual(dnsNamesOf(x509.subjectAltName), ['shop.example', '*.b.example', 'xn--mnchen-3ya.example'])
    assert.deepEqual(dnsNamesOf(undefined), [])
  })

  it('stand for hostnames as browsers have it', () => {
    const names = ['shop.example.com', '*.b.example.com', '*.com']
    assert.ok(covers(names, 'shop.example.com'))
    assert.ok(covers(names, 'a.b.example.com'))
    assert.ok(!covers(names, 'b.example.com'), 'a wildcard stands for one label')
    assert.ok(!covers(names, 'x.a.b.example.com'), 'and for no more')
    assert.ok(!covers(names, 'example.com'), 'and never for a whole registry')
    assert.ok(covers(names, '*.b.example.com'), 'a wildcard hostname as far as any certificate can')
    assert.ok(!covers(names, '*.example.com'))
    assert.ok(!covers(['*.example'], 'localhost'))
  })

  it('cover what node:tls accepts for them', () => {
    const label = fc.constantFrom('a', 'b', 'shop', 'xn--mnchen-3ya')
    const name = fc.array(label, { minLength: 2, maxLength: 4 }).map((labels) => labels.join('.'))
    const pattern = fc.oneof(
      name,
      name.map((one) => `*.${one}`),
    )
    fc.assert(
      fc.property(fc.array(pattern, { minLength: 1, maxLength: 4 }), name, (names, hostname) => {
        const { x509 } = authority.issue({ names: { dns: names }, keys: KEYS })
        const certificate = { subjectaltname: x509.subjectAltName, subject: {} } as unknown as PeerCertificate
        const accepted = checkServerIdentity(hostname, certificate) === undefined
        assert.equal(covers(dnsNamesOf(x509.subjectAltName), hostname), accepted, `${names} for ${hostname}`)
      }),
      { numRuns: 200 },
    )
  })
})

const KEYS = { privateKey: authority.issuer.privateKey, publicKey: authority.issuer.publicKey }
