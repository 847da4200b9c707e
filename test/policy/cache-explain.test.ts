/** What `explain` says of the cache: the key, the verdict and why. */
import assert from 'node:assert/strict'
import { it } from 'node:test'
import { WHY } from '../../src/cache/cache-explanation.ts'
import { CACHE_RESULTS } from '../../src/cache/results.ts'
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
    'GET http://shop.example.com/a?q=1; namespace shop; route shop/shop; rule api; policy X; backend shop/up; header:accept-language="fr"'
  const keyOf = (explanation: ReturnType<typeof explain>) =>
    explanation?.cache?.key?.replace(/policy [^;]+;/, 'policy X;')
  const missing = explain(filter, {}, french)
  assert.equal(missing?.effect, 'asks the origin (miss NotStored)')
  assert.equal(keyOf(missing), key)
  assert.equal(missing?.cache?.why, 'nothing is stored for the key (RFC 9111 §4)')
  assert.deepEqual(missing?.cache?.stores, [{ store: 'Memory', state: 'nothing' }])
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
  assert.equal(stored?.effect, 'answers by what is stored (hit Memory)')
  assert.deepEqual([stored?.status, stored?.cache?.verdict, keyOf(stored)], [200, 'hit', key])
  const { age, left, lifetime, bytes, state } = stored!.cache!.stored!
  assert.deepEqual({ age, left, lifetime, bytes, state }, { age: 0, left: 60, lifetime: 60, bytes: 1, state: 'fresh' })
  assert.deepEqual(deps.reports, [])
})

it('has a reason for each result, with the section of its rule where an RFC states it', () => {
  for (const result of CACHE_RESULTS) assert.ok(WHY[result].length > 10, result)
})

it('shows no value of a field, cookie or parameter that may be a credential', () => {
  const by = ['cookie:sid', 'header:x-token', 'header:x-plain']
  const filter = cache.create(planCache({ key: { by } })!, testDeps(), PLAIN)!
  const secrets = { cookie: 'sid=s1', 'x-token': 's2', 'x-plain': 'p' }
  const query = 'access_token=s3&accessToken=s4&api-key=s5&%74oken=s6&k%65y=s7;session=s8&plain=p'
  const said = JSON.stringify(explain(filter, { query }, secrets))
  assert.doesNotMatch(said, /s\d/)
  assert.match(said, /plain=p/)
  assert.match(said, /x-plain=.*p/)
})
