import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import type { Policies } from '../../src/api/policies.ts'
import { type Compiled, compile } from '../../src/compile/compile.ts'
import { CompileState } from '../../src/compile/compile-state.ts'
import { backend, compiled, prefix, type Rules, route, service, type World, world } from './world.ts'

const jwt = (header: string) => ({
  jwt: {
    issuer: 'https://id.test/',
    audiences: ['a'],
    keys: { publicKeySecretName: 'keys' },
    claimsToHeaders: [{ claim: 'sub', header }],
  },
})
const auth = (header: string) => ({ auth: jwt(header) }) as Policies
const to = (name: string, policies?: Policies, namespace?: string): Rules[string] => ({
  backendRefs: [{ name, ...(namespace === undefined ? {} : { namespace }), weight: 1, priority: 0 }],
  ...(policies === undefined ? {} : { policies }),
})
const open = { endpoints: [{ address: '10.0.0.1', port: 80, weight: 1 }] }

/** What each rule takes out of requests, by `route rule`. */
function withheld({ snapshot }: Compiled): Record<string, readonly string[]> {
  const found: Record<string, readonly string[]> = {}
  for (const [, host] of snapshot.hosts)
    for (const { route: key, rule, policy } of host.common!.rules) {
      const set = snapshot.policies.get(policy)!
      if (set.withheld !== undefined) found[`${key} ${rule}`] = set.withheld
    }
  return found
}

