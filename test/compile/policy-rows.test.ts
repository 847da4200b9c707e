import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { MAX_OBJECT_COST, objectCost } from '../../src/api/cost.ts'
import type { Policies } from '../../src/api/policies.ts'
import type { Compiled } from '../../src/compile/compile.ts'
import type { PolicySet } from '../../src/policy/policy-set.ts'
import { backend, compiled, conditionsOf, messageOf, prefix, type Rules, route, service, world } from './world.ts'

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

describe('a Backend in a policy', () => {
  const mirrorTo = (backendRef: object): Policies => ({ mirror: { backendRef } }) as Policies
  const to = (backendRef: object): Rules => ({ main: { policies: mirrorTo(backendRef) } })
  const resolved = (result: Compiled) => [
    conditionsOf(result, 'shop/a').ResolvedRefs,
    messageOf(result, 'shop/a', 'ResolvedRefs'),
  ]
  const endpoints = [{ address: '10.0.0.1', port: 80, weight: 1 }]
  const planOf = (result: Compiled, hostname: string) =>
    Object.values(policiesOf(result, hostname)).map((policies) => policies?.mirror)

  it('is one of the author, or of the namespace that is named, or a Service', () => {
    const routes = [
      route('shop/a', { hostnames: ['a.test'], rules: to({ name: 'shadow' }) }),
      route('shop/b', { hostnames: ['b.test'], rules: to({ name: 'shadow', namespace: 'lab' }) }),
      route('shop/c', { hostnames: ['c.test'], rules: to({ service: { name: 'shadow', port: 'http' } }) }),
    ]
    const result = compiled(world({ routes }))
    const from = { from: 'shop', percent: 100 }
    assert.deepEqual(planOf(result, 'a.test'), [{ backend: 'shop/shadow', ...from }])
    assert.deepEqual(planOf(result, 'b.test'), [{ backend: 'lab/shadow', ...from }])
    assert.deepEqual(planOf(result, 'c.test'), [{ backend: 'service:shop/shadow:http', ...from }])
  })

  it('is of the enforcing owner where that states it, and of nobody in the settings', () => {
    const rules = (path: string): Rules => ({ main: { matches: [prefix(path)] } })
    const result = compiled(
      world({
        routes: [
          route('shop/owner', {
            hostnames: ['a.test'],
            delegates: [{ namespaces: { from: 'All' as const }, pathPrefixes: ['/team'] }],
            policies: { enforced: mirrorTo({ name: 'audit' }) },
            rules: rules('/'),
          }),
          route('team/guest', { hostnames: ['a.test'], rules: rules('/team') }),
        ],
      }),
    )
    const plans = planOf(result, 'a.test')
    assert.deepEqual(plans, [plans[0], plans[0]])
    assert.deepEqual(plans[0], { backend: 'shop/audit', from: 'shop', percent: 100 })
    const settings = { policies: { defaults: mirrorTo({ name: 'audit', namespace: 'ops' }), enforced: {} } }
    const all = compiled(world({ settings, routes: [route('shop/a', { hostnames: ['a.test'] })] }))
    assert.deepEqual(planOf(all, 'a.test'), [{ backend: 'ops/audit', from: undefined, percent: 100 }])
  })

  it('is reported where it is missing or does not allow the Route, and its rule is served all the same', () => {
    const routes = [route('shop/a', { hostnames: ['a.test'], rules: to({ name: 'shadow', namespace: 'lab' }) })]
    const missing = compiled(world({ routes }))
    assert.deepEqual(resolved(missing), [
      'False/BackendNotFound',
      'rule main: there is no Backend lab/shadow; create it or correct the name.',
    ])
    assert.equal(missing.snapshot.hosts.get('a.test')!.common!.rules[0]!.refuse, undefined)
    const closed = compiled(world({ routes, backends: [backend('lab/shadow', { endpoints })] }))
    assert.equal(resolved(closed)[0], 'False/BackendNotAllowed')
    assert.equal(closed.snapshot.backends.get('lab/shadow')!.allowed, undefined)
    const allowedNamespaces = { from: 'Names', names: ['shop'] } as const
    const open = compiled(world({ routes, backends: [backend('lab/shadow', { endpoints, allowedNamespaces })] }))
    assert.equal(resolved(open)[0], 'True/ResolvedRefs')
    assert.deepEqual(open.snapshot.backends.get('lab/shadow')!.allowed, ['shop'])
  })

  it('that is a Service gets the endpoints of that', () => {
    const routes = [
      route('shop/a', { hostnames: ['a.test'], rules: to({ service: { name: 'shadow', port: 'http' } }) }),
    ]
    const services = [service('shop/shadow', [{ name: 'http', port: 80, protocol: 'TCP' }])]
    const { snapshot } = compiled(world({ routes, services }))
    assert.ok(snapshot.backends.has('service:shop/shadow:http'))
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
