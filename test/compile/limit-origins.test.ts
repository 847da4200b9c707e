import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { Policies } from '../../src/api/policies.ts'
import type { Compiled } from '../../src/compile/compile.ts'
import { compiled, prefix, type Rules, route, world } from './world.ts'

const LIMITS: Policies = {
  rateLimits: [{ name: 'a', requests: 1, per: '1s', by: ['host'] }],
  limits: { maxConcurrentRequests: 5 },
}

/** Where the limits of each rule count: rates, and requests at a time. */
function originsOf({ snapshot }: Compiled, hostname: string): Record<string, readonly [string, string]> {
  const { rules } = snapshot.hosts.get(hostname)!.common!
  return Object.fromEntries(
    rules.map(({ route: key, rule, policy }) => {
      const { policies, limits } = snapshot.policies.get(policy)!
      const plan = policies?.rateLimits as { owner: string; origin: string }
      return [`${key} ${rule}`, [`${plan.owner}: ${plan.origin}`, limits.concurrency!.origin]]
    }),
  )
}

const rules = (paths: readonly string[], policies?: Policies): Rules =>
  Object.fromEntries(
    paths.map((path) => [path.slice(1), { matches: [prefix(path)], ...(policies === undefined ? {} : { policies }) }]),
  )

describe('where a limit counts', () => {
  it('is its Route for what the Route states, and its rule for what a rule states, though the texts are equal', () => {
    const result = compiled(
      world({
        routes: [
          route('shop/all', { hostnames: ['a.test'], policies: LIMITS, rules: rules(['/one', '/two']) }),
          route('shop/each', { hostnames: ['b.test'], rules: rules(['/one', '/two'], LIMITS) }),
          route('shop/other', { hostnames: ['c.test'], policies: LIMITS, rules: rules(['/one']) }),
        ],
      }),
    )
    const all = ['shop: shop/all', 'shop/all'] as const
    assert.deepEqual(originsOf(result, 'a.test'), { 'shop/all one': all, 'shop/all two': all })
    assert.deepEqual(originsOf(result, 'b.test'), {
      'shop/each one': ['shop: shop/each one', 'shop/each one'],
      'shop/each two': ['shop: shop/each two', 'shop/each two'],
    })
    assert.deepEqual(originsOf(result, 'c.test'), { 'shop/other one': ['shop: shop/other', 'shop/other'] })
  })

  it('is the owner for what it enforces on delegates, and the settings for what they state', () => {
    const delegates = [{ namespaces: { from: 'All' as const }, pathPrefixes: ['/team'] }]
    const result = compiled(
      world({
        routes: [
          route('shop/owner', {
            hostnames: ['a.test'],
            delegates,
            policies: { enforced: LIMITS },
            rules: rules(['/own']),
          }),
          route('team/guest', { hostnames: ['a.test'], rules: rules(['/team'], LIMITS) }),
        ],
      }),
    )
    const owner = ['shop: shop/owner', 'shop/owner'] as const
    assert.deepEqual(originsOf(result, 'a.test'), { 'shop/owner own': owner, 'team/guest team': owner })
    const settings = compiled(
      world({
        settings: { policies: { defaults: LIMITS } },
        routes: [
          route('shop/a', { hostnames: ['a.test'], rules: rules(['/one']) }),
          route('team/b', { hostnames: ['a.test'], rules: rules(['/two']) }),
        ],
      }),
    )
    for (const origin of Object.values(originsOf(settings, 'a.test'))) assert.deepEqual(origin, [': ', ''])
  })
})
