import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { MAX_OBJECT_COST, objectCost } from '../../src/api/cost.ts'
import type { Policies } from '../../src/api/policies.ts'
import type { Compiled } from '../../src/compile/compile.ts'
import type { PolicySet } from '../../src/policy/policy-set.ts'
import { compiled, prefix, type Rules, route, world } from './world.ts'

const pages = (key: string) => ({ errors: [{ codes: ['503'], bodyRef: { configMapName: 'pages', key } }] }) as Policies

function policiesOf({ snapshot }: Compiled, hostname: string): Record<string, PolicySet['policies']> {
  const { rules } = snapshot.hosts.get(hostname)!.common!
  return Object.fromEntries(
    rules.map(({ route: key, rule, policy }) => [`${key} ${rule}`, snapshot.policies.get(policy)!.policies]),
  )
}

const content = (policies: PolicySet['policies']) =>
  (policies?.errors as readonly { readonly body: { readonly content: string } }[] | undefined)?.[0]?.body.content

describe('a name in a policy', () => {
  it('is resolved in the namespace of its author: of the Route, or of the enforcing owner', () => {
    const rules = (path: string, policies?: Policies): Rules => ({
      main: { matches: [prefix(path)], ...(policies === undefined ? {} : { policies }) },
    })
    const delegates = [{ namespaces: { from: 'All' as const }, pathPrefixes: ['/team'] }]
    const result = compiled(
      world({
        routes: [
          route('shop/owner', {
            hostnames: ['a.test'],
            delegates,
            policies: { enforced: pages('enforced') },
            rules: rules('/'),
          }),
          route('team/guest', { hostnames: ['a.test'], rules: rules('/team', pages('own')) }),
          route('shop/free', { hostnames: ['b.test'], delegates, rules: rules('/', pages('own')) }),
          route('team/free', { hostnames: ['b.test'], rules: rules('/team', pages('own')) }),
        ],
      }),
    )
    const enforced = policiesOf(result, 'a.test')
    assert.equal(content(enforced['team/guest main']), 'ConfigMap shop/pages enforced')
    assert.equal(content(enforced['shop/owner main']), 'ConfigMap shop/pages enforced')
    const free = policiesOf(result, 'b.test')
    assert.equal(content(free['shop/free main']), 'ConfigMap shop/pages own')
    assert.equal(content(free['team/free main']), 'ConfigMap team/pages own')
  })

  it('of the settings can be none: their pages are written out', () => {
    const errors = [{ codes: ['503'], body: 'x' }]
    const result = compiled(
      world({
        settings: { policies: { defaults: { errors } as Policies, enforced: {} } },
        routes: [route('shop/a', { hostnames: ['a.test'] })],
      }),
    )
    assert.deepEqual(policiesOf(result, 'a.test')['shop/a main'], {
      errors: [{ codes: [[503, 503]], source: 'Gateway', contentType: 'text/plain; charset=utf-8', body: 'x' }],
    })
  })
})

describe('the cost of pages', () => {
  const page = { codes: ['503'], body: 'x'.repeat(8_192) }
  const costOf = (rules: number, spec: object, policies?: object) =>
    objectCost('Route', {
      spec: { rules: Array.from({ length: rules }, (_, i) => ({ name: `r${i}`, respond: {}, policies })), ...spec },
    })
  it('counts those of each rule', () => {
    const plain = costOf(10, {}).units
    const paged = costOf(10, {}, { errors: [page, page] })
    assert.ok(paged.units - plain >= (10 * 2 * 8_192) / 16, `${paged.units} against ${plain}`)
    assert.match(paged.largest, /policies of rules/)
  })

  it('counts those of a Route once for each rule that says something of its own, and refuses too much of it', () => {
    const errors = Array.from({ length: 8 }, () => page)
    const { units, largest } = costOf(64, { policies: { errors, enforced: { errors } } }, { retry: {} })
    assert.ok(units > MAX_OBJECT_COST)
    assert.match(largest, /policies of the Route/)
  })
})
