import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { type GrantStore, GrantStoreFailure } from '../../../src/auth/grant-store.ts'
import { EC, ED, now, tokenOf } from '../../auth/tokens.ts'
import { assertion, CLIENTS, ISSUER, type Rig, rig } from './rig.ts'

const CREDENTIALS = { grant_type: 'client_credentials', audience: 'orders' }
const issue = async (gate: Rig, client = 'billing') => (await gate.post('token', CREDENTIALS, client)).json
const introspect = async (gate: Rig, token: unknown, client = 'gate') =>
  (await gate.post('introspect', { token: String(token) }, client)).json

describe('introspection', () => {
  it('shows a token to its client, and to clients that may see all, and to nobody else', async () => {
    const gate = rig()
    const { access_token: token, refresh_token: refresh } = await issue(gate)
    for (const client of ['billing', 'gate']) {
      const seen = await introspect(gate, token, client)
      assert.deepEqual(
        [seen.active, seen.token_type, seen.client_id, seen.sub, seen.aud, seen.iss, seen.scope],
        [true, 'Bearer', 'billing', 'billing', 'orders', ISSUER, 'orders:read orders:write'],
      )
      assert.equal(Number(seen.exp) - Number(seen.iat), 600)
      const { active, token_type: type, exp } = await introspect(gate, refresh, client)
      assert.deepEqual([active, type], [true, 'refresh_token'])
      assert.ok(Math.abs(Number(exp) - gate.now / 1_000 - 30 * 86_400) < 5)
    }
    for (const hidden of [token, refresh]) assert.deepEqual(await introspect(gate, hidden, 'other'), { active: false })
    const anybody = await gate.post('introspect', { token: String(token) })
    assert.deepEqual([anybody.status, anybody.json.error], [401, 'invalid_client'])
  })

  it('says of what is no token of this issuer, or not good any more, that it is not active, and nothing else', async () => {
    const gate = rig()
    const { access_token: token, refresh_token: refresh } = await issue(gate)
    const claims = { iss: ISSUER, aud: 'orders', client_id: 'billing', jti: 'x', exp: now() + 60 }
    const forged = [
      await tokenOf({ key: ED.privateKey, header: { alg: 'EdDSA', typ: 'at+jwt' }, claims }),
      // By the right key, but not named by it, or of another type.
      await tokenOf({ key: EC.privateKey, header: { alg: 'ES256', typ: 'at+jwt' }, claims }),
      await assertion(gate),
      `${String(token).slice(0, -8)}AAAAAAAA`,
      `${String(refresh).slice(0, -8)}AAAAAAAA`,
      'x',
    ]
    for (const text of forged) assert.deepEqual(await introspect(gate, text), { active: false })
    const { billing: _, ...others } = CLIENTS
    gate.useClients(others)
    for (const text of [token, refresh]) assert.deepEqual(await introspect(gate, text), { active: false })
    gate.useClients(CLIENTS)
    assert.equal((await introspect(gate, token)).active, true)
    gate.now += 600_000
    assert.deepEqual(await introspect(gate, token), { active: false })
  })

  it('sees that a family has ended, in all that came of it', async () => {
    const gate = rig()
    const first = await issue(gate)
    const refresh = (token: unknown) =>
      gate.post('token', { grant_type: 'refresh_token', refresh_token: String(token) }, 'billing')
    const second = (await refresh(first.refresh_token)).json
    const third = (await refresh(second.refresh_token)).json
    for (const { access_token: token } of [first, second, third])
      assert.equal((await introspect(gate, token)).active, true)
    assert.deepEqual(await introspect(gate, second.refresh_token), { active: false })
    await refresh(first.refresh_token)
    for (const one of [first, second, third])
      for (const text of [one.access_token, one.refresh_token])
        assert.deepEqual(await introspect(gate, text), { active: false })
  })
})

