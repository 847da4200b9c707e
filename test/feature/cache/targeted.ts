/** RFC 9213: fields for caches like this one. RFC 9211: what the cache says that it did. */
import assert from 'node:assert/strict'
import { it } from 'node:test'
import { type CacheRig, cacheStatus, type Fate, FRESH, linesOf, type Row, STANDARD, shown, table } from './rig.ts'

const targeted = (rule: string, fate: Fate, ...answer: string[]): Row => ({ rule: `RFC 9213 ${rule}`, answer, fate })
const cdn = (value: string): string => `cdn-cache-control: ${value}`

const ROWS: readonly Row[] = [
  targeted('§2.2 it goes before Cache-Control: fresh', 'hit', cdn('max-age=3600'), 'cache-control: no-store'),
  targeted('§2.2 it goes before Cache-Control: not stored', 'unstored', cdn('no-store'), FRESH),
  targeted('§2.2 it goes before Cache-Control: private', 'unstored', cdn('private'), FRESH),
  targeted('§2.2 it goes before Cache-Control: stale', 'asks', cdn('max-age=0'), FRESH),
  targeted('§2.2 it goes before Expires', 'hit', cdn('max-age=3600'), 'expires: 0'),
  targeted(
    '§2.2 it goes before Expires that is ahead',
    'asks',
    cdn('max-age=0'),
    'expires: Fri, 31 Dec 9999 23:59:59 GMT',
  ),
  targeted('§2.2 s-maxage in it', 'hit', cdn('s-maxage=3600, max-age=0'), 'cache-control: no-store'),
  targeted('§2.2 empty is as if it were not there: fresh', 'hit', cdn(''), FRESH),
  targeted('§2.2 empty is as if it were not there: not stored', 'unstored', cdn(''), 'cache-control: no-store'),
  targeted('§2.1 what is no structured field is as if it were not there', 'hit', cdn('max-age=3600, &'), FRESH),
  targeted(
    '§2.1 what is no structured field opens nothing',
    'unstored',
    cdn('max-age=3600;;,'),
    'cache-control: no-store',
  ),
  targeted(
    '§2.1 directives it does not know are passed over',
    'hit',
    cdn('x-mine=?1, max-age=3600'),
    'cache-control: no-store',
  ),
  targeted('§2.1 parameters are passed over', 'hit', cdn('max-age=3600;a=b'), 'cache-control: no-store'),
  targeted('§2.1 names in capitals are no keys', 'hit', cdn('MAX-AGE=0'), FRESH),
  targeted('§2.1 a max-age that is no integer', 'asks', cdn('max-age="3600"'), 'cache-control: no-store'),
  targeted('§2.1 a negative max-age', 'asks', cdn('max-age=-5'), 'cache-control: no-store'),
  targeted('§2.1 a boolean that is false', 'hit', cdn('no-store=?0, max-age=3600'), 'cache-control: no-store'),
  targeted('two lines of it', 'asks', cdn('max-age=3600'), cdn('max-age=0'), FRESH),
]

export function targetedFields(rig: () => CacheRig): void {
  table(rig, ROWS)

  it('RFC 9213 §2.2: a client is told Cache-Control as the origin said it', async () => {
    const page = rig().page(STANDARD, { fields: [cdn('max-age=3600'), 'cache-control: max-age=5'] })
    await page.gets(1, 1)
    assert.equal((await page.hits()).header('cache-control'), 'max-age=5')
  })
}

export function cacheStatusField(rig: () => CacheRig): void {
  it('RFC 9211 Cache-Status of a hit, and of each reason to go forward', async () => {
    const old = ['cache-control: max-age=3600', 'age: 5400']
    const page = rig().page(STANDARD, { fields: [...old, 'etag: "one"'] }, { status: 304, fields: [FRESH] })
    const status = async (headers: Record<string, string> = {}) => cacheStatus(await page.get(headers))
    assert.equal((await status()).fwd, 'uri-miss')
    assert.equal((await status()).fwd, 'stale')
    assert.equal((await status()).hit, true)
    assert.equal((await status({ 'cache-control': 'no-cache' })).fwd, 'request')
    const vary = rig().page(STANDARD, { fields: [FRESH, 'vary: x-a'] })
    await vary.get({ 'x-a': '1' })
    assert.equal(cacheStatus(await vary.get({ 'x-a': '2' })).fwd, 'vary-miss')
    assert.equal(cacheStatus(await page.send({ method: 'POST', body: '' })).fwd, 'method')
    const bypassed = rig().page('bypass.test', { fields: [FRESH] })
    assert.equal(cacheStatus(await bypassed.get({ cookie: 'preview=1' })).fwd, 'bypass')
  })

  it('RFC 9211 §2.7: the key of what is fetched, for who may see it', async () => {
    const page = rig().page(STANDARD, { fields: [FRESH] })
    const { fwd, key, detail } = cacheStatus(await page.get())
    assert.deepEqual([fwd, detail], ['uri-miss', '"miss NotStored"'])
    assert.ok(String(key).endsWith(`${page.path}"`), String(key))
  })

  it('RFC 9211 §2: what caches behind us said stays before what we say', async () => {
    const page = rig().page(STANDARD, { fields: [FRESH, 'cache-status: "Behind";fwd=miss;stored'] })
    const first = await page.gets(1, 1)
    assert.match(linesOf(first, 'cache-status'), /^"Behind";fwd=miss;stored, [^,]+$/, shown(first))
    const hit = await page.hits()
    assert.match(linesOf(hit, 'cache-status'), /^"Behind";fwd=miss;stored, [^,]+;\s?hit/, shown(hit))
  })
}
