import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import { describe, it } from 'node:test'
import { createLocalJWKSet, decodeProtectedHeader, jwtVerify } from 'jose'
import { REFRESH_GRACE } from '../../../src/policy/token-issuer/token-endpoint.ts'
import { EC, ED, RSA } from '../../auth/tokens.ts'
import {
  ASSERTION_TYPE,
  assertion,
  BEARER_GRANT,
  CLIENTS,
  ISSUER,
  PARTNER,
  partnerAssertion,
  type Rig,
  rig,
  SECRET,
} from './rig.ts'

const CREDENTIALS = { grant_type: 'client_credentials', audience: 'orders' }

async function verified(gate: Rig, token: unknown) {
  const { json } = await gate.ask('/oauth2/jwks')
  const { payload } = await jwtVerify(String(token), createLocalJWKSet(json as never), {
    ...{ issuer: ISSUER, typ: 'at+jwt', currentDate: new Date(gate.now) },
  })
  return payload
}

const refreshWith = (gate: Rig, token: unknown, client = 'billing', more = {}) =>
  gate.post('token', { grant_type: 'refresh_token', refresh_token: String(token), ...more }, client)

describe('the token endpoint', () => {
  it('gives a client a token that its published keys verify, for what it may have', async () => {
    const gate = rig()
    const { status, json, response, consumer } = await gate.post('token', CREDENTIALS, 'billing')
    assert.equal(status, 200)
    assert.equal(response.fields.get('cache-control'), 'no-store')
    assert.equal(response.fields.get('content-type'), 'application/json')
    assert.equal(consumer, 'billing')
    assert.deepEqual([json.token_type, json.expires_in, json.scope], ['Bearer', 600, 'orders:read orders:write'])
    const claims = await verified(gate, json.access_token)
    const { iss, sub, aud, client_id, scope, exp, iat } = claims
    assert.deepEqual(
      [iss, sub, aud, client_id, scope],
      [ISSUER, 'billing', 'orders', 'billing', 'orders:read orders:write'],
    )
    assert.equal(exp! - iat!, 600)
    assert.equal(typeof claims.jti, 'string')
  })

  it('grants less where less is asked for, and nothing that a client may not have', async () => {
    const gate = rig()
    const less = await gate.post('token', { ...CREDENTIALS, scope: 'orders:read' }, 'billing')
    assert.equal(less.json.scope, 'orders:read')
    assert.equal((await verified(gate, less.json.access_token)).scope, 'orders:read')
    const both = new URLSearchParams(CREDENTIALS)
    both.append('resource', 'https://billing.example/')
    assert.deepEqual((await verified(gate, (await gate.post('token', both, 'billing')).json.access_token)).aud, [
      'orders',
      'https://billing.example/',
    ])
    for (const [form, error] of [
      [{ ...CREDENTIALS, scope: 'orders:read admin' }, 'invalid_scope'],
      [{ ...CREDENTIALS, audience: 'others' }, 'invalid_target'],
      [{ grant_type: 'client_credentials' }, 'invalid_target'],
      [{ grant_type: 'password', username: 'a', password: 'b' }, 'unsupported_grant_type'],
      [{ grant_type: 'constructor' }, 'unsupported_grant_type'],
      [{ grant_type: BEARER_GRANT, assertion: 'x' }, 'unauthorized_client'],
      [{}, 'invalid_request'],
      [{ grant_type: 'refresh_token' }, 'invalid_request'],
    ] as const) {
      const refused = await gate.post('token', form, 'billing')
      assert.deepEqual([refused.status, refused.json.error], [400, error], JSON.stringify(form))
      assert.equal(refused.response.reason, 'TokenRequestRefused')
      assert.equal(refused.response.verbatim, true)
    }
  })

  it('knows a client by its secret alone, in the header or in the body, and says the same of all that it does not', async () => {
    const gate = rig()
    const form = { ...CREDENTIALS, client_id: 'billing', client_secret: SECRET }
    assert.equal((await gate.post('token', form)).status, 200)
    const bodies = new Set<string>()
    for (const wrong of [
      { ...form, client_secret: `${SECRET}x` },
      { ...form, client_id: 'nobody' },
      { ...form, client_id: '__proto__' },
      { ...form, client_id: 'x'.repeat(1_000) },
      { ...form, client_secret: 'x'.repeat(2_000) },
      { ...form, client_id: 'robot' },
      CREDENTIALS,
    ]) {
      const refused = await gate.post('token', wrong)
      assert.deepEqual([refused.status, refused.json.error], [401, 'invalid_client'])
      assert.equal(refused.response.reason, 'CredentialInvalid')
      assert.match(refused.response.fields.get('www-authenticate') ?? '', /^Basic realm="shop.example.com"/)
      assert.ok(!JSON.stringify(refused).includes(SECRET))
      bodies.add(JSON.stringify(refused.json))
    }
    assert.equal(bodies.size, 1)
    const twice = await gate.post('token', form, 'billing')
    assert.deepEqual([twice.status, twice.json.error], [400, 'invalid_request'])
    const another = await gate.post('token', { ...CREDENTIALS, client_id: 'other' }, 'billing')
    assert.equal(another.json.error, 'invalid_client')
  })

  it('refuses what is no form, has a parameter twice, or has parameters in the query', async () => {
    const gate = rig()
    const ask = (text: string, fields: object = {}, more = {}) =>
      gate.ask('/oauth2/token', { method: 'POST', body: Buffer.from(text), ...more } as object, {
        'content-type': 'application/x-www-form-urlencoded; charset=utf-8',
        ...fields,
      })
    const form = `grant_type=client_credentials&audience=orders&client_id=billing&client_secret=${encodeURIComponent(SECRET)}`
    assert.equal((await ask(form)).status, 200)
    for (const [text, fields, more] of [
      [`${form}&grant_type=client_credentials`, {}, {}],
      [`${form}&client_secret=x`, {}, {}],
      [`${form}&gr%61nt_type=refresh_token`, {}, {}],
      [form, { 'content-type': 'application/json' }, {}],
      [form, { 'content-type': 'application/x-www-form-urlencodedx' }, {}],
      [form, {}, { query: 'client_id=billing' }],
      [`${form}&a=1`.repeat(40), {}, {}],
    ] as const) {
      const { status, json } = await ask(text, fields, more)
      assert.deepEqual([status, json.error], [400, 'invalid_request'], text.slice(0, 40))
    }
    await assert.rejects(ask('a'.repeat(60_000)), /BodyTooLarge|too large/)
  })

  it('says temporarily_unavailable while a Secret is missing, and decides nothing', async () => {
    for (const content of ['keys * headgate.dev/signing-keys', 'clients * headgate.dev/oauth-clients']) {
      const gate = rig()
      gate.deps.contentsById.delete(`Secret shop/${content}`)
      const { status, json, response } = await gate.post('token', CREDENTIALS, 'billing')
      assert.deepEqual([status, json.error, response.reason], [503, 'temporarily_unavailable', 'AuthUnavailable'])
      assert.equal(response.fields.get('retry-after'), '1')
    }
  })

  it('has its newest key sign, and goes on verifying what the others have signed', async () => {
    const gate = rig()
    const old = (await gate.post('token', CREDENTIALS, 'billing')).json.access_token
    gate.useKeys({ 'a.pem': EC.privateKey, 'b.pem': ED.privateKey, '20990101T000000Z.pem': RSA.privateKey })
    const fresh = (await gate.post('token', CREDENTIALS, 'billing')).json.access_token
    assert.equal(decodeProtectedHeader(String(fresh)).alg, 'EdDSA')
    await verified(gate, old)
    await verified(gate, fresh)
    gate.useKeys({ 'b.pem': ED.privateKey })
    await assert.rejects(verified(gate, old))
  })
})

