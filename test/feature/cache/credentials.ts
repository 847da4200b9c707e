/** Policies beside the cache: whose response is whose, and what is of one client alone. */
import assert from 'node:assert/strict'
import { it } from 'node:test'
import { digestOf } from '../../../src/auth/api-keys.ts'
import { EC, ISSUER, pemOf, tokenOf, writtenToken } from '../../auth/tokens.ts'
import { manifest, secret } from '../harness.ts'
import type { Asked } from './origin.ts'
import { type CacheRig, cachedRoute, type Fields, FRESH, shown } from './rig.ts'

const ANN = 'key-of-ann-1c9cbb1f'
const BEN = 'key-of-ben-71d1f2aa'
const apiKey = { apiKey: { secretName: 'clients', from: [{ header: 'x-api-key' }, { cookie: 'key' }] } }
const jwt = {
  jwt: {
    ...{ issuer: ISSUER, audiences: ['shop'], algorithms: ['ES256'], keys: { publicKeySecretName: 'jwt' } },
    ...{ from: [{ cookie: 'session' }], claimsToHeaders: [{ claim: 'sub', header: 'x-user' }] },
  },
}

/** What the rig needs besides {@link POLICIES} for these tests. */
export function manifests(port: number): string {
  const endpoints = [{ address: '127.0.0.1', port }]
  const affinity = { endpoints, sessionAffinity: { cookie: { name: 'side' } } }
  const edits = {
    responseHeaders: { set: [{ name: 'x-told', value: '%{header:x-who}' }] },
    cors: { allowOrigins: ['https://one.example', 'https://two.example'], allowCredentials: true },
  }
  const made = (one: string) => ({ set: [{ name: 'x-tenant', value: `%{${one}}` }], remove: ['cookie'] })
  const handed = { set: [{ name: 'x-auth', value: '%{header:authorization}' }], remove: ['authorization'] }
  const errors = [{ codes: ['404'], source: 'Backend', contentType: 'text/plain', body: 'nothing here' }]
  const limits = { rateLimits: [{ name: 'few', requests: 3, per: '1d', by: ['header:x-who'] }] }
  return [
    secret('clients', 'headgate.dev/api-keys', { ann: `sha256:${digestOf(ANN)}`, ben: `sha256:${digestOf(BEN)}` }),
    secret('jwt', 'headgate.dev/jwt-key', { 'public.pem': pemOf(EC.publicKey) }),
    manifest('Backend', 'sticky', affinity),
    cachedRoute('key.test', {}, { auth: apiKey }),
    cachedRoute('consumer.test', { key: { by: ['consumer'] } }, { auth: apiKey }),
    cachedRoute('claim.test', { key: { by: ['claim:sub'] } }, { auth: jwt }),
    cachedRoute(
      'kept.test',
      { key: { by: ['claim:sub'] } },
      { auth: { jwt: { ...jwt.jwt, from: undefined, keepToken: true } } },
    ),
    cachedRoute('tenant.test', { key: { by: ['claim:tenant'] } }, { auth: jwt }),
    cachedRoute('session.test', {}, { auth: jwt }),
    cachedRoute('edits.test', {}, edits),
    cachedRoute('named.test', {}, { requestHeaders: { set: [{ name: 'x-asked', value: '%{header:host}' }] } }),
    cachedRoute('cookie.test', { key: { by: ['cookie:tenant'] } }, { requestHeaders: made('cookie:tenant') }),
    cachedRoute(
      'parameter.test',
      { key: { query: { include: ['q'] }, by: ['query:tenant'] } },
      { requestHeaders: made('query:tenant') },
    ),
    cachedRoute('handed.test', {}, { requestHeaders: handed }),
    cachedRoute('handed-key.test', { key: { by: ['header:x-auth'] } }, { requestHeaders: handed }),
    cachedRoute('page.test', {}, { errors }),
    cachedRoute('limits.test', {}, limits),
    cachedRoute('sticky.test', {}).replaceAll('"up"', '"sticky"'),
  ].join('')
}

/** A page that says whose it is. */
const personal =
  (directives: string) =>
  ({ fields }: Asked) => ({
    fields: [`cache-control: ${directives}`],
    body: `of ${fields.get('x-user') ?? 'somebody'}`,
  })

