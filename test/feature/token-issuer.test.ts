/** `tokenIssuer` from manifests to traffic, by two workers: what it issues another rule takes, and what it withdraws ends. */
import assert from 'node:assert/strict'
import { type KeyObject, randomBytes, webcrypto } from 'node:crypto'
import { before, describe, it } from 'node:test'
import * as oauth from 'openid-client'
import { writeClientSecret } from '../../src/auth/client-secret.ts'
import { EC, ED } from '../auth/tokens.ts'
import { type EchoBackend, echoBackend, type Received } from './backends.ts'
import { backend, eventually, type Gateway, route, startGateway, suiteScope } from './harness.ts'
import { type RawResponse, request } from './raw-client.ts'

const HOST = 'shop.example'
const ISSUER = `https://${HOST}/oauth2`
const SECRET = randomBytes(32).toString('base64url')

const privatePem = (key: KeyObject) => key.export({ type: 'pkcs8', format: 'pem' }) as string

function secret(name: string, type: string, stringData: object): string {
  const metadata = { name, namespace: 'default' }
  return JSON.stringify({ apiVersion: 'v1', kind: 'Secret', metadata, type: `headgate.dev/${type}`, stringData })
}

const client = (more: object = {}) =>
  JSON.stringify({
    client_secret_hashes: [writeClientSecret(SECRET)],
    grant_types: ['client_credentials', 'refresh_token'],
    ...{ audience: 'orders', scope: 'orders:read', ...more },
  })

