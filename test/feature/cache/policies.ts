/** What the fields of `cache` do: modes, lifetimes, keys, bypass, version. */
import assert from 'node:assert/strict'
import { it } from 'node:test'
import { type CacheRig, date, type Fields, FRESH, type Row, shown, table } from './rig.ts'

/** Hostnames and their `cache`; `standard.test` has nothing stated. */
export const POLICIES: Readonly<Record<string, object>> = {
  'standard.test': {},
  'other.test': {},
  'override.test': { mode: 'Override', defaultTTL: '1h', maxTTL: '2h' },
  'codes.test': { ttlByCode: [{ codes: ['404', '500-502'], ttl: '1h' }] },
  'stale.test': { staleWhileRevalidate: '1h', staleIfError: '5h' },
  'include.test': { key: { query: { include: ['q', 'page'] } } },
  'drop.test': { key: { query: { include: ['q'], others: 'Drop' } } },
  'passed-by.test': { key: { query: { include: ['q'], others: 'Bypass' } } },
  'exclude.test': { key: { query: { exclude: ['utm_*', 'fbclid'], others: 'Drop' } } },
  'by.test': { key: { by: ['header:x-tenant', 'cookie:side', 'client.ip'] } },
  'bypass.test': { bypass: ['cookie:preview', 'header:x-debug', 'query:fresh'] },
  'small.test': { maxObjectBytes: '64Ki' },
  'capped.test': { maxTTL: '60s' },
  'tags.test': { tags: { header: 'surrogate-key' } },
}

const on = (host: string, rule: string, fate: Row['fate'], status: number, ...fields: string[]): Row => ({
  ...{ rule: `${host}: ${rule}`, host, answer: { status, fields }, fate },
})

const ROWS: readonly Row[] = [
  on('override.test', 'defaultTTL where the origin says nothing', 'hit', 200),
  on('override.test', 'what the origin says goes before defaultTTL', 'asks', 200, 'cache-control: max-age=0'),
  on('override.test', 'no-store of the origin holds', 'unstored', 200, 'cache-control: no-store'),
  on('override.test', 'private of the origin holds', 'unstored', 200, 'cache-control: private'),
  on('override.test', 'no-cache of the origin holds', 'asks', 200, 'cache-control: no-cache'),
  on('override.test', 'Set-Cookie is not stored', 'unstored', 200, 'set-cookie: a=b'),
  on('override.test', 'Vary: * holds', 'asks', 200, 'vary: *'),
  on('override.test', 'defaultTTL is for what may be stored by heuristics', 'asks', 500),
  on('override.test', 'maxTTL caps: older than it', 'asks', 200, 'cache-control: max-age=86400', 'age: 7300'),
  on('override.test', 'maxTTL caps: younger than it', 'hit', 200, 'cache-control: max-age=86400', 'age: 7000'),
  on('capped.test', 'maxTTL caps what the origin says', 'asks', 200, 'cache-control: max-age=3600', 'age: 90'),
  on('capped.test', 'maxTTL caps Expires', 'asks', 200, `expires: ${date(3_600)}`, 'age: 90'),
  on('capped.test', 'maxTTL caps heuristics', 'asks', 200, `last-modified: ${date(-9e8)}`, 'age: 90'),
  on('capped.test', 'maxTTL makes nothing fresh', 'asks', 200, 'cache-control: max-age=0'),
  on('codes.test', 'a 404 by its ttl', 'hit', 404),
  on('codes.test', 'a 501 by the ttl of its range', 'hit', 501),
  on('codes.test', 'a 503 is not in the range', 'asks', 503),
  on('codes.test', 'what the origin says goes before', 'asks', 404, 'cache-control: max-age=0'),
  on('codes.test', 'no-store of the origin holds', 'unstored', 404, 'cache-control: no-store'),
  on('codes.test', 'a 200 is not in the list', 'asks', 200),
]

/** Two requests of a page: whether the second is served what the first stored. */
const KEYS: readonly (readonly [host: string, rule: string, first: string, second: string, same: boolean])[] = [
  ['standard.test', 'all of the query counts', '?a=1&b=2', '?a=1&b=3', false],
  ['standard.test', 'without a choice, order counts', '?a=1&b=2', '?b=2&a=1', false],
  ['standard.test', 'an empty query is another URI', '', '?', false],
  ['standard.test', 'an empty parameter is another URI', '?a', '?a=', false],
  ['standard.test', 'the same', '?a=1&b=2', '?a=1&b=2', true],
  ['include.test', 'others do not count', '?q=1&x=2', '?q=1&x=3', true],
  ['include.test', 'those of the list count', '?q=1', '?q=2', false],
  ['include.test', 'order does not count', '?q=1&page=2', '?page=2&q=1', true],
  ['include.test', 'absent is not empty', '', '?q=', false],
  ['include.test', 'a name twice is not once', '?q=1', '?q=1&q=2', false],
  ['include.test', 'a name twice: their order counts', '?q=1&q=2', '?q=2&q=1', false],
  ['include.test', 'values that run into each other', '?q=1%26page=2', '?q=1&page=2', false],
  ['include.test', 'names in another case are others', '?q=1', '?Q=2&q=1', true],
  ['exclude.test', 'those of the list do not count', '?a=1&utm_source=x&fbclid=y', '?a=1&utm_medium=z', true],
  ['exclude.test', 'all others count', '?a=1', '?a=2', false],
  ['exclude.test', 'a prefix without its star is another name', '?utm=1', '?utm=2', false],
]

