import assert from 'node:assert/strict'
import { generateKeyPairSync, randomBytes } from 'node:crypto'
import { describe, it } from 'node:test'
import { digestOf, parseApiKeys, writeApiKeys } from '../../src/auth/api-keys.ts'
import type { LocalResponse } from '../../src/message/local-response.ts'
import { AMBIENT_CREDENTIAL, CLAIMS, CONSUMER } from '../../src/policy/attribute.ts'
import { auth } from '../../src/policy/auth/policy.ts'
import type { Filter } from '../../src/policy/filter.ts'
import { AUDIENCE, ED, ISSUER, now, pemOf, RSA, tokenOf } from '../auth/tokens.ts'
import { PLAIN, pairs, type TestDeps, TestExchange, testDeps } from './exchange.ts'

const KEYS = 'Secret shop/keys public.pem headgate.dev/jwt-key'
const JWT = { issuer: ISSUER, audiences: [AUDIENCE], keys: { publicKeySecretName: 'keys' } }

interface Rig {
  readonly filter: Filter
  readonly deps: TestDeps
}

function rig(value: object, clock = { wall: () => Date.now(), monotonic: () => performance.now() }): Rig {
  const deps = { ...testDeps(), clock }
  deps.contentsById.set(KEYS, Buffer.from(pemOf(RSA.publicKey)))
  const plan = auth.plan(value, 'shop')
  assert.ok(plan !== undefined)
  assert.deepEqual(structuredClone(plan), plan)
  return { filter: auth.create(plan, deps, PLAIN)!, deps }
}

interface Result {
  readonly x: TestExchange
  readonly status: number
  readonly reason: string | undefined
  readonly detail: string | undefined
  readonly challenge: string | undefined
  readonly body: string
}

async function ask({ filter }: Rig, request: Readonly<Record<string, string>> | TestExchange = {}): Promise<Result> {
  const x = request instanceof TestExchange ? request : new TestExchange({}, request)
  const decision = await filter.onRequest!(x)
  const response: LocalResponse | undefined = decision?.response
  return {
    x,
    status: response?.status ?? 200,
    reason: response?.reason,
    detail: response?.detail,
    challenge: response?.fields.get('www-authenticate'),
    body: response?.body instanceof Uint8Array ? Buffer.from(response.body).toString() : '',
  }
}

/** A signature by it is verified in a thread of the pool, and waited for. */
const ES384 = generateKeyPairSync('ec', { namedCurve: 'P-384' })
const SLOW = { ...JWT, algorithms: ['ES384', 'EdDSA'] }
const slowToken = () => tokenOf({ key: ES384.privateKey, header: { alg: 'ES384' } })

const bearer = (token: string) => ({ authorization: `Bearer ${token}` })