export function credentials(rig: () => CacheRig): void {
  for (const [how, ann, ben] of [
    ['header', { 'x-api-key': ANN }, { 'x-api-key': BEN }],
    ['cookie', { cookie: `key=${ANN}` }, { cookie: `key=${BEN}` }],
  ] as readonly [string, Fields, Fields][]) {
    it(`RFC 9111 §3.5: a key in a ${how}, which the gateway takes out, is a credential: its response is not stored`, async () => {
      const page = rig().page('key.test', { fields: [FRESH] })
      await page.gets(1, 1, ann)
      assert.equal(page.last.fields.get('x-api-key'), undefined)
      await page.gets(2, 2, ben)
      await page.gets(3, 3, ann)
    })

    it(`RFC 9111 §3.5: a key in a ${how}: what is public is for all who have a key, and for nobody without`, async () => {
      const page = rig().page('key.test', { fields: ['cache-control: public, max-age=3600'] })
      await page.gets(1, 1, ann)
      await page.hits(ben)
      assert.equal((await page.get()).status, 401)
      assert.equal((await page.get({ 'x-api-key': 'wrong' })).status, 401)
      assert.equal((await page.stored()).status, 401)
      assert.equal(page.asked.length, 1)
    })
  }

  it('RFC 9111 §3.5: the consumer in the key: stored for each of them', async () => {
    const page = rig().page('consumer.test', { fields: [FRESH] })
    await page.gets(1, 1, { 'x-api-key': ANN })
    await page.gets(2, 2, { 'x-api-key': BEN })
    await page.hits({ 'x-api-key': ANN }, 1)
    await page.hits({ cookie: `key=${BEN}` }, 2)
    assert.equal((await page.get()).status, 401)
  })

  it('RFC 9111 §3.5: the consumer in the key is an application: what its users show the origin is not known here', async () => {
    const page = rig().page('consumer.test', { fields: [FRESH] }, { fields: [FRESH] }, { fields: [FRESH] })
    const user = (token: string) => ({ 'x-api-key': ANN, authorization: `Bearer ${token}` })
    await page.gets(1, 1, user('one'))
    await page.gets(2, 2, user('two'))
    assert.equal(page.asked[1]!.fields.get('authorization'), 'Bearer two')
    await page.gets(3, 3, user('one'))
    const shared = rig().page('consumer.test', { fields: ['cache-control: public, max-age=3600'] })
    await shared.gets(1, 1, user('one'))
    await shared.hits(user('two'))
  })

  it('RFC 9111 §3.5: a claim in the key: each of two users gets their own, from whichever of their tokens', async () => {
    const page = rig().page('claim.test', personal('max-age=3600'))
    const as = async (sub: string): Promise<string> => {
      const token = await tokenOf({ key: EC.privateKey, header: { alg: 'ES256' }, claims: { sub, jti: Math.random() } })
      const answer = await page.get({ cookie: `session=${token}`, 'x-user': 'mallory' })
      assert.equal(answer.status, 200, shown(answer))
      return answer.text
    }
    for (const user of ['ann', 'ben', 'ann', 'ben', 'Ann']) assert.equal(await as(user), `of ${user}`)
    assert.equal(page.asked.length, 3)
  })

  it('RFC 9111 §3.5: a token in Authorization that goes on to the origin is of who the key names', async () => {
    const page = rig().page('kept.test', personal('max-age=3600'))
    for (const sub of ['ann', 'ben', 'ann', 'ben']) {
      const token = await tokenOf({ key: EC.privateKey, header: { alg: 'ES256' }, claims: { sub } })
      assert.equal((await page.get({ authorization: `Bearer ${token}` })).text, `of ${sub}`)
      assert.equal(page.asked.at(-1)!.fields.has('authorization'), true)
    }
    assert.equal(page.asked.length, 2)
  })

  it('RFC 9111 §3.5: two users are two, whatever numbers their claims round to', async () => {
    const page = rig().page('claim.test', personal('max-age=3600'))
    for (const user of ['9007199254740993', '9007199254740992', '9007199254740993', '9007199254740992'])
      assert.equal((await page.get({ cookie: `session=${writtenToken(`"sub":${user}`)}` })).text, `of ${user}`)
    assert.equal(page.asked.length, 2)
  })

  it('RFC 9111 §4: a claim in the key that is no text tells clients apart, too', async () => {
    const page = rig().page('tenant.test', { fields: ['cache-control: public, max-age=3600'] })
    const tenants = ['"a,b"', '["a","b"]', '["a,b"]', '{"id":1}', '{"id":2}', '1', '"1"']
    const as = (tenant: string) => ({ cookie: `session=${writtenToken(`"tenant":${tenant}`)}` })
    for (const [i, tenant] of tenants.entries()) await page.gets(i + 1, i + 1, as(tenant))
    for (const [i, tenant] of tenants.entries()) await page.hits(as(tenant), i + 1)
  })

  it('RFC 9111 §3.5: a session in a cookie, whose claims the origin is told: nothing is shared, nor what collapses', async () => {
    const { promise, resolve } = Promise.withResolvers<void>()
    const page = rig().page('session.test', (asked) => ({ ...personal('max-age=3600')(asked), head: promise }))
    const answers = Array.from({ length: 10 }, async (_, at) => {
      const claims = { sub: `user-${at}` }
      const token = await tokenOf({ key: EC.privateKey, header: { alg: 'ES256' }, claims })
      assert.equal((await page.get({ cookie: `session=${token}` })).text, `of user-${at}`)
    })
    await page.arrived(10)
    resolve()
    await Promise.all(answers)
  })

  it('fields that a policy adds to responses are of each client, not stored with the first', async () => {
    const page = rig().page('edits.test', { fields: [FRESH] })
    const first = await page.gets(1, 1, { 'x-who': 'ann', origin: 'https://one.example' })
    assert.equal(first.header('access-control-allow-origin'), 'https://one.example')
    const second = await page.hits({ 'x-who': 'ben', origin: 'https://two.example' })
    assert.equal(second.header('x-told'), 'ben')
    assert.equal(second.header('access-control-allow-origin'), 'https://two.example')
    const plain = await page.hits()
    assert.equal(plain.header('access-control-allow-origin'), undefined)
    assert.notEqual(plain.header('x-told'), 'ann')
  })

  for (const [host, as] of [
    ['cookie.test', (tenant: string) => ({ fields: { cookie: `tenant=${tenant}` }, query: '' })],
    ['parameter.test', (tenant: string) => ({ fields: {}, query: `?tenant=${tenant}` })],
  ] as const)
    it(`${host}: what is made a field of and not sent itself tells responses apart, as the key says`, async () => {
      const page = rig().page(host, ({ fields }: Asked) => ({ fields: [FRESH], body: fields.get('x-tenant') ?? '' }))
      for (const tenant of ['a', 'b', 'a', 'b']) {
        const { fields, query } = as(tenant)
        assert.equal((await page.get(fields, query)).text, tenant)
      }
      assert.equal(page.asked.length, 2)
    })

  it('RFC 9111 §3.5: an Authorization that requestHeaders hand on by another name is one', async () => {
    const answer = ({ fields }: Asked) => ({ fields: [FRESH], body: fields.get('x-auth') ?? 'nobody' })
    const as = (user: string) => ({ authorization: `Bearer ${user}` })
    const page = rig().page('handed.test', answer)
    for (const user of ['ann', 'ben', 'ann']) assert.equal((await page.get(as(user))).text, `Bearer ${user}`)
    assert.equal((await page.get()).text, 'nobody')
    assert.equal(page.asked.length, 4)
    const shared = rig().page('handed.test', { fields: ['cache-control: public, max-age=3600'] })
    await shared.gets(1, 1, as('ann'))
    await shared.hits(as('ben'))
    const keyed = rig().page('handed-key.test', answer)
    for (const user of ['ann', 'ben', 'ann', 'ben']) assert.equal((await keyed.get(as(user))).text, `Bearer ${user}`)
    assert.equal(keyed.asked.length, 2)
  })

  it('a cookie that the gateway sets for one client is not given to others', async () => {
    const page = rig().page('sticky.test', { fields: [FRESH] })
    const first = await page.gets(1, 1)
    const hit = await page.hits()
    const cookie = ({ fields }: typeof first) => fields.find(([name]) => name === 'set-cookie')?.[1]
    assert.ok(cookie(hit) === undefined || cookie(hit) !== cookie(first), shown(hit))
  })

  it('a response whose body a page replaces is not stored, and nobody reads along with it', async () => {
    const page = rig().page('page.test', { status: 404, fields: [FRESH], body: 'raw' })
    for (const times of [1, 2, 3]) {
      const answer = await page.get()
      assert.deepEqual([answer.status, answer.text, page.asked.length], [404, 'nothing here', times], shown(answer))
    }
  })

  it('a limit counts hits too, and holds for what is stored', async () => {
    const page = rig().page('limits.test', { fields: [FRESH] })
    for (let times = 0; times < 3; times++) await page.gets(1, 1, { 'x-who': page.path })
    assert.equal((await page.get({ 'x-who': page.path })).status, 429)
  })
}
