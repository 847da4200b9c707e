/** RFC 9111 §5.2.1 and §4.2.4: what a client asks of the store, and when something stale is served. */
import assert from 'node:assert/strict'
import { it } from 'node:test'
import { type CacheRig, FRESH, type Row, STANDARD, shown, table } from './rig.ts'

const OLD = ['cache-control: max-age=3600', 'age: 1800']
/** What is stale at once is worth storing only where it can be validated. */
const STALE = ['cache-control: max-age=3600', 'age: 5400', 'etag: "a"']

const asked = (rule: string, answer: readonly string[], directives: string, fate: Row['fate']): Row => ({
  ...{ rule: `§5.2.1 ${rule}`, answer, request: {}, again: { 'cache-control': directives }, fate },
})

const ROWS: readonly Row[] = [
  asked('max-age that the response is younger than', OLD, 'max-age=3000', 'hit'),
  asked('max-age that it is older than', OLD, 'max-age=600', 'asks'),
  asked('max-age=0', [FRESH], 'max-age=0', 'asks'),
  asked('max-age=0 with a validator', [FRESH, 'etag: "a"'], 'max-age=0', 'validates'),
  asked('MAX-AGE in any case', OLD, 'MAX-AGE=600', 'asks'),
  asked('min-fresh that is left', OLD, 'min-fresh=600', 'hit'),
  asked('min-fresh that is not left', OLD, 'min-fresh=3000', 'asks'),
  asked('max-stale alone: however stale', STALE, 'max-stale', 'hit'),
  asked('max-stale that is enough', STALE, 'max-stale=3600', 'hit'),
  asked('max-stale that is not enough', STALE, 'max-stale=600', 'asks'),
  asked('max-stale and max-age: the stricter', STALE, 'max-stale, max-age=600', 'asks'),
  asked('no-cache', [FRESH], 'no-cache', 'asks'),
  asked('no-cache with a validator', [FRESH, 'etag: "a"'], 'no-cache', 'validates'),
  asked('no-cache before max-stale', STALE, 'no-cache, max-stale', 'asks'),
  asked('no-cache and only-if-cached of what is fresh', [FRESH], 'x, no-cache', 'asks'),
  asked('only-if-cached of what is fresh', [FRESH], 'only-if-cached', 'hit'),
  asked('no-transform', [FRESH], 'no-transform', 'hit'),
  asked('one that nobody knows', [FRESH], 'x-unknown, y=2', 'hit'),
  asked('max-age that cannot be read', [FRESH], 'max-age=x', 'asks'),
  asked(
    'max-stale against must-revalidate (§5.2.2.2)',
    [`${STALE[0]!}, must-revalidate`, STALE[1]!, STALE[2]!],
    'max-stale',
    'asks',
  ),
  asked(
    'max-stale against proxy-revalidate (§5.2.2.8)',
    [`${STALE[0]!}, proxy-revalidate`, STALE[1]!, STALE[2]!],
    'max-stale',
    'asks',
  ),
  asked(
    'max-stale against s-maxage (§5.2.2.10)',
    ['cache-control: s-maxage=3600', STALE[1]!, STALE[2]!],
    'max-stale',
    'asks',
  ),
  asked('max-stale against no-cache (§5.2.2.4)', [`${STALE[0]!}, no-cache`, STALE[1]!, STALE[2]!], 'max-stale', 'asks'),
  {
    rule: '§5.4 Pragma: no-cache where there is no Cache-Control',
    answer: [FRESH],
    request: {},
    again: { pragma: 'no-cache' },
    fate: 'asks',
  },
  {
    ...{ rule: '§5.4 Pragma beside Cache-Control is nothing', answer: [FRESH], request: {} },
    ...{ again: { pragma: 'no-cache', 'cache-control': 'max-stale' }, fate: 'hit' },
  },
]

export function directives(rig: () => CacheRig): void {
  table(rig, ROWS)

  it('RFC 9111 §5.2.1.7: only-if-cached of nothing is 504, and the origin hears nothing', async () => {
    const page = rig().page(STANDARD, { fields: [FRESH] })
    const answer = await page.get({ 'cache-control': 'only-if-cached' })
    assert.equal(answer.status, 504, shown(answer))
    assert.equal(page.asked.length, 0)
  })

  it('RFC 9111 §5.2.1.7: only-if-cached of what is stale is 504', async () => {
    const page = rig().page(STANDARD, { fields: STALE })
    await page.gets(1, 1)
    assert.equal((await page.get({ 'cache-control': 'only-if-cached' })).status, 504)
    assert.equal(page.asked.length, 1)
  })

  it('RFC 9111 §5.2.1.5: no-store of a request neither uses up nor replaces what is stored for others', async () => {
    const page = rig().page(STANDARD, { fields: [FRESH] })
    await page.gets(1, 1)
    const answer = await page.get({ 'cache-control': 'no-store' })
    assert.ok(page.asked.length <= 2, shown(answer))
    await page.hits()
  })

  it('RFC 9111 §5.2.1.4: what no-cache brings replaces what was stored', async () => {
    const page = rig().page(STANDARD, { fields: [FRESH] })
    await page.gets(1, 1)
    await page.gets(2, 2, { 'cache-control': 'no-cache' })
    await page.hits({}, 2)
  })

  it('RFC 9111 §5.2.1.4: what no-cache brings and may not be stored leaves nothing behind that is older', async () => {
    const page = rig().page(STANDARD, { fields: [FRESH] }, { fields: ['cache-control: no-store'] })
    await page.gets(1, 1)
    await page.gets(2, 2, { 'cache-control': 'no-cache' })
    // Either the fresh one that is still stored, or a new one: never an error.
    const third = await page.get()
    assert.ok([1, 3].map((number) => `${page.path} answer ${number}`).includes(third.text), third.text)
  })

  it('RFC 9111 §4.2.4: nothing stale is served because the origin fails, unless something says so', async () => {
    const page = rig().page(STANDARD, { fields: STALE }, { status: 503, fields: ['cache-control: no-store'] })
    await page.gets(1, 1)
    assert.equal((await page.get()).status, 503)
  })

  for (const directive of ['must-revalidate', 'proxy-revalidate', 's-maxage=3600', 'no-cache'])
    it(`RFC 9111 §4.2.4: ${directive} forbids what is stale, also where the policy and the origin would allow it`, async () => {
      const allowed = 'stale-while-revalidate=9999, stale-if-error=9999'
      const fields = [`cache-control: max-age=3600, ${allowed}, ${directive}`, 'age: 5400', 'etag: "a"']
      const page = rig().page('stale.test', { fields }, { status: 503, fields: ['cache-control: no-store'] })
      await page.gets(1, 1)
      assert.equal((await page.get()).status, 503)
      assert.equal(page.asked.length, 2)
    })
}