describe('auth by tokens', () => {
  it('tells the access log why a token is not good, and the client no more than that it is not', async () => {
    const gate = rig({ jwt: JWT })
    for (const [token, detail] of [
      [await tokenOf({ claims: { iss: 'https://evil.example/' } }), /^iss of the token/],
      [await tokenOf({ claims: { aud: 'others' } }), /^aud of the token/],
      [await tokenOf({ claims: { exp: now() - 60 } }), /^exp of the token is past/],
      [await tokenOf({ claims: { nbf: now() + 60 } }), /^nbf or iat/],
      [`${(await tokenOf()).slice(0, -9)}AAAAAAAAA`, /signature/],
      ['x', /^it is no token/],
    ] as const) {
      const refused = await ask(gate, bearer(token))
      assert.equal(refused.status, 401)
      assert.match(refused.detail ?? '', detail)
      assert.doesNotMatch(`${refused.body} ${refused.challenge}`, detail)
      assert.ok(!refused.detail!.includes(token))
    }
  })

  it('lets nobody pass without a good token, and says in a challenge what is wanted', async () => {
    const gate = rig({ jwt: JWT })
    const realm = 'Bearer realm="shop.example.com"'
    const missing = await ask(gate)
    assert.deepEqual([missing.status, missing.reason, missing.challenge], [401, 'CredentialMissing', realm])
    for (const [fields, reason] of [
      [bearer('x'), 'CredentialInvalid'],
      [bearer(''), 'CredentialInvalid'],
      [{ authorization: 'Bearer' }, 'CredentialInvalid'],
      [bearer(`${await tokenOf()},${await tokenOf()}`), 'CredentialInvalid'],
      [bearer(await tokenOf({ key: ED.privateKey, header: { alg: 'EdDSA' } })), 'CredentialInvalid'],
      [bearer(await tokenOf({ claims: { exp: now() - 60 } })), 'CredentialExpired'],
    ] as const) {
      const { status, reason: found, challenge } = await ask(gate, fields)
      assert.deepEqual(
        [status, found, challenge],
        [401, reason, `${realm}, error="invalid_token"`],
        fields.authorization,
      )
    }
    const basic = await ask(gate, { authorization: 'Basic YTpi' })
    assert.deepEqual([basic.status, basic.reason], [401, 'CredentialMissing'])
  })

  it('hands on who it is, and neither the token nor what a client says about itself', async () => {
    const gate = rig({
      jwt: {
        ...JWT,
        claimsToHeaders: [
          { claim: 'sub', header: 'x-user' },
          { claim: 'org.name', header: 'x-org' },
        ],
      },
    })
    const fields = { ...bearer(await tokenOf()), 'x-user': 'root', x_user: 'root', x_org: 'evil', accept: '*/*' }
    const { x, status } = await ask(gate, fields)
    assert.equal(status, 200)
    assert.deepEqual(pairs(x.request), [
      ['accept', '*/*'],
      ['x-user', 'alice'],
    ])
    assert.equal(x.get(CLAIMS)?.sub, 'alice')
    assert.equal(x.get(AMBIENT_CREDENTIAL), undefined)
    const strange = await tokenOf({ claims: { sub: 'a\r\nx-admin: 1', org: { name: 'Ünïon' } } })
    const second = await ask(gate, bearer(strange))
    // What a field cannot hold as it is would be the name of somebody else.
    assert.deepEqual(pairs(second.x.request), [['x-org', Buffer.from('Ünïon').toString('latin1')]])
    // Also of a request that is refused nothing stays that a filter behind could read.
    const refused = await ask(gate, { 'x-user': 'root' })
    assert.deepEqual(pairs(refused.x.request), [])
  })

  it('looks where it is told to, and takes two tokens for none', async () => {
    const from = [
      { header: 'Authorization', scheme: 'bearer' },
      { header: 'X-Token' },
      { cookie: 'session' },
      { query: 'access_token' },
    ]
    const gate = rig({ jwt: { ...JWT, from } })
    const token = await tokenOf()
    const cookie = await ask(gate, { cookie: `a=1; session=${token}; b=2` })
    assert.deepEqual(pairs(cookie.x.request), [['cookie', 'a=1; b=2']])
    assert.equal(cookie.x.get(AMBIENT_CREDENTIAL), true)
    const only = await ask(gate, { cookie: `session=${token}` })
    assert.deepEqual(pairs(only.x.request), [])
    const query = await ask(gate, new TestExchange({ query: `q=1&access%5Ftoken=${token}&z` }))
    assert.deepEqual([query.status, query.x.query], [200, 'q=1&z'])
    const whole = await ask(gate, new TestExchange({ query: `access_token=${token}` }))
    assert.deepEqual([whole.status, whole.x.query], [200, undefined])
    assert.equal((await ask(gate, { 'x-token': token })).status, 200)
    for (const x of [
      new TestExchange({}, { ...bearer(token), cookie: `session=${token}` }),
      new TestExchange({}, { cookie: `session=${token}; session=x` }),
      new TestExchange({}, { cookie: `session=${token}; session =x` }),
      new TestExchange({ query: `access_token=${token}&access_token=` }),
      new TestExchange({ query: `access_token=${token}` }, { 'x-token': 'x' }),
    ]) {
      const { status, reason, challenge } = await ask(gate, x)
      assert.deepEqual([status, reason], [400, 'CredentialAmbiguous'])
      assert.match(challenge!, /error="invalid_request"$/)
    }
    const twice = new TestExchange({}, bearer(token))
    twice.request.add('authorization', 'Basic YTpi')
    assert.equal((await ask(gate, twice)).status, 400)
  })

  it('keeps the token where it is told to', async () => {
    const token = await tokenOf()
    const { x } = await ask(rig({ jwt: { ...JWT, keepToken: true } }), bearer(token))
    assert.deepEqual(pairs(x.request), [['authorization', `Bearer ${token}`]])
    // A server that reads `_` as `-` would see two.
    const named = rig({ jwt: { ...JWT, keepToken: true, from: [{ header: 'x-token' }] } })
    const spelt = await ask(named, { x_token: 'forged', 'x-token': token, accept: '*/*' })
    assert.deepEqual(pairs(spelt.x.request), [
      ['accept', '*/*'],
      ['x-token', token],
    ])
  })

  it('does not wait for a verification with keys that have been withdrawn meanwhile', async () => {
    const gate = rig({ jwt: SLOW })
    gate.deps.contentsById.set(KEYS, Buffer.from(pemOf(ES384.publicKey)))
    const token = bearer(await slowToken())
    const before = ask(gate, token)
    gate.deps.contentsById.set(KEYS, Buffer.from(pemOf(ED.publicKey)))
    const after = ask(gate, token)
    assert.deepEqual([(await before).status, (await after).status, (await ask(gate, token)).status], [200, 401, 401])
  })

  it('verifies a token once, and again after the keys are others, never past its time', async () => {
    let wall = Date.now()
    let verified = 0
    const gate = rig({ jwt: SLOW }, { wall: () => wall, monotonic: () => wall })
    gate.deps.contentsById.set(KEYS, Buffer.from(pemOf(ES384.publicKey)))
    const token = bearer(await slowToken())
    const judge = async () => {
      const decision = gate.filter.onRequest!(new TestExchange({}, token))
      if (decision instanceof Promise) verified++
      return (await decision)?.response.reason
    }
    // Requests at the same time wait for one verification.
    assert.deepEqual(await Promise.all([judge(), judge(), judge()]), [undefined, undefined, undefined])
    verified = 0
    assert.equal(await judge(), undefined)
    assert.equal(verified, 0)
    gate.deps.contentsById.set(KEYS, Buffer.from(pemOf(ED.publicKey) + pemOf(ES384.publicKey)))
    assert.deepEqual([await judge(), await judge(), verified], [undefined, undefined, 1])
    gate.deps.contentsById.set(KEYS, Buffer.from(pemOf(ED.publicKey)))
    assert.equal(await judge(), 'CredentialInvalid')
    gate.deps.contentsById.set(KEYS, Buffer.from(pemOf(ES384.publicKey)))
    assert.equal(await judge(), undefined)
    wall += 320_000
    assert.equal(await judge(), undefined)
    wall += 11_000
    assert.equal(await judge(), 'CredentialExpired')
  })

  it('makes no promise for keys that are quick, whether a token is known or not', async () => {
    const gate = rig({ jwt: JWT })
    const token = bearer(await tokenOf())
    for (const fields of [token, token, bearer(`${await tokenOf()}A`), bearer(await slowToken()), {}])
      assert.ok(!(gate.filter.onRequest!(new TestExchange({}, fields)) instanceof Promise))
  })

  it('is closed while the keys are missing or cannot be used', async () => {
    const gate = rig({ jwt: JWT })
    const token = bearer(await tokenOf())
    assert.equal((await ask(gate, token)).status, 200)
    for (const bytes of [undefined, Buffer.alloc(0), Buffer.from('<html>')]) {
      if (bytes === undefined) gate.deps.contentsById.delete(KEYS)
      else gate.deps.contentsById.set(KEYS, bytes)
      const { status, reason, challenge } = await ask(gate, token)
      assert.deepEqual([status, reason, challenge], [503, 'AuthUnavailable', undefined])
    }
    assert.equal((await ask(gate)).status, 401)
  })

  it('shares nothing that was verified between rules that verify otherwise', async () => {
    const token = await tokenOf()
    const deps = { ...testDeps(), clock: { wall: () => Date.now(), monotonic: () => performance.now() } }
    deps.contentsById.set(KEYS, Buffer.from(pemOf(RSA.publicKey)))
    deps.contentsById.set('Secret other/keys public.pem headgate.dev/jwt-key', Buffer.from(pemOf(ED.publicKey)))
    const statusOf = async (value: object, namespace: string) => {
      const filter = auth.create(auth.plan(value, namespace)!, deps, PLAIN)!
      return (await filter.onRequest!(new TestExchange({}, bearer(token))))?.response.status ?? 200
    }
    assert.equal(await statusOf({ jwt: JWT }, 'shop'), 200)
    assert.equal(await statusOf({ jwt: JWT }, 'other'), 401)
    assert.equal(await statusOf({ jwt: { ...JWT, audiences: ['else'] } }, 'shop'), 401)
    assert.equal(await statusOf({ jwt: { ...JWT, algorithms: ['ES256'] } }, 'shop'), 401)
    assert.equal(await statusOf({ jwt: { ...JWT, issuer: 'https://else.example/' } }, 'shop'), 401)
    assert.equal(await statusOf({ jwt: { ...JWT, claimsToHeaders: [] } }, 'shop'), 200)
  })

  it('of several issuers is asked of the one that the token names, and never of the next', async () => {
    const second = { ...JWT, issuer: 'https://second.example/', keys: { sharedSecretName: 'second' } }
    const gate = rig({ anyOf: [{ jwt: JWT }, { jwt: second }] })
    const secret = randomBytes(32)
    gate.deps.contentsById.set('Secret shop/second secret headgate.dev/jwt-key', secret)
    const of = async (iss: string, key: typeof RSA.privateKey | Uint8Array, alg: string) =>
      (await ask(gate, bearer(await tokenOf({ key, header: { alg }, claims: { iss } })))).status
    assert.equal(await of(ISSUER, RSA.privateKey, 'RS256'), 200)
    assert.equal(await of(second.issuer, secret, 'HS256'), 200)
    assert.equal(await of(second.issuer, RSA.privateKey, 'RS256'), 401)
    assert.equal(await of(ISSUER, secret, 'HS256'), 401)
    assert.equal(await of('https://third.example/', RSA.privateKey, 'RS256'), 401)
    assert.equal((await ask(gate)).status, 401)
  })

  it('may be left out where that is said, but not be wrong', async () => {
    const gate = rig({
      anyOf: [{ jwt: { ...JWT, claimsToHeaders: [{ claim: 'sub', header: 'x-user' }] } }, { anonymous: {} }],
    })
    const { status, x } = await ask(gate, { 'x-user': 'root' })
    assert.deepEqual([status, pairs(x.request)], [200, []])
    assert.equal((await ask(gate, bearer('x'))).status, 401)
    assert.equal(auth.plan({ anonymous: {} }, 'shop'), undefined)
  })
})