describe('identity headers', () => {
  it('are taken out on every other rule to the Backend, of whatever Route, and nowhere else', () => {
    const result = compiled(
      world({
        backends: [backend('shop/api', open), backend('shop/other', open)],
        routes: [
          route('shop/a', {
            hostnames: ['a.test'],
            rules: {
              safe: { ...to('api', auth('X_User')), matches: [prefix('/safe')] },
              open: { ...to('api'), matches: [prefix('/open')] },
              elsewhere: { ...to('other'), matches: [prefix('/elsewhere')] },
              answer: { matches: [prefix('/answer')] },
            },
          }),
          route('shop/b', { hostnames: ['b.test'], rules: { main: to('api', auth('x-name')) } }),
          route('shop/c', { hostnames: ['c.test'], rules: { main: to('api') } }),
        ],
      }),
    )
    assert.deepEqual(withheld(result), {
      'shop/a safe': ['x-name'],
      'shop/a open': ['x-name', 'x-user'],
      'shop/b main': ['x-user'],
      'shop/c main': ['x-name', 'x-user'],
    })
  })

  it('are those that requestHeaders make of claims and consumers, too', () => {
    const set = (name: string, value: string) => ({ requestHeaders: { set: [{ name, value }] } }) as Policies
    const add = (name: string, value: string) => ({ requestHeaders: { add: [{ name, value }] } }) as Policies
    const result = compiled(
      world({
        backends: [backend('shop/api', open)],
        routes: [
          route('shop/a', { hostnames: ['a.test'], rules: { main: to('api', set('x-user', 'u-%{claim:sub}')) } }),
          route('shop/b', { hostnames: ['b.test'], rules: { main: to('api', add('x-who', '%{consumer}')) } }),
          route('shop/c', { hostnames: ['c.test'], rules: { main: to('api', set('x-env', '%{host}')) } }),
          route('shop/d', { hostnames: ['d.test'], rules: { main: to('api', set('authorization', '%{claim:t}')) } }),
        ],
      }),
    )
    assert.deepEqual(withheld(result), {
      'shop/a main': ['x-who'],
      // `add` removes nothing that the client sent.
      'shop/b main': ['x-user', 'x-who'],
      'shop/c main': ['x-user', 'x-who'],
      'shop/d main': ['x-user', 'x-who'],
    })
  })

  it('are the same for all that has the pods of one Service', () => {
    const direct = (port: number | string): Rules[string] => ({
      backendRefs: [{ service: { name: 'api', port }, weight: 1, priority: 0 }],
    })
    const result = compiled(
      world({
        services: [service('shop/api', [{ name: 'http', port: 80, protocol: 'TCP' }])],
        backends: [backend('shop/named', { service: { name: 'api', port: 80 } })],
        routes: [
          route('shop/a', { hostnames: ['a.test'], rules: { main: to('named', auth('x-user')) } }),
          route('shop/b', { hostnames: ['b.test'], rules: { main: direct(80) } }),
          route('shop/c', { hostnames: ['c.test'], rules: { main: direct('http') } }),
        ],
      }),
    )
    assert.deepEqual(withheld(result), { 'shop/b main': ['x-user'], 'shop/c main': ['x-user'] })
  })

  it('are those of the Backend that copies go to, where it allows that', () => {
    const mirror = { mirror: { backendRef: { name: 'api', namespace: 'shop' } } } as Policies
    const at = (from: 'Same' | 'All') =>
      withheld(
        compiled(
          world({
            backends: [backend('shop/api', { ...open, allowedNamespaces: { from } }), backend('lab/own', open)],
            routes: [
              route('shop/a', { hostnames: ['a.test'], rules: { main: to('api', auth('x-user')) } }),
              route('lab/b', { hostnames: ['b.test'], rules: { main: to('own', mirror) } }),
            ],
          }),
        ),
      )
    assert.deepEqual(at('All'), { 'lab/b main': ['x-user'] })
    assert.deepEqual(at('Same'), {})
  })

  it('of an owner that enforces them are stated by the rules of delegates', () => {
    const result = compiled(
      world({
        backends: [backend('team/api', open)],
        routes: [
          route('shop/owner', {
            hostnames: ['a.test'],
            delegates: [{ namespaces: { from: 'All' }, pathPrefixes: ['/team'] }],
            policies: { enforced: auth('x-user') },
          }),
          route('team/guest', {
            hostnames: ['a.test'],
            rules: { main: { ...to('api'), matches: [prefix('/team')] } },
          }),
          route('team/own', { hostnames: ['b.test'], rules: { main: to('api') } }),
        ],
      }),
    )
    assert.deepEqual(withheld(result), { 'team/own main': ['x-user'] })
  })

  it('of one namespace take nothing from another in Strict tenancy, unless the Backend is its own', () => {
    const at = (tenancy: 'Shared' | 'Strict') =>
      withheld(
        compiled(
          world({
            settings: { tenancy, hostnames: [{ namespaces: { from: 'All' }, names: ['*'] }] },
            backends: [backend('shop/api', { ...open, allowedNamespaces: { from: 'All' } })],
            routes: [
              route('shop/a', { hostnames: ['a.shop.test'], rules: { main: to('api', auth('x-user')) } }),
              route('evil/b', { hostnames: ['b.test'], rules: { main: to('api', auth('x-csrf'), 'shop') } }),
              route('lab/c', { hostnames: ['c.test'], rules: { main: to('api', undefined, 'shop') } }),
            ],
          }),
        ),
      )
    assert.deepEqual(at('Shared'), {
      'shop/a main': ['x-csrf'],
      'evil/b main': ['x-user'],
      'lab/c main': ['x-csrf', 'x-user'],
    })
    assert.deepEqual(at('Strict'), { 'evil/b main': ['x-user'], 'lab/c main': ['x-user'] })
  })

  it('are stated by nobody who may not use the Backend', () => {
    const result = compiled(
      world({
        backends: [backend('shop/api', open)],
        routes: [
          route('shop/a', { hostnames: ['a.test'], rules: { main: to('api') } }),
          route('evil/b', { hostnames: ['b.test'], rules: { main: to('api', auth('x-user'), 'shop') } }),
        ],
      }),
    )
    assert.deepEqual(withheld(result), {})
  })

  it('are the same after any edits as in a compile of their own', () => {
    const edit = fc.record({
      route: fc.constantFrom('a', 'b', 'c', 'd'),
      host: fc.constantFrom('a.test', 'b.test', '*.test', 'c.test'),
      backend: fc.constantFrom('api', 'other', 'twin'),
      header: fc.constantFrom(undefined, 'x-user', 'x-name', 'x_user'),
      gone: fc.boolean(),
      service: fc.constantFrom('one', 'two'),
      tenancy: fc.constantFrom('Shared' as const, 'Strict' as const),
    })
    fc.assert(
      fc.property(fc.array(edit, { minLength: 1, maxLength: 8 }), (edits) => {
        const memo = new CompileState()
        const routes = new Map<string, ReturnType<typeof route>>()
        let last: World = {}
        let result: Compiled | undefined
        for (const one of edits) {
          if (one.gone) routes.delete(one.route)
          else {
            const policies = one.header === undefined ? undefined : auth(one.header)
            const rules = { main: to(one.backend, policies) }
            routes.set(one.route, route(`shop/${one.route}`, { hostnames: [one.host], rules }))
          }
          last = {
            settings: { tenancy: one.tenancy, hostnames: [{ namespaces: { from: 'All' }, names: ['*'] }] },
            services: [
              service('shop/one', [{ port: 80, protocol: 'TCP' }]),
              service('shop/two', [{ port: 80, protocol: 'TCP' }]),
            ],
            backends: [
              backend('shop/api', { service: { name: 'one', port: 80 } }),
              backend('shop/twin', { service: { name: one.service, port: 80 } }),
              backend('shop/other', open),
            ],
            routes: [...routes.values()],
          }
          const run = compile(world(last), memo)
          let step = run.next()
          while (step.done !== true) step = run.next()
          result = step.value
        }
        assert.deepEqual(withheld(result!), withheld(compiled(world(last))))
      }),
      { numRuns: 150 },
    )
  })
})
