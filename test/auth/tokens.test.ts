import assert from 'node:assert/strict'
import { createHmac, generateKeyPairSync, randomBytes, sign } from 'node:crypto'
import { describe, it } from 'node:test'
import { exportJWK } from 'jose'
import { MAX_TOKEN, readTokenHead } from '../../src/auth/compact-token.ts'
import { type JwtRules, type Verification, verifyToken } from '../../src/auth/jwt-verifier.ts'
import {
  type KeysReading,
  readKeySet,
  readPublicKeys,
  readSharedSecret,
  type VerificationKey,
} from '../../src/auth/verification-keys.ts'
import { AUDIENCE, EC, ED, ISSUER, now, pemOf, RSA, rawToken, tokenOf } from './tokens.ts'

const RULES: JwtRules = {
  issuer: ISSUER,
  audiences: [AUDIENCE, 'other'],
  algorithms: ['RS256', 'ES256', 'EdDSA'],
  clockSkew: 30_000,
}

function keysOf(reading: KeysReading): readonly VerificationKey[] {
  assert.ok(!('fault' in reading), JSON.stringify(reading))
  return reading.keys
}
function faultOf(reading: KeysReading): string {
  assert.ok('fault' in reading)
  return reading.fault
}
const PUBLIC = keysOf(readPublicKeys([RSA, EC, ED].map(({ publicKey }) => pemOf(publicKey)).join('')))

async function verdict(token: string, rules = RULES, keys = PUBLIC, at = Date.now()): Promise<string> {
  const head = readTokenHead(token)
  if (head === undefined) return 'malformed'
  const verification: Verification = await verifyToken(token, head, keys, rules, at)
  return 'fault' in verification ? verification.fault : 'ok'
}