describe('auth by API keys', () => {
  const ID = 'Secret shop/clients * headgate.dev/api-keys'
  const apiKey = { secretName: 'clients', from: [{ header: 'X-Api-Key' }, { query: 'key' }] }
  const listed = (lines: Readonly<Record<string, string>>) => {
    const keys = parseApiKeys(Object.entries(lines))
    assert.ok(keys instanceof Map, JSON.stringify(keys))
    return Buffer.from(writeApiKeys(keys))
  }
  const line = (key: string, more = '') => `sha256:${digestOf(key)} ${more}\n`

  it('knows a consumer by any of its keys, until they expire or are taken out', async () => {
    let wall = Date.parse('2027-01-01T00:00:00Z')
    const gate = rig({ apiKey }, { wall: () => wall, monotonic: () => wall })
    const billing = `# old and new\n${line('key-1', 'expires=2027-01-02T00:00:00Z')}${line('key-2', 'tier=gold team=a')}`
    gate.deps.contentsById.set(ID, listed({ billing, shop: line('key-3') }))
    const first = await ask(gate, { 'x-api-key': 'key-1', accept: '*/*' })
    assert.deepEqual([first.status, first.x.get(CONSUMER)], [200, 'billing'])
    assert.deepEqual(pairs(first.x.request), [['accept', '*/*']])
    const second = await ask(gate, new TestExchange({ query: 'a=1&key=key-2' }))
    assert.deepEqual(
      [second.status, second.x.query, { ...second.x.get(CLAIMS) }],
      [200, 'a=1', { tier: 'gold', team: 'a' }],
    )
    assert.equal((await ask(gate, { 'x-api-key': 'key-3' })).x.get(CONSUMER), 'shop')
    for (const key of ['', 'key-4', 'KEY-1', digestOf('key-1'), `sha256:${digestOf('key-1')}`, 'k'.repeat(5_000)]) {
      const { status, reason, challenge } = await ask(gate, { 'x-api-key': key })
      assert.deepEqual([status, reason, challenge], [401, 'CredentialInvalid', 'ApiKey realm="shop.example.com"'], key)
    }
    wall += 86_400_000
    assert.equal((await ask(gate, { 'x-api-key': 'key-1' })).reason, 'CredentialExpired')
    assert.equal((await ask(gate, { 'x-api-key': 'key-2' })).status, 200)
    gate.deps.contentsById.set(ID, listed({ shop: line('key-3') }))
    assert.equal((await ask(gate, { 'x-api-key': 'key-2' })).status, 401)
    gate.deps.contentsById.delete(ID)
    assert.equal((await ask(gate, { 'x-api-key': 'key-3' })).status, 503)
  })

  it('stands beside tokens, each with its challenge, and one of them is enough', async () => {
    const gate = rig({
      anyOf: [{ jwt: JWT }, { apiKey: { ...apiKey, from: [{ header: 'authorization', scheme: 'Bearer' }] } }],
    })
    gate.deps.contentsById.set(ID, listed({ shop: line('key-3') }))
    assert.equal((await ask(gate, bearer('key-3'))).x.get(CONSUMER), 'shop')
    assert.equal((await ask(gate, bearer(await tokenOf()))).x.get(CLAIMS)?.sub, 'alice')
    assert.equal((await ask(gate, bearer(await tokenOf({ claims: { exp: now() - 60 } })))).reason, 'CredentialExpired')
    assert.equal((await ask(gate, bearer(await tokenOf({ claims: { iss: 'else' } })))).reason, 'CredentialInvalid')
    const other = rig({ anyOf: [{ jwt: JWT }, { apiKey }] })
    const { x, challenge, status } = await ask(other)
    assert.deepEqual([status, challenge], [401, 'Bearer realm="shop.example.com"'])
    assert.equal(x.ended, false)
    const both = await ask(other, { ...bearer('x'), 'x-api-key': 'y' })
    assert.equal(both.reason, 'CredentialAmbiguous')
  })

  it('are lists of digests, and nothing else is taken for one', () => {
    const faultOf = (text: string) => {
      const read = parseApiKeys([['shop', text]])
      assert.ok('fault' in read, text)
      return String(read.fault)
    }
    assert.match(faultOf('my-secret-key'), /line 1 of shop does not begin with sha256: .*never the key/)
    for (const text of ['my-secret-key', line('a', 'my-secret-key')])
      assert.doesNotMatch(faultOf(text), /my-secret/, 'conditions and logs tell it to others')
    assert.match(faultOf(`\n${line('changeme')}`), /line 2 of shop is the digest of a key that everybody tries/)
    assert.match(faultOf(line('a') + line('a')), /line 2 of shop is a key that is listed twice/)
    for (const more of ['expires=tomorrow', 'expires=2027-01-01T00:00:00', 'expires=2027-13-01T00:00:00Z'])
      assert.match(faultOf(line('a', more)), /no time in expires/, more)
    for (const more of ['x', 'a=1 a=2', '=', '__proto__=1', `a=${'v'.repeat(300)}`])
      assert.match(faultOf(line('a', more)), /no label=value/, more)
    const many = Array.from({ length: 10_001 }, (_, i) => line(`k${i}`)).join('')
    assert.match(faultOf(many), /more than 10000 keys/)
  })
})

