/** access, CORS, auth, cross-site requests and authorization in one chain, from a Route to what a client gets. */
import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import type { Policies } from '../../src/api/policies.ts'
import { AUDIENCE, ISSUER, pemOf, RSA, tokenOf } from '../auth/tokens.ts'
import { prefix, type route } from '../compile/world.ts'
import { type EchoBackend, echoBackend } from '../feature/backends.ts'
import { type InProcess, inProcess } from '../worker/in-process.ts'

const HOST = 'shop.example.com'
const APP = 'https://app.example.com'
const KEYS = 'Secret default/keys public.pem headgate.dev/jwt-key'

const policies = {
  auth: {
    jwt: {
      issuer: ISSUER,
      audiences: [AUDIENCE],
      keys: { publicKeySecretName: 'keys' },
      from: [{ header: 'authorization', scheme: 'Bearer' }, { cookie: 'session' }],
    },
  },
  cors: { allowOrigins: [APP], allowMethods: ['GET', 'PUT'], allowHeaders: ['x-a'], allowCredentials: true },
  authorization: [
    { name: 'read', when: { methods: ['GET'] } },
    { name: 'write', when: { methods: ['PUT', 'POST'] }, scopes: ['orders:write'] },
    {
      name: 'level',
      when: { paths: ['/cel/*'] },
      cel: "has(claims.level) && claims.level > 2 && request.path != '/cel/no'",
    },
    { name: 'soon', claim: 'tier', equals: 'gold', dryRun: true },
  ],
} as unknown as Policies

const SHOP: Parameters<typeof route>[1] = {
  hostnames: [HOST],
  policies,
  rules: {
    far: {
      matches: [prefix('/far')],
      policies: { access: { allow: ['192.0.2.0/24'] } } as Policies,
      backendRefs: [{ name: 'up', weight: 1, priority: 0 }],
    },
    near: {
      matches: [prefix('/near')],
      policies: { access: { allow: ['127.0.0.0/8', '::1/128'] } } as Policies,
      backendRefs: [{ name: 'up', weight: 1, priority: 0 }],
    },
    all: { backendRefs: [{ name: 'up', weight: 1, priority: 0 }] },
  },
}