describe('a token issuer', () => {
  const scope = suiteScope()
  let echo: EchoBackend
  let gateway: Gateway

  before(async () => {
    echo = await echoBackend(scope)
    const rules = [
      {
        name: 'token',
        matches: [{ path: { value: '/oauth2' } }],
        tokenIssuer: { issuer: ISSUER, signingKeySecretName: 'issuer-keys', clientsSecretName: 'issuer-clients' },
      },
      { name: 'all', backendRefs: [{ name: 'echo' }] },
    ]
    const keys = [ED.publicKey.export({ format: 'jwk' })]
    const robot = JSON.stringify({ jwks: { keys }, audience: 'orders', scope: 'orders:read' })
    // What holds for the whole Route does not hold for who has no token yet.
    const policies = {
      enforced: {
        auth: {
          jwt: {
            ...{ issuer: ISSUER, audiences: ['orders'], keys: { issuerRule: 'token' } },
            claimsToHeaders: [{ claim: 'client_id', header: 'x-client' }],
          },
        },
        authorization: [{ name: 'read', claim: 'scope', hasAny: ['orders:read'] }],
        errors: [{ codes: ['400-499'], body: 'a page' }],
      },
    }
    gateway = await startGateway(
      scope,
      {
        'routes.yaml': backend('echo', [echo.port]) + route('shop', [HOST], rules, { policies }),
        'keys.yaml': secret('issuer-keys', 'signing-keys', { 'a.pem': privatePem(EC.privateKey) }),
        'clients.yaml': secret('issuer-clients', 'oauth-clients', {
          billing: client(),
          gate: client({ introspect: true }),
          robot,
        }),
      },
      { workers: 2 },
    )
  })

  const post = (endpoint: string, form: Readonly<Record<string, string>>, id = 'billing'): Promise<RawResponse> =>
    request(gateway.port, {
      ...{ host: HOST, method: 'POST', path: `/oauth2/${endpoint}`, body: new URLSearchParams(form).toString() },
      headers: {
        'content-type': 'application/x-www-form-urlencoded',
        authorization: `Basic ${Buffer.from(`${id}:${SECRET}`).toString('base64')}`,
      },
    })
  const json = (response: RawResponse) => response.json() as Record<string, unknown>
  const issue = async () => json(await post('token', { grant_type: 'client_credentials' }))
  const refresh = (token: unknown) => post('token', { grant_type: 'refresh_token', refresh_token: String(token) })
  const use = (token: unknown) =>
    request(gateway.port, { host: HOST, headers: { authorization: `Bearer ${String(token)}` } })

  it('issues what another rule of the Route takes, though it asks for no token itself', async () => {
    const { access_token: token, refresh_token: refreshToken, scope: granted } = await issue()
    assert.equal(granted, 'orders:read')
    const used = await use(token)
    assert.equal(used.status, 200)
    assert.equal(used.json<Received>().headers['x-client'], 'billing')
    assert.equal((await use(refreshToken)).status, 401)
    assert.equal((await request(gateway.port, { host: HOST })).status, 401)
  })

  it('tells clients where it is and how to verify its tokens, at both places of RFC 8414', async () => {
    const get = (path: string) => request(gateway.port, { host: HOST, path })
    const root = json(await get('/.well-known/oauth-authorization-server/oauth2'))
    assert.deepEqual([root.issuer, root.token_endpoint], [ISSUER, `${ISSUER}/token`])
    assert.deepEqual(json(await get('/oauth2/.well-known/openid-configuration')), root)
    const set = (await get('/oauth2/jwks')).text
    assert.equal((JSON.parse(set) as { keys: unknown[] }).keys.length, 1)
    assert.doesNotMatch(set, /"d"/)
    assert.equal((await get('/oauth2/token')).status, 405)
    assert.equal((await get('/oauth2/else')).status, 404)
  })

  it('has one winner of a hundred refreshes at a time, whichever workers they come to', async () => {
    const { refresh_token: first } = await issue()
    const answers = await Promise.all(Array.from({ length: 100 }, () => refresh(first)))
    assert.deepEqual(new Set(answers.map(({ status }) => status)), new Set([200]))
    const next = new Set(answers.map((answer) => json(answer).refresh_token))
    assert.equal(next.size, 1)
    const [second] = [...next]
    const third = json(await refresh(second))
    assert.equal((await use(third.access_token)).status, 200)
    const reused = await refresh(first)
    assert.deepEqual([reused.status, json(reused).error], [400, 'invalid_grant'])
    assert.equal(json(await refresh(third.refresh_token)).error, 'invalid_grant')
    const seen = json(await post('introspect', { token: String(third.access_token) }, 'gate'))
    assert.deepEqual(seen, { active: false })
    const line = await gateway.logged(({ detail }) => /its family is revoked$/.test(String(detail)))
    assert.deepEqual([line.reason, line.status], ['TokenRequestRefused', 400])
  })

  it('ends what is revoked, and shows a token to whom it may be shown', async () => {
    const { access_token: token, refresh_token: refreshToken } = await issue()
    const seen = json(await post('introspect', { token: String(token) }, 'gate'))
    assert.deepEqual([seen.active, seen.client_id, seen.aud], [true, 'billing', 'orders'])
    const foreign = json(
      await issue().then(({ access_token: one }) => post('introspect', { token: String(one) }, 'nobody')),
    )
    assert.equal(foreign.error, 'invalid_client')
    assert.equal((await post('revoke', { token: String(token) })).status, 200)
    assert.deepEqual(json(await post('introspect', { token: String(token) }, 'gate')), { active: false })
    assert.equal((await post('revoke', { token: String(refreshToken) })).status, 200)
    assert.equal(json(await refresh(refreshToken)).error, 'invalid_grant')
  })

  it('serves a client that others wrote, which finds out all else by itself', async () => {
    const fetch: oauth.CustomFetch = async (url, { method, headers, body }) => {
      const { host, pathname, search } = new URL(url)
      const sent = body instanceof URLSearchParams ? body.toString() : body
      const answer = await request(gateway.port, {
        ...{ host, method, path: pathname + search, headers: { ...headers } },
        ...(typeof sent === 'string' ? { body: sent } : {}),
      })
      return new Response(answer.text, { status: answer.status, headers: { 'content-type': 'application/json' } })
    }
    const find = (id: string, by: oauth.ClientAuth, algorithm: 'oidc' | 'oauth2') =>
      oauth.discovery(new URL(ISSUER), id, {}, by, { [oauth.customFetch]: fetch, algorithm })
    const jwk = ED.privateKey.export({ format: 'jwk' })
    const key = await webcrypto.subtle.importKey('jwk', jwk, 'Ed25519', false, ['sign'])
    for (const [id, by, algorithm] of [
      ['billing', oauth.ClientSecretBasic(SECRET), 'oauth2'],
      ['billing', oauth.ClientSecretPost(SECRET), 'oidc'],
      ['robot', oauth.PrivateKeyJwt(key), 'oauth2'],
    ] as const) {
      const found = await find(id, by, algorithm)
      const granted = await oauth.clientCredentialsGrant(found, { scope: 'orders:read' })
      assert.equal(granted.expires_in, 600)
      assert.equal((await use(granted.access_token)).status, 200)
      assert.equal((await oauth.tokenIntrospection(found, granted.access_token)).active, true)
      await assert.rejects(oauth.clientCredentialsGrant(found, { scope: 'admin' }), { error: 'invalid_scope' })
      await oauth.tokenRevocation(found, granted.access_token)
      assert.equal((await oauth.tokenIntrospection(found, granted.access_token)).active, false)
      if (id === 'robot') continue
      const next = await oauth.refreshTokenGrant(found, granted.refresh_token!)
      assert.notEqual(next.refresh_token, granted.refresh_token)
    }
  })

  it('publishes a key that is added, signs with the one before for a time, and stops where its Secret is broken', async () => {
    const keys = async () => {
      const { keys: all } = json(await request(gateway.port, { host: HOST, path: '/oauth2/jwks' })) as {
        keys: unknown[]
      }
      return all.length
    }
    const both = { 'a.pem': privatePem(EC.privateKey), 'b.pem': privatePem(ED.privateKey) }
    await gateway.write('keys.yaml', secret('issuer-keys', 'signing-keys', both))
    await eventually(async () => assert.equal(await keys(), 2))
    const { access_token: token } = await issue()
    assert.equal(JSON.parse(Buffer.from(String(token).split('.')[0]!, 'base64url').toString()).alg, 'ES256')
    await gateway.write('keys.yaml', secret('issuer-keys', 'signing-keys', { 'a.pem': 'no key' }))
    await eventually(async () => {
      const refused = await post('token', { grant_type: 'client_credentials' })
      assert.deepEqual([refused.status, json(refused).error], [503, 'temporarily_unavailable'])
      const { text } = await request(gateway.adminPort, { path: '/api/v1/statuses?limit=500', host: 'localhost' })
      assert.match(text, /issuer-keys cannot be used: a\.pem is no private key/)
    })
    await gateway.write('keys.yaml', secret('issuer-keys', 'signing-keys', both))
    await eventually(async () => assert.equal((await post('token', { grant_type: 'client_credentials' })).status, 200))
  })

  it('shows none of its secrets in a log or in the admin API', async () => {
    const { access_token: token, refresh_token: refreshToken } = await issue()
    await post('token', { grant_type: 'refresh_token', refresh_token: `${String(refreshToken)}x` })
    await gateway.logged(({ detail }) => String(detail).includes('of another form'))
    const pages = await Promise.all(
      ['/api/v1/config', '/api/v1/statuses?limit=500', '/api/v1/routes', '/api/v1/problems'].map(
        async (path) => (await request(gateway.adminPort, { path, host: 'localhost' })).text,
      ),
    )
    const all = [JSON.stringify(gateway.accessLog), ...gateway.processLog, ...pages].join('\n')
    for (const hidden of [SECRET, String(token).slice(-40), String(refreshToken).slice(-40), 'PRIVATE KEY'])
      assert.ok(!all.includes(hidden))
  })
})
