import assert from 'node:assert/strict'
import { hash } from 'node:crypto'
import { describe, it } from 'node:test'
import { verifyIdToken, verifyLogoutToken } from '../../src/auth/id-token.ts'
import { readOidcClient } from '../../src/auth/oidc-client.ts'
import type { VerificationKey } from '../../src/auth/verification-keys.ts'
import { EC, ISSUER, now, RSA, tokenOf } from './tokens.ts'

const keys: readonly VerificationKey[] = [{ key: RSA.publicKey, algorithms: ['RS256'], id: 'one' }]
const rules = { issuer: ISSUER, clientID: 'shop', nonce: 'n' }
const EVENT = { 'http://schemas.openid.net/event/backchannel-logout': {} }

describe('an ID token', () => {
  const fault = async (claims: object, header: object = {}, other: object = {}, key = RSA.privateKey) => {
    const token = await tokenOf({ key, header: { ...header }, claims: { nonce: 'n', ...claims } })
    const verified = await verifyIdToken(token, keys, { ...rules, ...other }, Date.now())
    return 'fault' in verified ? verified.fault : 'good'
  }

  it('is good when all that is asked of it holds, and else for one reason', async () => {
    const half = (text: string) => hash('sha256', text, 'buffer').subarray(0, 16).toString('base64url')
    for (const [claims, expected, header = {}, other = {}] of [
      [{}, 'good'],
      [{ aud: ['shop'] }, 'good'],
      [{ aud: ['shop', 'other'], azp: 'shop' }, 'good'],
      [{ aud: ['shop', 'other'] }, 'azp'],
      [{ azp: 'other' }, 'azp'],
      [{ aud: 'other' }, 'audience'],
      [{ iss: 'https://id.example' }, 'issuer'],
      [{ nonce: 'm' }, 'nonce'],
      [{ nonce: undefined }, 'nonce'],
      [{ nonce: undefined }, 'good', {}, { nonce: undefined, subject: 'alice' }],
      [{ sub: 'bob' }, 'subject', {}, { subject: 'alice' }],
      [{ sub: undefined }, 'subject'],
      [{ sub: '' }, 'subject'],
      [{ sub: 'a'.repeat(256) }, 'subject'],
      [{ iat: undefined }, 'claims'],
      [{ exp: undefined }, 'claims'],
      [{ exp: now() - 60 }, 'expired'],
      [{ iat: now() + 60 }, 'not-yet-valid'],
      [{ at_hash: half('access') }, 'good', {}, { accessToken: 'access' }],
      [{ at_hash: half('other') }, 'at_hash', {}, { accessToken: 'access' }],
      [{}, 'form', { typ: 'logout+jwt' }],
      [{}, 'unknown-key', { kid: 'two' }],
    ] as const)
      assert.equal(await fault(claims, header, other), expected, JSON.stringify([claims, header]))
    assert.equal(await fault({}, { alg: 'ES256' }, {}, EC.privateKey), 'unknown-key')
  })

  it('is not made with the secret of the client, or with none', async () => {
    const secret = Buffer.from('a secret of 32 bytes or more, as the client has')
    const shared = await tokenOf({ key: secret, header: { alg: 'HS256' }, claims: { nonce: 'n' } })
    const [, claims] = shared.split('.')
    const none = `${Buffer.from('{"alg":"none"}').toString('base64url')}.${claims}.`
    for (const token of [shared, none]) {
      const verified = await verifyIdToken(token, keys, rules, Date.now())
      assert.ok('fault' in verified && ['algorithm', 'form'].includes(verified.fault))
    }
  })
})

describe('a logout token', () => {
  const judge = async (claims: object, header: object = { typ: 'logout+jwt' }) => {
    const token = await tokenOf({ header: { ...header }, claims: { jti: 'j', events: EVENT, sid: 's', ...claims } })
    const verified = await verifyLogoutToken(token, keys, rules, Date.now())
    return 'fault' in verified ? verified.fault : [verified.sessionID, verified.subject]
  }

  it('names a session or a user, has the event and no nonce', async () => {
    assert.deepEqual(await judge({}), ['s', 'alice'])
    assert.deepEqual(await judge({ sub: undefined }), ['s', undefined])
    assert.deepEqual(await judge({ sid: undefined }, { typ: 'JWT' }), [undefined, 'alice'])
    for (const [claims, expected] of [
      [{ nonce: 'n' }, 'events'],
      [{ events: undefined }, 'events'],
      [{ events: { other: {} } }, 'events'],
      [{ events: 'http://schemas.openid.net/event/backchannel-logout' }, 'events'],
      [{ sid: undefined, sub: undefined }, 'subject'],
      [{ sid: 1 }, 'subject'],
      [{ jti: undefined }, 'claims'],
      [{ iat: undefined }, 'claims'],
      [{ aud: 'other' }, 'audience'],
      [{ exp: now() - 60 }, 'expired'],
    ] as const)
      assert.equal(await judge(claims), expected, JSON.stringify(claims))
    assert.equal(await judge({}, { typ: 'at+jwt' }), 'form')
  })
})

describe('the Secret of a client', () => {
  it('has an issuer of https, or of this machine, and secrets that are not told', () => {
    const read = (given: object) => {
      const all: Record<string, string> = { issuer: ISSUER, clientID: 'shop', clientSecret: 'a secret', ...given }
      return readOidcClient((key) => all[key])
    }
    for (const issuer of [
      'http://id.example/',
      'id.example',
      'https://id.example/?a',
      'https://id.example/#a',
      'https://user:pass@id.example/',
      'ftp://id.example/',
      '',
      `https://id.example/${'a'.repeat(600)}`,
      'http://localhost.evil.example/',
    ])
      assert.match((read({ issuer }) as { fault: string }).fault, /^issuer is not the https URL/, issuer)
    for (const issuer of [
      'https://id.example/realms/a\n',
      'http://127.0.0.1:99/',
      'http://localhost',
      'http://[::1]:8',
    ])
      assert.equal('fault' in read({ issuer }), false, issuer)
    for (const given of [{ clientID: '' }, { clientID: 'ü' }, { clientSecret: '' }, { cookieSecret: 'short secret' }]) {
      const { fault } = read(given) as { fault: string }
      assert.ok(fault.startsWith(Object.keys(given)[0]!))
      assert.ok(!fault.includes('a secret') && !fault.includes('short secret'))
    }
    const stable = { cookieSecret: 'x'.repeat(32) }
    const session = (given: object) => (read(given) as { sessionSecret: string }).sessionSecret
    assert.equal(session({ ...stable, clientSecret: 'another' }), session(stable))
    assert.notEqual(session({ clientSecret: 'another' }), session({}))
  })
})