export function policies(rig: () => CacheRig): void {
  table(rig, ROWS)

  for (const [host, rule, first, second, same] of KEYS)
    it(`${host}: ${rule}`, async () => {
      const page = rig().page(host, { fields: [FRESH] })
      await page.gets(1, 1, {}, first)
      await page.hits({}, 1, first)
      if (same) await page.hits({}, 1, second)
      else await page.gets(2, 2, {}, second)
    })

  it('drop.test: what does not count is not sent to the origin either', async () => {
    const page = rig().page('drop.test', { fields: [FRESH] })
    await page.gets(1, 1, {}, '?x=evil&q=1&y')
    assert.equal(page.last.target, `${page.path}?q=1`)
    const none = rig().page('drop.test', { fields: [FRESH] })
    await none.gets(1, 1, {}, '?x=evil')
    assert.ok([none.path, `${none.path}?`].includes(none.last.target), none.last.target)
  })

  it('passed-by.test: a query with others is neither looked up nor stored', async () => {
    const page = rig().page('passed-by.test', { fields: [FRESH] })
    await page.gets(1, 1, {}, '?q=1&x=2')
    await page.gets(2, 2, {}, '?q=1&x=2')
    assert.equal(page.last.target, `${page.path}?q=1&x=2`)
    await page.gets(3, 3, {}, '?q=1')
    await page.hits({}, 3, '?q=1')
  })

  it('by.test: a header and a cookie of the key tell responses apart; absent is not empty', async () => {
    const page = rig().page('by.test', { fields: [FRESH] })
    const requests: readonly Fields[] = [
      {},
      { 'x-tenant': '' },
      { 'x-tenant': 'a' },
      { 'x-tenant': 'b' },
      { cookie: 'side=a' },
      { cookie: 'side=' },
      { 'x-tenant': 'a', cookie: 'side=b' },
      { 'x-tenant': 'b', cookie: 'side=a' },
    ]
    for (const [at, headers] of requests.entries()) await page.gets(at + 1, at + 1, headers)
    for (const [at, headers] of requests.entries()) await page.hits(headers, at + 1)
    await page.hits({ 'x-tenant': 'a', 'x-other': '1', cookie: 'else=1; side=b' }, 7)
  })

  it('bypass.test: neither looked up nor stored where one of them is present', async () => {
    const requests: readonly (readonly [Fields, string])[] = [
      [{ cookie: 'a=1; preview=' }, ''],
      [{ 'x-debug': '' }, ''],
      [{}, '?fresh'],
    ]
    for (const [headers, query] of requests) {
      const page = rig().page('bypass.test', { fields: [FRESH] })
      await page.gets(1, 1, headers, query)
      await page.gets(2, 2, headers, query)
      const plain = query === '' ? '' : '?other'
      await page.gets(3, 3, {}, plain)
      await page.hits({}, 3, plain)
      await page.gets(4, 4, headers, query)
      await page.hits({}, 3, plain)
    }
  })

  it('hosts and their rules do not share what they store', async () => {
    const page = rig().page('standard.test', { fields: [FRESH] })
    await page.gets(1, 1)
    const other = await page.send({ host: 'other.test' })
    assert.equal(other.text, `${page.path} answer 2`, shown(other))
    await page.hits()
  })

  it('a host is one in capitals and with the port of its scheme, and the origin is told no more than that', async () => {
    const page = rig().page('standard.test', { fields: [FRESH] })
    await page.send({ host: 'STANDARD.test:80' })
    assert.equal(page.last.fields.get('host'), 'standard.test')
    assert.equal(page.last.fields.get('x-forwarded-host'), 'standard.test')
    for (const host of ['standard.test', 'STANDARD.test', 'standard.tesT', 'standard.test:80', 'Standard.test:80'])
      assert.equal((await page.send({ host })).text, `${page.path} answer 1`, host)
    assert.equal(page.asked.length, 1)
  })

  it('what an origin makes of another spelling of its host is not for clients who write the usual one', async () => {
    const page = rig().page('standard.test', { fields: [FRESH] })
    await page.gets(1, 1)
    for (const host of ['standard.test.', 'STANDARD.test.'])
      assert.equal((await page.send({ host })).text, `${page.path} answer 2`, host)
    assert.equal(page.last.fields.get('host'), 'standard.test.')
    await page.hits()
  })

  it('a host that requestHeaders hand on as it is written is one for each way to write it', async () => {
    const page = rig().page('named.test', { fields: [FRESH] })
    for (const [i, host] of ['named.test', 'NAMED.test', 'named.test:80'].entries()) {
      assert.equal((await page.send({ host })).text, `${page.path} answer ${i + 1}`, host)
      assert.equal(page.last.fields.get('x-asked'), host)
      assert.equal(page.last.fields.get('host'), host)
      assert.equal((await page.send({ host })).text, `${page.path} answer ${i + 1}`, host)
    }
    await page.hits({}, 1)
  })
}
