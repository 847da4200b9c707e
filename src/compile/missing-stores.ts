/** What Routes want to keep in Redis or files while the settings name none: each serves on with less, and says so. */
import type { Policies } from '../api/policies.ts'
import type { Route, RouteRule } from '../api/route.ts'
import type { RoutePlan } from './plan.ts'
import type { BrokenReference } from './references.ts'
import type { ResourceSet } from './resource-set.ts'

type CacheStore = NonNullable<Policies['cache']>['store']

const NAME_IT = 'and the settings name none; write redis in the settings'

interface Stores {
  readonly redis: boolean
  readonly stateDirectory: boolean
  /** Replicas know nothing of each other's files: there are none. */
  readonly clustered: boolean
}

const NO_STORES: Stores = { redis: false, stateDirectory: false, clustered: false }

export function missingStores({ settings, clustered = false }: ResourceSet, plan: RoutePlan): BrokenReference[] {
  const { spec } = plan.resource.object
  const stores = {
    redis: settings.redis !== undefined,
    stateDirectory: settings.stateDirectory !== undefined,
    clustered,
  }
  return [
    ...(stores.redis ? [] : plan.rules.flatMap(({ rule }) => missingGrantStore(rule, clustered))),
    ...statedPolicies(spec).flatMap(({ rule, policies }) => missingFor(rule, policies, stores)),
  ]
}

/** Whether its conditions depend on `redis` or `stateDirectory` of the settings. */
export function mayNeedStores({ spec }: Route): boolean {
  return (
    spec.rules.some(({ tokenIssuer }) => tokenIssuer !== undefined) ||
    statedPolicies(spec).some(({ rule, policies }) => missingFor(rule, policies, NO_STORES).length > 0)
  )
}

/** What needs no store works all the same. */
function missingGrantStore({ name, tokenIssuer }: RouteRule, clustered: boolean) {
  if (tokenIssuer === undefined || (tokenIssuer.store ?? (clustered ? 'Redis' : 'Embedded')) === 'Embedded') return []
  const message = `refresh tokens and ids of assertions are kept in Redis, ${NAME_IT}, or store: Embedded where there is one replica`
  return [{ rule: name, reason: 'StoreNotConfigured' as const, message }]
}

interface Stated {
  /** Undefined: for all rules of the Route. */
  readonly rule: string | undefined
  readonly policies: Policies | undefined
}

function statedPolicies({ policies, rules }: Route['spec']): Stated[] {
  return [
    { rule: undefined, policies: policies?.enforced },
    { rule: undefined, policies },
    ...rules.map((rule) => ({ rule: rule.name, policies: rule.policies })),
  ]
}

function missingFor(rule: string | undefined, policies: Policies | undefined, stores: Stores): BrokenReference[] {
  const limits = (policies?.rateLimits ?? []).filter(({ scope }) => scope === 'Cluster')
  const messages = [
    stores.redis || limits.length === 0 ? undefined : missingCounts(limits.map(({ name }) => name)),
    missingArchive(policies?.cache?.store, stores),
  ]
  return messages.flatMap((message) => (message === undefined ? [] : [{ rule, reason: 'StoreNotConfigured', message }]))
}

const missingCounts = (names: readonly string[]): string =>
  `what ${names.join(', ')} of rateLimits allow is counted over all replicas in Redis, ${NAME_IT}, or scope: Local; until then onStoreError holds`

function missingArchive(store: CacheStore | undefined, { redis, stateDirectory, clustered }: Stores) {
  if (store === 'File') {
    const until = 'until then memory alone has them'
    if (clustered)
      return `responses are kept in files (cache.store File), which no cluster has; write store: Tiered or Memory; ${until}`
    if (stateDirectory) return undefined
    return `responses are kept in files (cache.store File), and there is no state directory; write stateDirectory in the settings, or store: Memory; ${until}`
  }
  if (redis || (store !== 'Redis' && store !== 'Tiered')) return undefined
  const until = store === 'Tiered' ? 'each replica has its own in memory' : 'none is stored'
  return `responses are kept in Redis (cache.store ${store}), ${NAME_IT}, or store: Memory; until then ${until}`
}