describe('policies that decide who may pass', () => {
  const ends: (() => void | Promise<void>)[] = []
  const scope = { after: (end: () => void | Promise<void>) => void ends.push(end) }
  let gateway: InProcess
  let up: EchoBackend

  before(async () => {
    up = await echoBackend(scope, 'up')
    gateway = await inProcess(scope, {
      upstreams: [up.port],
      rules: { none: { respond: { statusCode: 404 } } },
      routes: { 'default/shop': SHOP },
    })
    gateway.plane.contents.apply([{ id: KEYS, bytes: Buffer.from(pemOf(RSA.publicKey)) }])
  })

  after(async () => {
    for (const end of ends.reverse()) await end()
  })

  async function ask(line: string, fields: Readonly<Record<string, string>> = {}) {
    using client = await gateway.connect()
    const lines = Object.entries(fields).map(([name, value]) => `${name}: ${value}\r\n`)
    client.send(`${line} HTTP/1.1\r\nhost: ${HOST}\r\n${lines.join('')}\r\n`)
    const { status, fields: answered, body } = await client.response(line.split(' ')[0])
    const headers: Readonly<Record<string, string | undefined>> = Object.fromEntries(answered)
    const { reason } = status >= 400 ? (JSON.parse(body.toString()) as { reason: string }) : { reason: undefined }
    return { status, headers, reason }
  }

  const bearer = async (claims: Readonly<Record<string, unknown>> = {}) => ({
    authorization: `Bearer ${await tokenOf({ claims })}`,
  })

  it('answer a preflight before auth, and no backend sees it', async () => {
    const before = up.received.length
    const asked = { origin: APP, 'access-control-request-method': 'PUT', 'access-control-request-headers': 'x-a' }
    const { status, headers } = await ask('OPTIONS /a', asked)
    assert.equal(status, 204)
    assert.equal(headers['access-control-allow-origin'], APP)
    assert.equal(headers['access-control-allow-methods'], 'GET, PUT')
    const foreign = await ask('OPTIONS /a', { ...asked, origin: 'https://evil.example' })
    assert.equal(foreign.status, 204)
    assert.equal(foreign.headers['access-control-allow-origin'], undefined)
    // One that is no preflight is a request as any other.
    assert.equal((await ask('OPTIONS /a', { origin: APP })).reason, 'CredentialMissing')
    assert.equal(up.received.length, before)
  })

  it('tell a page why it is refused, and that this depends on its origin', async () => {
    const { reason, headers } = await ask('GET /a', { origin: APP })
    assert.equal(reason, 'CredentialMissing')
    assert.equal(headers['access-control-allow-origin'], APP)
    assert.match(String(headers.vary), /Origin/)
    const good = await ask('GET /a', { origin: 'https://evil.example', ...(await bearer()) })
    assert.equal(good.status, 200)
    assert.equal(good.headers['access-control-allow-origin'], undefined)
    assert.match(String(good.headers.vary), /Origin/)
  })

  it('look at the address before anything else, whatever a client says about its own', async () => {
    const forged = { 'x-forwarded-for': '192.0.2.1', forwarded: 'for=192.0.2.1', 'x-real-ip': '192.0.2.1' }
    assert.equal((await ask('GET /far', { ...forged, ...(await bearer()) })).reason, 'AddressDenied')
    assert.equal((await ask('GET /near')).reason, 'CredentialMissing')
    assert.equal((await ask('GET /near', await bearer())).status, 200)
  })

  it('let pages of other sites change nothing with a cookie, and those that cors trusts', async () => {
    const cookie = `session=${await tokenOf({ claims: { scope: 'orders:write' } })}`
    const before = up.received.length
    for (const fields of [
      { 'sec-fetch-site': 'cross-site', origin: 'https://evil.example' },
      { 'sec-fetch-site': 'same-site', origin: `https://a.${HOST}` },
      { origin: 'null' },
    ])
      assert.equal((await ask('POST /a', { cookie, ...fields })).reason, 'CrossSiteRequest', JSON.stringify(fields))
    assert.equal(up.received.length, before)
    for (const fields of [
      { 'sec-fetch-site': 'same-origin' },
      { origin: `http://${HOST}` },
      { 'sec-fetch-site': 'cross-site', origin: APP },
      {},
    ])
      assert.equal((await ask('POST /a', { cookie, ...fields })).status, 200, JSON.stringify(fields))
    const own = await bearer({ scope: 'orders:write' })
    assert.equal((await ask('POST /a', { ...own, 'sec-fetch-site': 'cross-site' })).status, 200)
    assert.equal((await ask('GET /a', { cookie, 'sec-fetch-site': 'cross-site' })).status, 200)
  })

  it('deny what no rule is for, and what one does not let pass, however the path is spelt', async () => {
    const writer = await bearer({ scope: 'orders:read orders:write', level: 2 })
    assert.equal((await ask('PUT /a', writer)).status, 200)
    assert.equal((await ask('PUT /a', await bearer({ scope: 'orders:read' }))).reason, 'AccessDenied')
    for (const method of ['DELETE', 'PATCH', 'PROPFIND', 'get'])
      assert.equal((await ask(`${method} /a`, writer)).reason, 'AccessDenied', method)
    const before = up.received.length
    for (const path of ['/cel', '/cel/', '/cel/a', '/a/../cel/b', '//cel/a', '/%63el/a', '/./cel/a'])
      assert.equal((await ask(`GET ${path}`, writer)).reason, 'AccessDenied', path)
    const high = await bearer({ level: 3 })
    assert.equal((await ask('GET /cel/a', high)).status, 200)
    assert.equal((await ask('GET /cel/no', high)).reason, 'AccessDenied')
    assert.equal((await ask('GET /x/../cel/no', high)).reason, 'AccessDenied')
    assert.equal(up.received.length, before + 1)
    assert.deepEqual(gateway.errors, [])
  })
})
