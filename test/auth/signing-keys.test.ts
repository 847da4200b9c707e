import assert from 'node:assert/strict'
import { generateKeyPairSync, type KeyObject } from 'node:crypto'
import { describe, it } from 'node:test'
import { calculateJwkThumbprint } from 'jose'
import {
  delayAdded,
  PUBLISHED_BEFORE,
  parseSigningKeys,
  publishedSet,
  readSigningKeys,
  type SigningKeys,
  signerAt,
  writeSigningKeys,
} from '../../src/auth/signing-keys.ts'
import { readKeySet } from '../../src/auth/verification-keys.ts'
import { EC, ED, RSA } from './tokens.ts'

const pem = (key: KeyObject) => key.export({ type: 'pkcs8', format: 'pem' }) as string
const NOW = Date.parse('2026-11-29T12:00:00Z')

function keysOf(entries: Readonly<Record<string, string>>): SigningKeys {
  const keys = parseSigningKeys(Object.entries(entries))
  assert.ok(!('fault' in keys), JSON.stringify(keys))
  return readSigningKeys(writeSigningKeys(keys))
}

const faultOf = (entries: Readonly<Record<string, string>>): string => {
  const read = parseSigningKeys(Object.entries(entries))
  return 'fault' in read ? read.fault : 'none'
}

describe('keys that sign tokens', () => {
  it('are ordered by the time in their names, whatever the order of the Secret', () => {
    const entries: [string, string][] = [
      ['20261101T000000Z.pem', pem(EC.privateKey)],
      ['20261201T000000Z.pem', pem(ED.privateKey)],
      ['first.pem', pem(RSA.privateKey)],
    ]
    const ways = [entries, entries.toReversed(), [entries[1]!, entries[2]!, entries[0]!]]
    for (const way of ways) {
      const keys = keysOf(Object.fromEntries(way))
      assert.deepEqual(
        keys.map(({ algorithm }) => algorithm),
        ['RS256', 'ES256', 'EdDSA'],
      )
      assert.equal(signerAt(keys, NOW).algorithm, 'ES256')
      assert.equal(signerAt(keys, Date.parse('2026-12-01T00:00:00Z')).algorithm, 'EdDSA')
    }
  })

  it('have the last name in byte order as the newest where names say no time', () => {
    const keys = keysOf({ 'b.pem': pem(ED.privateKey), 'a.pem': pem(EC.privateKey) })
    assert.equal(signerAt(keys, NOW).algorithm, 'EdDSA')
  })

  it('sign before their time only where no other key is there', () => {
    const keys = keysOf({ '20270101T000000Z.pem': pem(ED.privateKey), '20270201T000000Z.pem': pem(EC.privateKey) })
    assert.equal(signerAt(keys, NOW).algorithm, 'EdDSA')
  })

  it('that are added are published for a time before they sign, and keep it over further edits', () => {
    const before = keysOf({ 'a.pem': pem(EC.privateKey) })
    const both = keysOf({ 'a.pem': pem(EC.privateKey), 'b.pem': pem(ED.privateKey) })
    const added = delayAdded(both, before, NOW)
    assert.equal(JSON.parse(publishedSet(added)).keys.length, 2)
    assert.equal(signerAt(added, NOW).algorithm, 'ES256')
    assert.equal(signerAt(added, NOW + PUBLISHED_BEFORE - 1).algorithm, 'ES256')
    assert.equal(signerAt(added, NOW + PUBLISHED_BEFORE).algorithm, 'EdDSA')
    const again = delayAdded(both, added, NOW + 1_000)
    assert.deepEqual(again, added)
    // Removed and added again: verifiers may have dropped it.
    const returned = delayAdded(both, before, NOW + PUBLISHED_BEFORE)
    assert.equal(signerAt(returned, NOW + PUBLISHED_BEFORE).algorithm, 'ES256')
    // Another key alone has nobody to wait for.
    const replaced = keysOf({ 'c.pem': pem(ED.privateKey) })
    assert.equal(signerAt(delayAdded(replaced, before, NOW), NOW).algorithm, 'EdDSA')
  })

  it('publish their public halves alone, named by thumbprint', async () => {
    const keys = keysOf({ 'a.pem': pem(EC.privateKey), 'b.pem': pem(ED.privateKey), 'c.pem': pem(RSA.privateKey) })
    const text = publishedSet(keys)
    const read = readKeySet(text)
    assert.ok('keys' in read && read.keys.length === 3)
    const set = JSON.parse(text) as { keys: Record<string, string>[] }
    for (const jwk of set.keys) {
      for (const secret of ['d', 'p', 'q', 'dp', 'dq', 'qi', 'k']) assert.ok(!(secret in jwk))
      assert.equal(jwk.kid, await calculateJwkThumbprint(jwk))
    }
  })

  it('are refused where they are weak, public, of another kind, damaged, twice there or too many', () => {
    const weak = generateKeyPairSync('rsa', { modulusLength: 1024 }).privateKey
    const slow = generateKeyPairSync('ec', { namedCurve: 'secp384r1' }).privateKey
    assert.match(faultOf({ a: pem(weak) }), /RSA with 1024 bits/)
    assert.match(faultOf({ a: pem(slow) }), /of a kind/)
    assert.match(faultOf({ a: EC.publicKey.export({ type: 'spki', format: 'pem' }) as string }), /no private key/)
    assert.match(faultOf({ a: '' }), /no private key/)
    assert.match(faultOf({ a: 'x'.repeat(20_000) }), /larger than/)
    assert.match(faultOf({ a: pem(EC.privateKey), b: pem(EC.privateKey) }), /one key/)
    assert.match(faultOf({ '20261301T000000Z.pem': pem(EC.privateKey) }), /does not exist/)
    assert.match(faultOf({}), /no key/)
    // RFC 8037, appendix A.
    const published =
      '-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n-----END PRIVATE KEY-----\n'
    assert.match(faultOf({ a: published }), /published/)
  })
})
