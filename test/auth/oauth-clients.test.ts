import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { fitsClientSecret, parseClientSecret, writeClientSecret } from '../../src/auth/client-secret.ts'
import { OAuthClients, parseOAuthClients, writeOAuthClients } from '../../src/auth/oauth-clients.ts'
import { EC, ED } from './tokens.ts'

const HASH = writeClientSecret('a long random secret')
const BASE = { client_secret_hashes: [HASH], audience: 'orders' }
const jwks = (key = EC) => ({ keys: [key.publicKey.export({ format: 'jwk' })] })
const BEARER = 'urn:ietf:params:oauth:grant-type:jwt-bearer'

const parse = (clients: Readonly<Record<string, unknown>>) =>
  parseOAuthClients(
    Object.entries(clients).map(([id, one]) => [id, typeof one === 'string' ? one : JSON.stringify(one)]),
  )

function faultOf(client: unknown): string {
  const read = parse({ shop: client })
  return 'fault' in read ? read.fault : 'none'
}

describe('clients of a token issuer', () => {
  it('are read as a Secret lists them, in whatever order, and come to workers as they are', () => {
    const read = parse({
      b: { ...BASE, scope: 'orders:read  orders:write', audience: ['orders', 'billing'], introspect: true },
      a: {
        jwks: jwks(),
        audience: 'x',
        grant_types: ['refresh_token', BEARER],
        assertion_issuers: [{ issuer: 'https://id.example/', jwks: jwks(ED) }],
      },
    })
    assert.ok(!('fault' in read), JSON.stringify(read))
    const clients = new OAuthClients(writeOAuthClients(read))
    const b = clients.get('b')!
    assert.deepEqual(
      [b.id, b.scopes, b.audiences, b.grantTypes, b.introspects, b.secrets.length, b.keys.length],
      ['b', ['orders:read', 'orders:write'], ['orders', 'billing'], ['client_credentials'], true, 1, 0],
    )
    const a = clients.get('a')!
    assert.deepEqual([a.keys[0]?.algorithms, a.assertionIssuers[0]?.keys[0]?.algorithms], [['ES256'], ['EdDSA']])
    assert.deepEqual([clients.get('c'), clients.has('c'), clients.has('a')], [undefined, false, true])
    for (const name of ['constructor', '__proto__', 'toString']) assert.equal(clients.get(name), undefined)
  })

  it('are refused where something of them is wrong, without a part of a secret in the message', () => {
    const secret = 'not-a-hash-but-the-secret'
    const cases: readonly (readonly [unknown, RegExp])[] = [
      ['{', /is no JSON object/],
      ['{"audience":"a","audience":"b"}', /members are there once/],
      [{ ...BASE, client_secret: secret }, /has "client_secret", which is none of/],
      [{ ...BASE, client_secret_hashes: [secret] }, /is not sha256:/],
      [{ ...BASE, client_secret_hashes: [writeClientSecret('changeme')] }, /everybody tries first/],
      [{ ...BASE, client_secret_hashes: [`${HASH} expires=2027-02-31T99:00:00Z`] }, /does not exist/],
      [{ ...BASE, client_secret_hashes: Array(5).fill(HASH) }, /at most 4/],
      [{ audience: 'orders' }, /cannot prove who it is/],
      [{ client_secret_hashes: [HASH] }, /has no audience/],
      [{ ...BASE, audience: [] }, /has no audience/],
      [{ ...BASE, audience: ['a b'] }, /has no audience/],
      [{ ...BASE, scope: 'a"b' }, /has no scope/],
      [{ ...BASE, scope: ['a'] }, /has no scope/],
      [{ ...BASE, grant_types: ['password'] }, /grant_types/],
      [{ ...BASE, grant_types: [BEARER] }, /state both or neither/],
      [{ ...BASE, assertion_issuers: [{ issuer: 'https://id.example/', jwks: jwks() }] }, /state both or neither/],
      [{ ...BASE, assertion_issuers: [{ issuer: 'http://id.example/', jwks: jwks() }] }, /https URL/],
      [{ ...BASE, introspect: 'yes' }, /neither true nor false/],
      [{ ...BASE, jwks: 'x' }, /no JSON Web Key Set/],
      [{ ...BASE, jwks: { keys: [EC.privateKey.export({ format: 'jwk' })] } }, /private or shared key/],
      [{ ...BASE, jwks: { keys: Array(9).fill(jwks().keys[0]) } }, /more than 8 keys/],
      [{ ...BASE, jwks: { keys: [] } }, /none of its keys/],
    ]
    for (const [client, message] of cases) {
      const fault = faultOf(client)
      assert.match(fault, message)
      assert.ok(!fault.includes(secret), fault)
    }
    assert.ok('fault' in parse({}))
  })

  it('are bounded in number, and in keys that have to be read', () => {
    const many = Object.fromEntries(Array.from({ length: 2_001 }, (_, i) => [`c${i}`, BASE]))
    assert.match((parse(many) as { fault: string }).fault, /more than 2000 clients/)
    const keyed = Object.fromEntries(Array.from({ length: 257 }, (_, i) => [`c${i}`, { audience: 'a', jwks: jwks() }]))
    assert.match((parse(keyed) as { fault: string }).fault, /more than 256 keys/)
  })
})

describe('the secret of a client', () => {
  it('fits any that is stored and has not expired', () => {
    const secrets = [`${writeClientSecret('one')} expires=2027-01-31T00:00:00Z`, writeClientSecret('two')].map(
      (text) => {
        const secret = parseClientSecret(text)
        assert.ok(typeof secret !== 'string')
        return secret
      },
    )
    const now = Date.parse('2026-12-01T00:00:00Z')
    assert.deepEqual(
      ['one', 'two', 'three', ''].map((given) => fitsClientSecret(given, secrets, now)),
      [true, true, false, false],
    )
    assert.equal(fitsClientSecret('one', secrets, Date.parse('2027-01-31T00:00:00Z')), false)
    assert.equal(fitsClientSecret('one', [], now), false)
  })
})
