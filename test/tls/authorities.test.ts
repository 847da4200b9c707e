import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { createSecureContext } from 'node:tls'
import fc from 'fast-check'
import { MAX_AUTHORITIES, readAuthorities, readRevocationLists } from '../../src/tls/authorities.ts'
import type { CertificateFault } from '../../src/tls/certificate.ts'
import { TestAuthority } from '../lib/certificates.ts'

const one = new TestAuthority('One')
const two = new TestAuthority('Two')

function good<T extends object>(read: T | CertificateFault): T {
  assert.ok(!('fault' in read), (read as CertificateFault).fault)
  return read
}

const faultOf = (read: object): string => {
  assert.ok('fault' in read, 'it is refused')
  return String(read.fault)
}

describe('a bundle of authorities', () => {
  it('is all of its certificates, and ends with the first of them', () => {
    const bundle = good(readAuthorities(`# partners\n${one.ca}${two.ca}`))
    assert.equal(bundle.subjects.length, 2)
    assert.equal(bundle.pem, one.ca + two.ca)
    assert.ok(bundle.notAfter > Date.now())
    createSecureContext({ ca: bundle.pem })
  })

  it('is refused as a whole when one of them is damaged, or is not one of an authority', () => {
    assert.match(faultOf(readAuthorities(`${one.ca}${two.ca.slice(0, 200)}`)), /no END line/)
    const cut = two.ca.split('\n')
    cut.splice(4, 1)
    assert.match(faultOf(readAuthorities(`${one.ca}${cut.join('\n')}`)), /certificate 2 in it is damaged/)
    assert.match(faultOf(readAuthorities(`${one.ca}${one.server('a.example').cert}`)), /not one of an authority/)
    assert.match(faultOf(readAuthorities('')), /no certificate/)
  })

  it('is bounded', () => {
    assert.match(faultOf(readAuthorities(one.ca.repeat(MAX_AUTHORITIES + 1))), /more than 128 blocks/)
    assert.match(faultOf(readAuthorities(' '.repeat(300_000))), /larger than/)
  })
})

describe('revocation lists', () => {
  it('tell their authorities and when the first has to be replaced', () => {
    const soon = new Date(Date.now() + 3_600_000)
    const client = one.client('alice')
    const lists = good(readRevocationLists(`${one.revoke([client])}${two.revoke([], soon)}`))
    assert.equal(lists.nextUpdate, Math.floor(soon.getTime() / 1000) * 1000)
    const { subjects } = good(readAuthorities(one.ca + two.ca))
    assert.deepEqual([...lists.issuers].sort(), [...subjects].sort())
    createSecureContext({ ca: one.ca + two.ca, crl: lists.pem })
  })

  it('are refused when one of them is damaged', () => {
    const list = one.revoke([])
    assert.match(faultOf(readRevocationLists('')), /no revocation list/)
    assert.match(faultOf(readRevocationLists(one.ca)), /no revocation list/)
    assert.match(faultOf(readRevocationLists(list.slice(0, 100))), /no END line/)
    const cut = list.split('\n')
    cut.splice(2, 1)
    assert.match(faultOf(readRevocationLists(cut.join('\n'))), /damaged/)
    assert.match(faultOf(readRevocationLists(' '.repeat(1_100_000))), /larger than/)
  })

  it('never throw, whatever bytes are changed', () => {
    const lines = one
      .revoke([one.client('a'), one.client('b')])
      .trim()
      .split('\n')
    const der = Buffer.from(lines.slice(1, -1).join(''), 'base64')
    fc.assert(
      fc.property(fc.nat({ max: der.length - 1 }), fc.nat({ max: 255 }), fc.boolean(), (at, byte, cut) => {
        const bytes = Buffer.from(der)
        bytes[at] = byte
        const changed = cut ? bytes.subarray(0, at) : bytes
        const pem = `-----BEGIN X509 CRL-----\n${changed.toString('base64')}\n-----END X509 CRL-----\n`
        readRevocationLists(pem)
      }),
      { numRuns: 500 },
    )
  })
})
