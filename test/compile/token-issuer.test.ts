import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { RouteRule } from '../../src/api/route.ts'
import { compile } from '../../src/compile/compile.ts'
import { CompileState } from '../../src/compile/compile-state.ts'
import type { ResourceSet } from '../../src/compile/resource-set.ts'
import { runSteps } from '../../src/lib/steps.ts'
import { compiled, route, SETTINGS, world } from './world.ts'

const ISSUER = 'https://shop.example.com/oauth2'
const PATHS = ['/oauth2']

function issuerRule(store?: 'Redis' | 'Embedded', issuer = ISSUER): RouteRule {
  return {
    name: 'token',
    matches: PATHS.map((value) => ({ path: { type: 'PathPrefix', value } })),
    tokenIssuer: {
      ...{ issuer, signingKeySecretName: 'keys', clientsSecretName: 'clients' },
      ...{ accessTokenTTL: '10m', refreshTokenTTL: '30d' },
      ...(store === undefined ? {} : { store }),
    },
  }
}

const auth = { jwt: { issuer: ISSUER, audiences: ['a'], keys: { publicKeySecretName: 'k' } } }
const POLICIES = { auth, authorization: [{ name: 'a', claim: 'scope', hasAny: ['a'] }] }
const REDIS = { addresses: ['redis:6379'], mode: 'Single', keyPrefix: 'headgate' } as const

const shop = (rule: RouteRule, more: object = {}) =>
  route('shop/shop', { hostnames: ['shop.example.com'], rules: [rule], ...more } as never)

describe('a rule that issues tokens', () => {
  it('has neither auth nor authorization nor mirror of anybody, and all other policies', () => {
    const settings = { policies: { defaults: POLICIES, enforced: POLICIES } } as never
    const policies = {
      ...POLICIES,
      mirror: { backendRef: { name: 'm' } },
      enforced: POLICIES,
      timeouts: { idle: '7s' },
    }
    const { snapshot } = compiled(world({ settings, routes: [shop(issuerRule(), { policies })] }))
    const [set] = [...snapshot.policies.values()]
    assert.equal(set?.policies, undefined)
    assert.equal(set?.timeouts.idle, 7_000)
    assert.deepEqual(set?.action, {
      ...{ type: 'issueTokens', namespace: 'shop', issuer: ISSUER, accessTokenTTL: 600_000 },
      refreshTokenTTL: 30 * 86_400_000,
      signingKeys: 'Secret shop/keys * headgate.dev/signing-keys',
      clients: 'Secret shop/clients * headgate.dev/oauth-clients',
    })
  })

  it('is another policy set in another namespace, whose Secrets are others', () => {
    const other = route('evil/shop', { hostnames: ['evil.example.com'], rules: [issuerRule()] } as never)
    const { snapshot } = compiled(world({ routes: [shop(issuerRule()), other] }))
    const namespaces = [...snapshot.policies.values()].map(({ action }) => 'namespace' in action && action.namespace)
    assert.deepEqual(namespaces.sort(), ['evil', 'shop'])
  })

  const status = (resources: ResourceSet, state = new CompileState()) => {
    const { statuses } = runSteps(compile(resources, state))
    const { conditions } = statuses.get('Route shop/shop')!
    return conditions.flatMap(({ type, reason, message }) => (type === 'ResolvedRefs' ? `${reason}: ${message}` : []))
  }
  const stores = (resources: ResourceSet, state?: CompileState) =>
    /refresh tokens and ids of assertions are kept/.test(status(resources, state).join())

  it('says that it has no store where Redis is wanted and the settings name none', () => {
    for (const [store, clustered, redis, missing] of [
      [undefined, false, false, false],
      [undefined, true, false, true],
      [undefined, true, true, false],
      ['Redis', false, false, true],
      ['Redis', true, true, false],
      ['Embedded', true, false, false],
    ] as const) {
      const settings = redis ? { redis: REDIS } : {}
      const resources = { ...world({ settings, routes: [shop(issuerRule(store))] }), clustered }
      assert.equal(stores(resources), missing, `${store} ${clustered} ${redis}`)
    }
  })

  it('says so no more once the settings name one', () => {
    const state = new CompileState()
    const resources = world({ routes: [shop(issuerRule('Redis'))] })
    assert.equal(stores(resources, state), true)
    assert.equal(stores({ ...resources, settings: { ...SETTINGS, redis: REDIS } }, state), false)
    assert.equal(stores({ ...resources, settings: SETTINGS }, state), true)
  })

  it('serves its metadata below the root too, and nobody is told where it cannot', () => {
    const paths = (resources: ResourceSet) => {
      const { snapshot } = compiled(resources)
      return [...snapshot.hosts.values()].flatMap((host) => JSON.stringify(host).match(/"\/\.well-known[^"]*"/g) ?? [])
    }
    const one = world({ routes: [shop(issuerRule())] })
    assert.deepEqual([...new Set(paths(one))], ['"/.well-known/oauth-authorization-server/oauth2"'])
    const rules = [
      issuerRule(),
      { ...issuerRule(), name: 'again', matches: [{ path: { type: 'PathPrefix', value: '/b' } }] },
    ]
    const twice = world({ routes: [route('shop/shop', { hostnames: ['shop.example.com'], rules } as never)] })
    const { statuses } = compiled(twice)
    assert.doesNotMatch(JSON.stringify([...statuses.values()]), /well-known/)
  })
})
