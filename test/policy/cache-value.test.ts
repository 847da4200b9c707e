/** `cache`: what is refused beyond the schema, and what a worker gets of the rest. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { type CacheValue, checkCache, planCache } from '../../src/policy/cache/value.ts'

const problems = (value: CacheValue) => [...checkCache(value)].map(({ path }) => path.join('.'))

const BY_THREE = ['key.by.0', 'key.by.1', 'key.by.2']

describe('cache', () => {
  it('refuses what could not mean what it says', () => {
    const cases: readonly (readonly [CacheValue, readonly string[]])[] = [
      [{}, []],
      [{ mode: 'Override' }, ['mode']],
      [{ mode: 'Override', defaultTTL: '1m' }, []],
      [{ key: { by: ['header:a', 'claim:sub', 'client.ip/24'] } }, []],
      [{ key: { by: ['path', 'header:a b'] } }, ['key.by.0', 'key.by.1']],
      [{ key: { by: ['header:X-Forwarded-For', 'header:x-client-cert-subject', 'header:via'] } }, BY_THREE],
      [{ key: { by: ['header:x-forwarded-user', 'header:x-client', 'cookie:via'] } }, []],
      [{ key: { query: { exclude: ['utm_*', '*'] } } }, []],
      [{ key: { query: { exclude: ['a*b', '**'] } } }, ['key.query.exclude.0', 'key.query.exclude.1']],
      [{ key: { query: { others: 'Drop' } } }, ['key.query.others']],
      [{ bypass: ['cookie:preview', 'consumer'] }, []],
      [{ bypass: ['client.ip', 'method', 'client.ip/8'] }, ['bypass.0', 'bypass.1', 'bypass.2']],
      [{ tags: { header: 'Surrogate-Key' } }, []],
      [{ tags: { header: 'Set-Cookie' } }, ['tags.header']],
      [{ maxObjectBytes: 0 }, ['maxObjectBytes']],
    ]
    for (const [value, places] of cases) assert.deepEqual(problems(value), places, JSON.stringify(value))
  })

  it('is switched off by maxTTL 0s, and otherwise has defaults', () => {
    assert.equal(planCache({ maxTTL: '0s' }), undefined)
    assert.deepEqual(planCache({}), {
      mode: 'Standard',
      ttlByCode: [],
      version: '',
      by: [],
      bypass: [],
      maxObjectBytes: 8 * 1024 * 1024,
      store: 'Memory',
    })
  })

  it('is one plan in whatever order a list is written', () => {
    const one = planCache({ key: { by: ['cookie:b', 'header:a'], query: { include: ['q', 'a'] } } })
    const other = planCache({ key: { by: ['header:a', 'cookie:b'], query: { include: ['a', 'q'] } } })
    assert.deepEqual(one, other)
    assert.deepEqual(one?.query, { include: ['a', 'q'], others: 'Drop' })
  })

  it('reads ranges of statuses and all durations', () => {
    const plan = planCache({
      ttlByCode: [{ codes: ['404', '500-504'], ttl: '10s' }],
      staleWhileRevalidate: '30s',
      staleIfError: '1h',
      maxTTL: '1d',
      maxObjectBytes: '1Mi',
    })
    assert.deepEqual(plan?.ttlByCode, [
      [404, 404, 10_000],
      [500, 504, 10_000],
    ])
    assert.deepEqual(
      [plan?.staleWhileRevalidate, plan?.staleIfError, plan?.maxTtl, plan?.maxObjectBytes],
      [30_000, 3_600_000, 86_400_000, 1_048_576],
    )
  })
})