describe('revocation', () => {
  const revoke = (gate: Rig, token: unknown, client = 'billing') =>
    gate.post('revoke', { token: String(token), token_type_hint: 'access_token' }, client)

  it('ends a token of the client, and says 200 of one that is none', async () => {
    const gate = rig()
    const { access_token: token, refresh_token: refresh } = await issue(gate)
    assert.equal((await revoke(gate, token)).status, 200)
    assert.equal((await revoke(gate, token)).status, 200)
    assert.deepEqual(await introspect(gate, token), { active: false })
    assert.equal((await introspect(gate, refresh)).active, true)
    assert.equal((await revoke(gate, refresh)).status, 200)
    assert.deepEqual(await introspect(gate, refresh), { active: false })
    for (const text of [refresh, 'x', await tokenOf()]) assert.equal((await revoke(gate, text)).status, 200)
  })

  it('is not for tokens of other clients, nor for whoever is no client', async () => {
    const gate = rig()
    const { access_token: token, refresh_token: refresh } = await issue(gate)
    for (const text of [token, refresh]) {
      const { status, json } = await revoke(gate, text, 'other')
      assert.deepEqual([status, json.error], [400, 'unauthorized_client'])
      assert.equal((await gate.post('revoke', { token: String(text) })).status, 401)
      assert.equal((await introspect(gate, text)).active, true)
    }
  })
})

describe('a store that cannot be asked', () => {
  const away = (): GrantStore => {
    const fail = () => Promise.reject(new GrantStoreFailure('the control thread ended meanwhile'))
    return { begin: fail, find: fail, rotate: fail, revoke: fail, mark: fail, isMarked: fail }
  }

  it('is 503 for a token that was issued with one, also where the settings have none any more', async () => {
    const { access_token: token } = await issue(rig())
    const gate = rig({ store: null })
    const { status } = await gate.post('introspect', { token: String(token) }, 'billing')
    assert.equal(status, 503)
    const own = await gate.post('token', { grant_type: 'client_credentials' }, 'gate')
    const { json } = await gate.post('introspect', { token: String(own.json.access_token) }, 'gate')
    assert.equal(json.active, true)
  })

  it('is 503 with Retry-After for all that needs it, and lets nothing pass for valid', async () => {
    const gate = rig({ store: away() })
    const working = rig()
    const { access_token: token, refresh_token: refresh } = await issue(working)
    for (const [endpoint, form] of [
      ['token', CREDENTIALS],
      ['token', { grant_type: 'refresh_token', refresh_token: String(refresh) }],
      ['introspect', { token: String(token) }],
      ['introspect', { token: String(refresh) }],
      ['revoke', { token: String(token) }],
      ['revoke', { token: String(refresh) }],
    ] as const) {
      const { status, json, response } = await gate.post(endpoint, form as Record<string, string>, 'billing')
      assert.deepEqual([status, json.error], [503, 'temporarily_unavailable'], `${endpoint} ${JSON.stringify(form)}`)
      assert.equal(response.fields.get('retry-after'), '1')
      assert.match(response.detail ?? '', /control thread ended/)
      assert.ok(!JSON.stringify(json).includes('control'))
    }
    // What needs none goes on.
    assert.equal((await gate.post('token', { grant_type: 'client_credentials' }, 'gate')).status, 200)
    assert.equal((await gate.ask('/oauth2/jwks')).status, 200)
  })
})

describe('what an issuer says of itself', () => {
  it('is at three places, may be kept, and names nothing that a client could not know', async () => {
    const gate = rig()
    const root = await gate.ask('/.well-known/oauth-authorization-server/oauth2', { matchedPrefix: 0 })
    for (const path of ['oauth-authorization-server', 'openid-configuration'])
      assert.deepEqual((await gate.ask(`/oauth2/.well-known/${path}`)).json, root.json)
    assert.equal(root.response.fields.get('cache-control'), 'public, max-age=300')
    assert.deepEqual(
      [root.json.issuer, root.json.token_endpoint, root.json.jwks_uri],
      [ISSUER, `${ISSUER}/token`, `${ISSUER}/jwks`],
    )
    assert.doesNotMatch(JSON.stringify(root.json), /billing|orders/)
  })

  it('is asked for with the method of each endpoint alone', async () => {
    const gate = rig()
    for (const [path, method, allow] of [
      ['token', 'GET', 'POST'],
      ['token', 'PUT', 'POST'],
      ['revoke', 'HEAD', 'POST'],
      ['introspect', 'OPTIONS', 'POST'],
      ['jwks', 'POST', 'GET, HEAD'],
    ] as const) {
      const { status, response } = await gate.ask(`/oauth2/${path}`, { method })
      assert.deepEqual([status, response.fields.get('allow')], [405, allow])
    }
    for (const path of ['', '/', '/token/', '/token/x', '/TOKEN', '/.well-known', '/jwks.json', '/constructor'])
      assert.equal((await gate.ask(`/oauth2${path}`, { method: 'POST' })).status, 404, path)
  })
})