describe('auth that is stated', () => {
  const problems = (jwt: object, place: 'Route' | 'Settings' = 'Route') =>
    auth.check!({ anyOf: [{ anonymous: {} }, { jwt: { ...JWT, ...jwt } }] }, place).map(({ path }) => path.join('.'))

  it('goes with the keys it names, and with headers that are free', () => {
    const at = 'anyOf.1.jwt'
    assert.deepEqual(problems({}), [])
    assert.deepEqual(problems({ algorithms: ['RS256', 'HS256'] }), [`${at}.algorithms.1`])
    assert.deepEqual(problems({ algorithms: ['RS256'], keys: { sharedSecretName: 'a' } }), [`${at}.algorithms.0`])
    assert.deepEqual(problems({ algorithms: ['HS256'], keys: { sharedSecretName: 'a' } }), [])
    const claims = (header: string, claim = 'sub') => ({ claimsToHeaders: [{ claim, header }] })
    for (const header of ['host', 'x-forwarded-for', 'content_length'])
      assert.deepEqual(problems(claims(header)), [`${at}.claimsToHeaders.0.header`], header)
    assert.deepEqual(problems({ from: [{ header: 'X_Token' }], ...claims('x-token') }), [
      `${at}.claimsToHeaders.0.header`,
    ])
    assert.deepEqual(problems(claims('x-a', 'a}%{b')), [`${at}.claimsToHeaders.0.claim`])
    assert.deepEqual(problems({}, 'Settings'), [`${at}.keys`])
  })

  it('refers to its Secrets by type, whatever stands there', () => {
    const found = [...auth.references!.find({ anyOf: [{ jwt: { keys: { jwksSecretName: 'set' } } }, { jwt: JWT }] })]
    assert.deepEqual(
      found.map(({ name, key, type }) => [name, key, type]),
      [
        ['set', 'jwks.json', 'headgate.dev/jwks'],
        ['keys', 'public.pem', 'headgate.dev/jwt-key'],
      ],
    )
    for (const junk of [
      null,
      1,
      [],
      { jwt: null },
      { anyOf: 1 },
      { anyOf: [null] },
      { jwt: { keys: { jwksSecretName: 1 } } },
    ])
      assert.deepEqual([...auth.references!.find(junk)], [])
  })
})