describe('a client that proves itself by an assertion', () => {
  const ask = async (gate: Rig, text: string, more = {}) =>
    gate.post('token', {
      ...{ grant_type: 'client_credentials', client_assertion_type: ASSERTION_TYPE, client_assertion: text },
      ...more,
    })

  it('gets a token for it once', async () => {
    const gate = rig()
    const text = await assertion(gate)
    assert.equal((await ask(gate, text)).status, 200)
    const again = await ask(gate, text)
    assert.deepEqual([again.status, again.json.error], [401, 'invalid_client'])
    assert.match(again.response.detail ?? '', /sent again/)
    assert.equal((await ask(gate, await assertion(gate, { claims: { aud: [`${ISSUER}/token`] } }))).status, 200)
    const results = await Promise.all(
      Array(20)
        .fill(await assertion(gate))
        .map((one: string) => ask(gate, one)),
    )
    assert.equal(results.filter(({ status }) => status === 200).length, 1)
  })

  it('gets none for one that is forged, for others, old, too long, without an id, or a token of another kind', async () => {
    const gate = rig()
    const seconds = Math.floor(gate.now / 1_000)
    const token = (await gate.post('token', CREDENTIALS, 'billing')).json.access_token as string
    const cases = [
      await assertion(gate, { key: EC.privateKey, alg: 'ES256' }),
      await assertion(gate, { claims: { aud: 'https://others.example/' } }),
      await assertion(gate, { claims: { aud: [ISSUER, 'https://others.example/'] } }),
      await assertion(gate, { claims: { aud: undefined } }),
      await assertion(gate, { claims: { exp: seconds - 60 } }),
      await assertion(gate, { claims: { exp: seconds + 7_200 } }),
      await assertion(gate, { claims: { exp: undefined } }),
      await assertion(gate, { claims: { nbf: seconds + 300 } }),
      await assertion(gate, { claims: { jti: undefined } }),
      await assertion(gate, { claims: { jti: 'x'.repeat(1_000) } }),
      await assertion(gate, { claims: { sub: 'billing' } }),
      await assertion(gate, { claims: { sub: undefined } }),
      await assertion(gate, { claims: { iss: 'billing', sub: 'billing' } }),
      await assertion(gate, { claims: { iss: 'nobody', sub: 'nobody' } }),
      await assertion(gate, { header: { typ: 'at+jwt' } }),
      await assertion(gate, { header: { typ: 'logout+jwt' } }),
      await assertion(gate, { header: { kid: 'k2' } }),
      token,
      'x.y.z',
    ]
    for (const [i, text] of cases.entries()) {
      const { status, json } = await ask(gate, text)
      assert.deepEqual([status, json.error], [401, 'invalid_client'], `case ${i}`)
    }
    const other = await ask(gate, await assertion(gate), { client_id: 'billing' })
    assert.equal(other.json.error, 'invalid_client')
    const typed = await ask(gate, await assertion(gate), { client_assertion_type: 'x' })
    assert.equal(typed.json.error, 'invalid_request')
  })

  it('holds off the network that sends forged ones, and nobody else', async () => {
    const gate = rig()
    const good = await assertion(gate)
    const forged = `${good.slice(0, -8)}AAAAAAAA`
    const from = (clientAddress: string, text: string) => {
      const form = { grant_type: 'client_credentials', client_assertion_type: ASSERTION_TYPE, client_assertion: text }
      const given = { method: 'POST', clientAddress, body: Buffer.from(new URLSearchParams(form).toString()) }
      return gate.ask('/oauth2/token', given as object, { 'content-type': 'application/x-www-form-urlencoded' })
    }
    let sent = 1
    let last = await from('2001:db8::1', forged)
    for (; last.status === 401 && sent < 5_000; sent++) last = await from('2001:db8::1', forged)
    assert.deepEqual([last.status, last.response.reason, sent > 500], [429, 'TooManyAttempts', true])
    assert.ok(Number(last.response.fields.get('retry-after')) >= 1)
    // Of the same network, a good one has to wait as well.
    assert.equal((await from('2001:db8::2', good)).status, 429)
    assert.equal((await from('2001:db8:1::1', good)).status, 200)
    assert.equal((await gate.post('token', CREDENTIALS, 'billing')).status, 200)
  })

  it('keeps nobody else from tokens, however many are forged whose verification takes long', async () => {
    const gate = rig()
    const keys = [generateKeyPairSync('ec', { namedCurve: 'secp384r1' }).publicKey.export({ format: 'jwk' })]
    gate.useClients({ ...CLIENTS, robot: { jwks: { keys }, audience: 'orders' } })
    const { privateKey: key } = generateKeyPairSync('ec', { namedCurve: 'secp384r1' })
    const text = await assertion(gate, { key, alg: 'ES384' })
    const forged = Array.from({ length: 60 }, () => ask(gate, text))
    const own = gate.post('token', CREDENTIALS, 'billing')
    assert.equal((await own).status, 200)
    assert.deepEqual(new Set((await Promise.all(forged)).map(({ status }) => status)), new Set([401]))
  })

  it('is answered with 503 where nobody can tell whether it has come before', async () => {
    const gate = rig({ store: null })
    const { status, json } = await ask(gate, await assertion(gate))
    assert.deepEqual([status, json.error], [503, 'temporarily_unavailable'])
  })
})