describe('a token', () => {
  it('may name Ed25519 as RFC 9864 does, and is one of EdDSA then', async () => {
    const header = Buffer.from('{"alg":"Ed25519"}').toString('base64url')
    const claims = { iss: ISSUER, aud: AUDIENCE, exp: now() + 60 }
    const signed = `${header}.${Buffer.from(JSON.stringify(claims)).toString('base64url')}`
    const token = `${signed}.${sign(null, Buffer.from(signed), ED.privateKey).toString('base64url')}`
    const rules = { issuer: ISSUER, audiences: [AUDIENCE], algorithms: ['EdDSA'], clockSkew: 0 }
    const keys = [{ key: ED.publicKey, algorithms: ['EdDSA'], id: undefined }]
    const head = readTokenHead(token)!
    assert.ok('claims' in (await verifyToken(token, head, keys, rules, Date.now())))
    const others = { ...rules, algorithms: ['RS256'] }
    assert.deepEqual(await verifyToken(token, head, keys, others, Date.now()), { fault: 'algorithm' })
  })

  it('of each kind of key is good, and says who it is', async () => {
    assert.equal(await verdict(await tokenOf()), 'ok')
    assert.equal(await verdict(await tokenOf({ key: EC.privateKey, header: { alg: 'ES256', typ: 'at+jwt' } })), 'ok')
    assert.equal(await verdict(await tokenOf({ key: ED.privateKey, header: { alg: 'EdDSA', typ: 'JWT' } })), 'ok')
    const token = await tokenOf({ claims: { aud: ['x', 'other'], roles: ['a'] } })
    const verified = await verifyToken(token, readTokenHead(token)!, PUBLIC, RULES, Date.now())
    assert.ok('claims' in verified)
    assert.deepEqual([verified.claims.sub, verified.claims.roles], ['alice', ['a']])
    assert.equal(verified.expires, (now() + 300) * 1_000 + 30_000)
  })

  it('is judged by issuer, audience and time, and must state them', async () => {
    for (const [claims, expected] of [
      [{ iss: 'https://evil.example/' }, 'issuer'],
      [{ iss: undefined }, 'issuer'],
      [{ iss: [ISSUER] }, 'issuer'],
      [{ aud: 'shops' }, 'audience'],
      [{ aud: undefined }, 'audience'],
      [{ aud: [] }, 'audience'],
      [{ exp: undefined }, 'claims'],
      [{ exp: '9999999999' }, 'claims'],
      [{ exp: now() - 60 }, 'expired'],
      [{ exp: now() - 10 }, 'ok'],
      [{ nbf: now() + 60 }, 'not-yet-valid'],
      [{ nbf: now() + 10 }, 'ok'],
      [{ iat: now() + 60 }, 'not-yet-valid'],
      [{ iat: undefined }, 'ok'],
    ] as const)
      assert.equal(await verdict(await tokenOf({ claims })), expected, JSON.stringify(claims))
  })

  it('made with an algorithm or key that is not allowed is none', async () => {
    const pem = pemOf(RSA.publicKey)
    const head = { alg: 'HS256' }
    const signed = rawToken(JSON.stringify(head), JSON.stringify({ iss: ISSUER, aud: AUDIENCE, exp: now() + 300 }), '')
    const confused = signed + createHmac('sha256', pem).update(signed.slice(0, -1)).digest('base64url')
    assert.equal(await verdict(confused), 'algorithm')
    assert.equal(await verdict(confused, { ...RULES, algorithms: ['HS256'] }), 'unknown-key')
    assert.equal(await verdict(await tokenOf({ header: { alg: 'RS512' } })), 'algorithm')
    const other = generateKeyPairSync('rsa', { modulusLength: 2048 })
    assert.equal(await verdict(await tokenOf({ key: other.privateKey })), 'signature')
    // A key that the token brings along is not looked at.
    const jwk = await exportJWK(other.publicKey)
    for (const header of [
      { jwk },
      { jku: 'https://evil.example/' },
      { x5u: 'https://evil.example/' },
      { kid: '../../etc' },
    ])
      assert.equal(await verdict(await tokenOf({ key: other.privateKey, header })), 'signature', JSON.stringify(header))
    const whole = await tokenOf()
    assert.equal(await verdict(whole.replace(/\.([^.]*)$/, '.')), 'malformed')
    assert.equal(await verdict(whole.replace(/\.([^.]*)$/, '.AAAA')), 'signature')
    const [first, , last] = whole.split('.')
    const raised = Buffer.from(JSON.stringify({ iss: ISSUER, aud: AUDIENCE, sub: 'admin', exp: now() + 300 }))
    assert.equal(await verdict(`${first}.${raised.toString('base64url')}.${last}`), 'signature')
  })

  it('is no token when its form is another', async () => {
    const claims = JSON.stringify({ iss: ISSUER })
    for (const text of [
      '',
      'a.b',
      'a.b.c.d',
      ' . . ',
      `${await tokenOf()} `,
      `${await tokenOf()}=`,
      rawToken('{"alg":"none"}', claims),
      rawToken('{"alg":"NoNe"}', claims),
      rawToken('{}', claims),
      rawToken('{"alg":1}', claims),
      rawToken('[]', claims),
      rawToken('{"alg":"RS256","alg":"none"}', claims),
      rawToken('{"alg":"RS256"}', '{"iss":"a","iss":"b"}'),
      rawToken('{"alg":"RS256"}', '"iss"'),
      rawToken('{"alg":"RS256","crit":["exp"],"exp":1}', claims),
      rawToken('{"alg":"RS256","b64":false}', claims),
      rawToken('{"alg":"RS256","zip":"DEF"}', claims),
      rawToken('{"alg":"RS256","typ":"logout+jwt"}', claims),
      rawToken('{"alg":"RS256","typ":1}', claims),
      rawToken('{"alg":"RS256","kid":1}', claims),
      rawToken(`{"alg":"RS256","kid":"${'k'.repeat(600)}"}`, claims),
      rawToken('{"alg":"RS256"}', `{"a":${'['.repeat(3_000)}${']'.repeat(3_000)}}`),
      rawToken('{"alg":"RS256"}', claims, 'a'.repeat(MAX_TOKEN)),
    ])
      assert.equal(readTokenHead(text), undefined, text.slice(0, 200))
    // The last character of a part carries bits that decoding drops: such a spelling is another text of one token.
    const good = rawToken('{"alg":"RS256"}', claims)
    const [first = '', second = '', third] = good.split('.')
    const last = second.at(-1)!
    for (const other of 'ABCDEFGHIJKLMNOPQRSTUVWXYZ') {
      if (other === last) continue
      const spelt = `${first}.${second.slice(0, -1)}${other}.${third}`
      const head = readTokenHead(spelt)
      if (head !== undefined)
        assert.notDeepEqual(Buffer.from(second.slice(0, -1) + other, 'base64url').toString(), claims)
    }
  })
})

