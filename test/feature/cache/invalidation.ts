/** RFC 9111 §4.4 and RFC 9875: what unsafe requests make of what is stored. */
import assert from 'node:assert/strict'
import { it } from 'node:test'
import { manifest } from '../harness.ts'
import type { Answer } from './origin.ts'
import { type CacheRig, FRESH, type Page, STANDARD } from './rig.ts'

const UNSAFE = ['POST', 'PUT', 'DELETE', 'PATCH', 'FOO']

/** Rules by method: what is stored belongs to one, and what changes it goes through another. */
export function byMethod(port: number): string {
  const rule = (name: string, match: object, policies: object = {}) => ({
    ...{ name, matches: [match], backendRefs: [{ name: 'up' }], policies },
  })
  const read = rule('read', { method: 'GET' }, { cache: {} })
  const writes = rule('write', {}, { retry: { attempts: 0 } })
  const other = rule('other', { path: { type: 'PathPrefix', value: '/other' } })
  const signedIn = rule('signed-in', { cookies: [{ name: 'sid', type: 'Present' }] }, { retry: { attempts: 0 } })
  const everybody = rule('everybody', {}, { cache: {} })
  const byCookie = manifest('Route', 'by-cookie', { hostnames: ['by-cookie.test'], rules: [signedIn, everybody] })
  const split = manifest('Route', 'by-method', { hostnames: ['by-method.test'], rules: [read, writes] })
  const reads = manifest('Route', 'by-route-read', { hostnames: ['by-route.test'], rules: [read] })
  const route = manifest('Route', 'by-route-write', { hostnames: ['by-route.test'], rules: [writes, other] })
  // What another namespace does with a host is no business of this one, but for the very URL.
  const guest = manifest('Backend', 'guest/up', { endpoints: [{ address: '127.0.0.1', port }] })
  const delegates = [{ namespaces: { from: 'Names', names: ['guest'] }, pathPrefixes: ['/'] }]
  const owned = manifest('Route', 'by-namespace-read', { hostnames: ['by-namespace.test'], delegates, rules: [read] })
  const guests = manifest('Route', 'guest/by-namespace-write', { hostnames: ['by-namespace.test'], rules: [writes] })
  return byCookie + split + reads + route + owned + guest + guests
}

