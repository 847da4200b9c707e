/** What `explain` says of the cache: the key, the verdict and why. */
import assert from 'node:assert/strict'
import { it } from 'node:test'
import { composeBody } from '../../src/message/body-pipe.ts'
import { Fields } from '../../src/message/fields.ts'
import { cache } from '../../src/policy/cache/policy.ts'
import { type CacheValue, planCache } from '../../src/policy/cache/value.ts'
import type { Exchange } from '../../src/policy/exchange.ts'
import { PLAIN, SUMMARY, TestExchange, testDeps } from './exchange.ts'

function explain(filter: ReturnType<typeof cache.create>, given: Partial<Exchange> = {}, fields = {}) {
  return filter!.explain!(Object.freeze(new TestExchange({ path: '/a', query: 'q=1&x=2', ...given }, fields)))
}

it('says the key, the verdict and why, and changes nothing', () => {
  const deps = testDeps()
  const value: CacheValue = { key: { query: { include: ['q'] }, by: ['header:accept-language'] }, bypass: ['cookie:p'] }
  const filter = cache.create(planCache(value)!, deps, PLAIN)!
  const french = { 'accept-language': 'fr' }
  const key =
    'GET http://shop.example.com/a?q=1; namespace shop; route shop/shop; rule api; policy X; header:accept-language="fr"'
  const said = (explanation: ReturnType<typeof explain>) => explanation?.effect.replace(/policy [^;]+;/, 'policy X;')
  assert.equal(said(explain(filter, {}, french)), `asks the origin (miss NotStored): ${key}`)
  assert.equal(explain(filter, { method: 'POST' })?.effect, 'lets the request pass (bypass Method)')
  assert.equal(explain(filter, {}, { cookie: 'p=1' })?.effect, 'lets the request pass (bypass Condition)')
  assert.equal(explain(filter, {}, { 'cache-control': 'only-if-cached' })?.status, 504)
  const x = new TestExchange({ path: '/a', query: 'q=1&x=2' }, french)
  assert.equal(filter.onRequest!(x), undefined)
  assert.equal(x.query, 'q=1')
  const head = { status: 200, fields: Fields.from({ 'cache-control': 'max-age=60' }), bodyLength: 1 }
  assert.equal(filter.onResponse!(x, head, null), undefined)
  const pipe = composeBody([filter.responseBody!(x, head)!], { write: () => true, end() {}, fail() {} }, () => {})
  pipe.write(Buffer.from('1'))
  pipe.end(null)
  filter.onEnd!(x, SUMMARY)
  const stored = explain(filter, {}, french)
  assert.equal(said(stored), `answers by what is stored (Fresh), 0 s old, 60 s left: ${key}`)
  assert.equal(stored?.status, 200)
  assert.deepEqual(deps.reports, [])
})