describe('a set of keys', () => {
  const jwk = async (kid: string, more: object = {}) => ({ ...(await exportJWK(RSA.publicKey)), kid, ...more })

  it('is asked for the key that the token names, and for few others', async () => {
    const other = await exportJWK(generateKeyPairSync('rsa', { modulusLength: 2048 }).publicKey)
    const keys = keysOf(readKeySet(JSON.stringify({ keys: [{ ...other, kid: 'old' }, await jwk('new')] })))
    assert.equal(await verdict(await tokenOf({ header: { kid: 'new' } }), RULES, keys), 'ok')
    assert.equal(await verdict(await tokenOf({ header: { kid: 'old' } }), RULES, keys), 'signature')
    assert.equal(await verdict(await tokenOf({ header: { kid: 'none' } }), RULES, keys), 'unknown-key')
    assert.equal(await verdict(await tokenOf(), RULES, keys), 'ok')
  })

  it('passes over what is for something else', async () => {
    const entries = [
      await jwk('enc', { use: 'enc' }),
      await jwk('ops', { key_ops: ['encrypt'] }),
      { kty: 'unheard-of' },
      { kty: 'EC', crv: 'P-999', x: 'a', y: 'b' },
      await jwk('alg', { alg: 'RSA-OAEP' }),
      await jwk('good', { use: 'sig', alg: 'RS256' }),
    ]
    const keys = keysOf(readKeySet(JSON.stringify({ keys: entries })))
    assert.deepEqual(
      keys.map(({ id, algorithms }) => [id, algorithms]),
      [['good', ['RS256']]],
    )
  })

  it('is refused when it shows secrets, is none, or is too large', async () => {
    const set = (keys: unknown) => faultOf(readKeySet(typeof keys === 'string' ? keys : JSON.stringify({ keys })))
    assert.match(set([await exportJWK(RSA.privateKey)]), /is a private or shared key/)
    assert.match(set([{ kty: 'oct', k: 'c2VjcmV0' }]), /is a private or shared key/)
    assert.match(set('<!doctype html>'), /no JSON Web Key Set/)
    assert.match(set([]), /none of its keys/)
    assert.match(set([1]), /no object/)
    assert.match(set(Array(65).fill({ kty: 'RSA' })), /more than 64 keys/)
    assert.match(set(' '.repeat(300_000)), /larger than/)
  })
})

describe('a key', () => {
  it('that is weak, published, private or damaged is refused with the cause', async () => {
    const small = generateKeyPairSync('rsa', { modulusLength: 1024 }).publicKey
    assert.match(faultOf(readPublicKeys(pemOf(small))), /RSA with 1024 bits/)
    const curve = generateKeyPairSync('ec', { namedCurve: 'secp256k1' }).publicKey
    assert.match(faultOf(readPublicKeys(pemOf(curve))), /curve secp256k1/)
    assert.match(faultOf(readPublicKeys(pemOf(generateKeyPairSync('x25519').publicKey))), /of the kind x25519/)
    const secret = ED.privateKey.export({ type: 'pkcs8', format: 'pem' }) as string
    assert.match(faultOf(readPublicKeys(secret)), /private key/)
    assert.doesNotMatch(faultOf(readPublicKeys(secret)), new RegExp(secret.split('\n')[1]!.slice(0, 10)))
    assert.match(faultOf(readPublicKeys('-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n')), /damaged/)
    assert.match(faultOf(readPublicKeys('')), /no public key/)
    // RFC 8037 appendix A.
    const known = '{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}'
    assert.match(faultOf(readKeySet(known)), /published/)
  })

  it('of RSA has an exponent that costs verifiers little and forgers much', async () => {
    const jwk = await exportJWK(RSA.publicKey)
    for (const e of [Buffer.from([1]), Buffer.alloc(200, 0xff), Buffer.from('0100000001', 'hex')])
      assert.match(faultOf(readKeySet(JSON.stringify({ keys: [{ ...jwk, e: e.toString('base64url') }] }))), /exponent/)
  })

  it('is tried by a token beside three others of its kind at most, so more without names are refused', async () => {
    const others = Array.from({ length: 3 }, () => generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey)
    const pem = [RSA.publicKey, ...others, EC.publicKey].map(pemOf).join('')
    const token = await tokenOf({ key: EC.privateKey, header: { alg: 'ES256' } })
    assert.equal(await verdict(token, RULES, keysOf(readPublicKeys(pem))), 'ok')
    assert.match(faultOf(readPublicKeys(pemOf(others[0]!) + pem)), /more than 4 keys of one kind/)
  })

  it('that is shared has to be long and not to be guessed', async () => {
    assert.match(faultOf(readSharedSecret(Buffer.from('secret'))), /32 to 4096 random bytes/)
    assert.match(faultOf(readSharedSecret(Buffer.alloc(64, 'a'))), /guessed/)
    assert.match(faultOf(readSharedSecret(Buffer.from('a-string-secret-at-least-256-bits-long'))), /published/)
    const secret = randomBytes(40)
    const keys = keysOf(readSharedSecret(secret))
    assert.deepEqual(keys[0]!.algorithms, ['HS256'])
    const rules = { ...RULES, algorithms: ['HS256'] }
    assert.equal(await verdict(await tokenOf({ key: secret, header: { alg: 'HS256' } }), rules, keys), 'ok')
    assert.equal(
      await verdict(await tokenOf({ key: randomBytes(40), header: { alg: 'HS256' } }), rules, keys),
      'signature',
    )
  })
})