describe('an assertion of an issuer that a client may present', () => {
  const ask = (gate: Rig, text: string, client = 'agent') =>
    gate.post('token', { grant_type: BEARER_GRANT, assertion: text }, client)

  it('is worth tokens for its subject, once', async () => {
    const gate = rig()
    const text = await partnerAssertion(gate)
    const { status, json } = await ask(gate, text)
    assert.equal(status, 200)
    const { sub, client_id, aud } = await verified(gate, json.access_token)
    assert.deepEqual([sub, client_id, aud], ['user-1', 'agent', 'orders'])
    const again = await ask(gate, text)
    assert.deepEqual([again.status, again.json.error], [400, 'invalid_grant'])
  })

  it('is worth nothing of another issuer, for another client, or where its subject is called like a client', async () => {
    const gate = rig()
    for (const text of [
      await partnerAssertion(gate, { iss: 'https://evil.example/' }),
      await partnerAssertion(gate, { sub: 'billing' }),
      await partnerAssertion(gate, { jti: undefined }),
      await assertion(gate, { claims: { iss: PARTNER, sub: 'user-1' } }),
      'x',
    ]) {
      const { status, json } = await ask(gate, text)
      assert.deepEqual([status, json.error], [400, 'invalid_grant'])
    }
    assert.equal((await ask(gate, await partnerAssertion(gate), 'billing')).json.error, 'unauthorized_client')
  })

  it('leaves no refresh token behind once its issuer is not trusted any more', async () => {
    const gate = rig()
    const { json } = await ask(gate, await partnerAssertion(gate))
    const again = await refreshWith(gate, json.refresh_token, 'agent')
    assert.equal(again.status, 200)
    const { agent } = CLIENTS
    const trusted = agent.assertion_issuers.map((one) => ({ ...one, issuer: 'https://another.example/' }))
    gate.useClients({ ...CLIENTS, agent: { ...agent, assertion_issuers: trusted } })
    assert.equal((await refreshWith(gate, again.json.refresh_token, 'agent')).json.error, 'invalid_grant')
  })
})

