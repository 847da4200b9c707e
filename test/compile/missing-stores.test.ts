import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { compile } from '../../src/compile/compile.ts'
import { CompileState } from '../../src/compile/compile-state.ts'
import type { ResourceSet } from '../../src/compile/resource-set.ts'
import { runSteps } from '../../src/lib/steps.ts'
import { route, SETTINGS, world } from './world.ts'

const REDIS = { addresses: ['redis:6379'], mode: 'Single', keyPrefix: 'headgate' } as const

const limit = (name: string, scope?: string) => ({
  name,
  requests: 1,
  per: '1s',
  by: ['client.ip'],
  ...(scope && { scope }),
})

function shop(policies: object | undefined, ofRule: object | undefined = undefined) {
  const rule = { name: 'web', matches: [], respond: { status: 200 }, ...(ofRule && { policies: ofRule }) }
  return route('shop/shop', { hostnames: ['shop.example.com'], rules: [rule], ...(policies && { policies }) } as never)
}

function refs(resources: ResourceSet, state = new CompileState()): string {
  const { statuses } = runSteps(compile(resources, state))
  const { conditions } = statuses.get('Route shop/shop')!
  return conditions
    .flatMap(({ type, reason, message }) => (type === 'ResolvedRefs' ? `${reason}: ${message}` : []))
    .join()
}

describe('what is to be kept in Redis or files while the settings name none', () => {
  it('is said of limits of all replicas, with what holds until then', () => {
    const cases: readonly (readonly [object | undefined, object | undefined, RegExp])[] = [
      [
        undefined,
        { rateLimits: [limit('a', 'Cluster'), limit('b'), limit('c', 'Cluster')] },
        /^StoreNotConfigured: rule web: what a, c of /,
      ],
      [{ rateLimits: [limit('a', 'Cluster')] }, undefined, /^StoreNotConfigured: what a of rateLimits /],
      [{ enforced: { rateLimits: [limit('a', 'Cluster')] } }, undefined, /^StoreNotConfigured: what a of rateLimits /],
      [undefined, { rateLimits: [limit('a'), limit('b', 'Local')] }, /^ResolvedRefs: |^$/],
    ]
    for (const [ofRoute, ofRule, expected] of cases)
      assert.match(refs(world({ routes: [shop(ofRoute, ofRule)] })), expected)
  })

  it('is said of caches, with where they keep responses until then', () => {
    const saidOf = (store: string, resources: Partial<ResourceSet> = {}): string =>
      refs({ ...world({ routes: [shop(undefined, { cache: { store } })] }), ...resources })
    const redis = { settings: { ...SETTINGS, redis: REDIS } }
    const files = { settings: { ...SETTINGS, stateDirectory: '/state' } }
    const cases: readonly (readonly [string, RegExp])[] = [
      [saidOf('Tiered'), /^StoreNotConfigured: rule web: .*; until then each replica has its own in memory/],
      [saidOf('Redis'), /^StoreNotConfigured: rule web: .*; until then none is stored/],
      ...[saidOf('Redis', redis), saidOf('Tiered', redis), saidOf('Memory'), saidOf('File', files)].map(
        (said) => [said, /^ResolvedRefs: /] as const,
      ),
      [saidOf('File', redis), /^StoreNotConfigured: rule web: .*no state directory; .*memory alone/],
      [saidOf('File', { ...files, clustered: true }), /^StoreNotConfigured: rule web: .*which no cluster has; /],
    ]
    for (const [said, expected] of cases) assert.match(said, expected)
  })

  it('is said no more of files once the settings name a state directory', () => {
    const state = new CompileState()
    const resources = world({ routes: [shop({ cache: { store: 'File' } })] })
    assert.match(refs(resources, state), /StoreNotConfigured/)
    assert.match(refs({ ...resources, settings: { ...SETTINGS, stateDirectory: '/state' } }, state), /^ResolvedRefs: /)
  })

  it('is said no more once the settings name one, and again when they do not', () => {
    const state = new CompileState()
    const resources = world({ routes: [shop({ rateLimits: [limit('a', 'Cluster')] })] })
    assert.match(refs(resources, state), /StoreNotConfigured/)
    assert.doesNotMatch(refs({ ...resources, settings: { ...SETTINGS, redis: REDIS } }, state), /StoreNotConfigured/)
    assert.match(refs({ ...resources, settings: SETTINGS }, state), /StoreNotConfigured/)
  })
})
