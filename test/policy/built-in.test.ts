import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { builtInFilters, POLICIES } from '../../src/policy/built-in.ts'
import type { PolicySet } from '../../src/policy/policy-set.ts'
import { rateLimits } from '../../src/policy/rate-limits/policy.ts'
import { PLAIN, TestExchange, testDeps } from './exchange.ts'

const edits = { set: [{ name: 'x-a', value: 'b' }], add: [], remove: [] }
const CORS = { allowOrigins: ['*'], allowMethods: [], allowHeaders: [], exposeHeaders: [], allowCredentials: false }
/** Gives every filter that comes with Headgate something to do, each action in turn. */
const SETS: readonly PolicySet[] = [
  { type: 'forward' } as const,
  { type: 'respond', statusCode: 200, body: 'x' } as const,
  { type: 'redirect', statusCode: 302, hostname: 'b.test' } as const,
  {
    type: 'issueTokens',
    ...{ namespace: 'shop', issuer: 'https://a.test', signingKeys: 'a', clients: 'b' },
    ...{ accessTokenTTL: 600_000, refreshTokenTTL: 86_400_000 },
  } as const,
].map((action) => ({
  ...PLAIN,
  action,
  rewrite: { hostname: 'a.internal' },
  requestHeaders: edits,
  responseHeaders: edits,
  limits: { maxRequestBytes: 10, concurrency: { requests: 5, origin: 'shop/web' } },
  withheld: ['x-user'],
  policies: {
    auth: {},
    cors: CORS,
    rateLimits: rateLimits.plan([{ name: 'a', requests: 1, per: '1s', by: ['consumer'] }], 'shop'),
  },
}))

describe('every filter that comes with Headgate', () => {
  // Rows are explained in the tests of their own folders.
  for (const definition of builtInFilters([]).definitions)
    it(`${definition.name} explains what it would do in one sentence, under its own name`, () => {
      const filters = SETS.flatMap((policy) => definition.create(policy, testDeps()) ?? [])
      assert.ok(filters.length > 0, 'no policy set gives it anything to do')
      for (const filter of filters) {
        assert.equal(filter.name, definition.name)
        const explanation = filter.explain?.(new TestExchange())
        assert.equal(explanation?.filter, definition.name)
        assert.match(explanation.effect, /^[a-z].{5,}[^.]$/)
      }
    })

  it('has nothing to do where nothing is asked for', () => {
    for (const { key } of POLICIES)
      assert.equal(
        builtInFilters()
          .definitions.find(({ name }) => name === key)!
          .create(PLAIN, testDeps()),
        undefined,
      )
  })
})