describe('a refresh token', () => {
  const first = async (gate: Rig) => (await gate.post('token', CREDENTIALS, 'billing')).json.refresh_token

  it('is worth another access token and its successor, and no more then', async () => {
    const gate = rig()
    const one = await first(gate)
    const two = await refreshWith(gate, one)
    assert.equal(two.status, 200)
    assert.notEqual(two.json.refresh_token, one)
    const { scope, aud, sub } = await verified(gate, two.json.access_token)
    assert.deepEqual([scope, aud, sub], ['orders:read orders:write', 'orders', 'billing'])
    const three = await refreshWith(gate, two.json.refresh_token)
    assert.equal(three.status, 200)
    // The first again: somebody else has it, and everybody loses what came of it.
    const reused = await refreshWith(gate, one)
    assert.deepEqual([reused.status, reused.json.error], [400, 'invalid_grant'])
    assert.match(reused.response.detail ?? '', /used again: its family is revoked/)
    assert.equal((await refreshWith(gate, three.json.refresh_token)).json.error, 'invalid_grant')
  })

  it('gets the same successor again for a short time, because the response may have been lost', async () => {
    const gate = rig()
    const one = await first(gate)
    const two = await refreshWith(gate, one)
    gate.now += REFRESH_GRACE
    const lost = await refreshWith(gate, one)
    assert.equal(lost.status, 200)
    assert.equal(lost.json.refresh_token, two.json.refresh_token)
    assert.equal((await refreshWith(gate, two.json.refresh_token)).status, 200)
  })

  it('ends its family behind that time', async () => {
    const gate = rig()
    const one = await first(gate)
    const two = await refreshWith(gate, one)
    gate.now += REFRESH_GRACE + 1
    assert.equal((await refreshWith(gate, one)).json.error, 'invalid_grant')
    assert.equal((await refreshWith(gate, two.json.refresh_token)).json.error, 'invalid_grant')
  })

  it('has one successor, however many ask at a time', async () => {
    const gate = rig()
    const one = await first(gate)
    const answers = await Promise.all(Array.from({ length: 60 }, () => refreshWith(gate, one)))
    const won = answers.filter(({ status }) => status === 200)
    assert.equal(new Set(won.map(({ json }) => json.refresh_token)).size, 1)
    assert.equal((await refreshWith(gate, won[0]!.json.refresh_token)).status, 200)
  })

  it('is of its client, its issuer and its namespace alone, and is good until it ends', async () => {
    const gate = rig()
    const one = await first(gate)
    assert.equal((await refreshWith(gate, one, 'other')).json.error, 'invalid_grant')
    for (const text of ['', 'x', `${one}x`, String(one).replace('hgr_', 'hgs_')])
      assert.match(String((await refreshWith(gate, text)).json.error), /^invalid_(grant|request)$/)
    assert.equal((await refreshWith(gate, one)).status, 200)
    const store = gate.deps.grants.store(undefined)!
    for (const options of [{ stated: { issuer: `${ISSUER}/2` } }, { namespace: 'evil' }]) {
      const stranger = rig({ store, ...options })
      assert.equal((await refreshWith(stranger, one)).json.error, 'invalid_grant')
    }
    const late = await first(gate)
    gate.now += 30 * 86_400_000
    assert.equal((await refreshWith(gate, late)).json.error, 'invalid_grant')
  })

  it('stands for no more than its client may still have, and for less where less is asked for', async () => {
    const gate = rig()
    let token = await first(gate)
    const less = await refreshWith(gate, token, 'billing', { scope: 'orders:read' })
    assert.equal((await verified(gate, less.json.access_token)).scope, 'orders:read')
    const wrong = await refreshWith(gate, less.json.refresh_token, 'billing', { scope: 'admin' })
    assert.equal(wrong.json.error, 'invalid_scope')
    // What was refused has not used it up, and asking for less has not made it less.
    const all = await refreshWith(gate, less.json.refresh_token)
    assert.equal((await verified(gate, all.json.access_token)).scope, 'orders:read orders:write')
    token = all.json.refresh_token
    gate.useClients({ ...CLIENTS, billing: { ...CLIENTS.billing, scope: 'orders:write' } })
    const fewer = await refreshWith(gate, token)
    assert.equal((await verified(gate, fewer.json.access_token)).scope, 'orders:write')
    gate.useClients({ ...CLIENTS, billing: { ...CLIENTS.billing, scope: 'else' } })
    assert.equal((await refreshWith(gate, fewer.json.refresh_token)).json.error, 'invalid_grant')
    gate.useClients({ ...CLIENTS, billing: { ...CLIENTS.billing, grant_types: ['client_credentials'] } })
    assert.equal((await refreshWith(gate, fewer.json.refresh_token)).json.error, 'unauthorized_client')
    const { billing: _, ...others } = CLIENTS
    gate.useClients(others)
    assert.equal((await refreshWith(gate, fewer.json.refresh_token)).json.error, 'invalid_client')
  })

  it('is given only to clients that may use one', async () => {
    const gate = rig()
    const { json } = await gate.post('token', { grant_type: 'client_credentials' }, 'gate')
    assert.equal(json.refresh_token, undefined)
    assert.equal(typeof json.access_token, 'string')
  })
})