export function invalidation(rig: () => CacheRig): void {
  for (const method of UNSAFE)
    it(`RFC 9111 §4.4: a ${method} without an error: what is stored for its URI is not used unasked`, async () => {
      const page = rig().page(STANDARD, { fields: [FRESH] }, { status: 204 }, { fields: [FRESH] })
      await page.gets(1, 1)
      await page.hits()
      assert.equal((await page.send({ method, body: 'x' })).status, 204)
      await page.gets(3, 3)
    })

  for (const status of [200, 201, 202, 204, 301, 303, 307])
    it(`RFC 9111 §4.4: a POST with ${status} invalidates`, () => after(rig(), { status }, 'gone'))

  for (const status of [400, 403, 404, 409, 500, 503])
    it(`RFC 9111 §4.4: a POST with ${status} does not`, () => after(rig(), { status }, 'kept'))

  for (const host of ['by-method.test', 'by-route.test'])
    it(`RFC 9111 §4.4: an unsafe request through another rule than that of the cache invalidates, too: ${host}`, async () => {
      const page = rig().page(host, { fields: [FRESH] }, { status: 500 }, { status: 204 }, { fields: [FRESH] })
      const beside = rig().page(host, { fields: [FRESH] })
      await page.gets(1, 1)
      await beside.gets(1, 1)
      assert.equal((await page.send({ method: 'POST', body: 'x' })).status, 500)
      await page.hits()
      assert.equal((await page.send({ method: 'DELETE' })).status, 204)
      await page.gets(4, 4)
      await beside.hits()
      await page.send({ method: 'OPTIONS' })
      await page.hits({}, 4)
    })

  it('RFC 9111 §4.4: an unsafe request of who is signed in, whose own rule has no cache, invalidates what others get', async () => {
    const page = rig().page('by-cookie.test', { fields: [FRESH] }, { status: 204 }, { fields: [FRESH] })
    const cookie = { headers: { cookie: 'sid=1' } }
    await page.gets(1, 1)
    await page.hits()
    assert.equal((await page.send({ method: 'POST', body: 'x', ...cookie })).status, 204)
    await page.gets(3, 3)
    await page.hits({}, 3)
  })

  it('RFC 9111 §4.4: through a rule of another namespace only the URL itself is invalidated', async () => {
    const host = 'by-namespace.test'
    const other = rig().page(host, { fields: [FRESH, 'cache-groups: "g"'] })
    const named = { status: 201, fields: [`location: ${other.path}`, 'cache-group-invalidation: "g"'] }
    const page = rig().page(host, { fields: [FRESH] }, named, { fields: [FRESH] })
    await page.gets(1, 1)
    await other.gets(1, 1)
    assert.equal((await page.send({ method: 'POST', body: 'x' })).status, 201)
    await page.gets(3, 3)
    await other.hits()
  })

  it('RFC 9111 §4.4: safe methods do not', async () => {
    for (const method of ['OPTIONS', 'HEAD']) {
      const page = rig().page(STANDARD, { fields: [FRESH] })
      await page.gets(1, 1)
      await page.send({ method, headers: { 'cache-control': 'no-cache' } })
      await page.hits()
    }
  })

  it('RFC 9111 §4.4: all variants of the URI are invalidated, and HEAD with them', async () => {
    const page = rig().page(STANDARD, { fields: [FRESH, 'vary: x-a'] })
    await page.gets(1, 1, { 'x-a': '1' })
    await page.gets(2, 2, { 'x-a': '2' })
    await page.hits({ 'x-a': '1' })
    await page.send({ method: 'POST', body: 'x' })
    await page.gets(4, 4, { 'x-a': '1' })
    await page.gets(5, 5, { 'x-a': '2' })
  })

  it('RFC 9111 §4.4: other queries of the path are other URIs', async () => {
    const page = rig().page(STANDARD, { fields: [FRESH] })
    await page.gets(1, 1, {}, '?a=1')
    await page.gets(2, 2, {}, '?a=2')
    await page.send({ method: 'POST', path: `${page.path}?a=1`, body: 'x' })
    await page.hits({}, 2, '?a=2')
    await page.gets(4, 4, {}, '?a=1')
  })

  for (const name of ['location', 'content-location'])
    for (const form of ['path', 'absolute', 'relative', 'absolute with the port of the scheme', 'HOST in capitals'])
      it(`RFC 9111 §4.4: ${name} of the response, as ${form}, is invalidated too`, () =>
        named(rig(), name, form, STANDARD, 'gone'))

  for (const name of ['location', 'content-location']) {
    it(`RFC 9111 §4.4: ${name} of another host is not: nobody empties the store of others`, () =>
      named(rig(), name, 'other host', 'other.test', 'kept'))
    it(`RFC 9111 §4.4: ${name} of another scheme or port is not`, async () => {
      await named(rig(), name, 'other scheme', STANDARD, 'kept')
      await named(rig(), name, 'other port', STANDARD, 'kept')
    })
  }

  it('RFC 9111 §4.4: a Location that cannot be read is nothing', async () => {
    for (const location of ['http://[', '//', 'http://:99999/', '\u00ff\u00fe', 'x'.repeat(4_000), '#a', '?']) {
      const page = rig().page(STANDARD, { fields: [FRESH] }, { status: 204, fields: [`location: ${location}`] })
      await page.gets(1, 1)
      assert.equal((await page.send({ method: 'POST', body: 'x' })).status, 204, location)
      await page.get()
      assert.equal(page.asked.length, 3)
    }
  })

  it('RFC 9875 §3: an unsafe request invalidates the groups that its response names, of its origin alone', async () => {
    const grouped: Answer = { fields: [FRESH, 'cache-groups: "scripts", "of-the-test"'] }
    const one = rig().page(STANDARD, grouped)
    const other = rig().page(STANDARD, { fields: [FRESH, 'cache-groups: "styles"'] })
    const elsewhere = rig().page('other.test', grouped)
    for (const page of [one, other, elsewhere]) await page.gets(1, 1)
    const door = rig().page(STANDARD, { status: 204, fields: ['cache-group-invalidation: "scripts"'] })
    await door.get()
    await one.hits()
    await door.send({ method: 'POST', body: 'x' })
    await one.gets(2, 2)
    await other.hits()
    await elsewhere.hits()
  })

  it('RFC 9111 §4.4: a fetch that was under way before the unsafe request is not stored as if it were new', async () => {
    const { promise, resolve } = Promise.withResolvers<void>()
    const page = rig().page(STANDARD, { fields: [FRESH], rest: promise }, { status: 204 }, { fields: [FRESH] })
    const first = page.get()
    await page.arrived(1)
    assert.equal((await page.send({ method: 'DELETE' })).status, 204)
    resolve()
    assert.equal((await first).text, `${page.path} answer 1`)
    await page.gets(3, 3)
  })
}

async function after(rig: CacheRig, answer: Answer, fate: 'gone' | 'kept'): Promise<void> {
  const page = rig.page(STANDARD, { fields: [FRESH] }, answer, { fields: [FRESH] })
  await page.gets(1, 1)
  await page.hits()
  await page.send({ method: 'POST', body: 'x' })
  if (fate === 'kept') await page.hits()
  else await page.gets(3, 3)
}

/** A POST whose response names another page. */
async function named(rig: CacheRig, name: string, form: string, host: string, fate: 'gone' | 'kept'): Promise<void> {
  const other: Page = rig.page(host, { fields: [FRESH] })
  const { path } = other
  const value = {
    path,
    absolute: `http://${host}${path}`,
    relative: path.slice(1),
    'absolute with the port of the scheme': `http://${host}:80${path}`,
    'HOST in capitals': `HTTP://${host.toUpperCase()}${path}`,
    'other host': `http://${host}${path}`,
    'other scheme': `https://${host}${path}`,
    'other port': `http://${host}:8080${path}`,
  }[form]!
  const door = rig.page(STANDARD, { status: 201, fields: [`${name}: ${value}`] })
  await other.gets(1, 1)
  await other.hits()
  await door.send({ method: 'POST', body: 'x' })
  if (fate === 'kept') await other.hits()
  else await other.gets(2, 2)
}
