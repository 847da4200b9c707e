/** What Routes want to keep in Redis while the settings name none: each serves on with less, and says so. */
import type { Policies } from '../api/policies.ts'
import type { Route, RouteRule } from '../api/route.ts'
import type { RoutePlan } from './plan.ts'
import type { BrokenReference } from './references.ts'
import type { ResourceSet } from './resource-set.ts'

const NAME_IT = 'and the settings name none; write redis in the settings'

export function missingStores({ settings, clustered }: ResourceSet, plan: RoutePlan): BrokenReference[] {
  if (settings.redis !== undefined) return []
  const { spec } = plan.resource.object
  return [
    ...plan.rules.flatMap(({ rule }) => missingGrantStore(rule, clustered)),
    ...statedPolicies(spec).flatMap(({ rule, policies }) => missingFor(rule, policies)),
  ]
}

/** Whether its conditions depend on `redis` of the settings. */
export function mayNeedRedis({ spec }: Route): boolean {
  return (
    spec.rules.some(({ tokenIssuer }) => tokenIssuer !== undefined) ||
    statedPolicies(spec).some(({ rule, policies }) => missingFor(rule, policies).length > 0)
  )
}

/** What needs no store works all the same. */
function missingGrantStore({ name, tokenIssuer }: RouteRule, clustered = false) {
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

function missingFor(rule: string | undefined, policies: Policies | undefined): BrokenReference[] {
  const found: BrokenReference[] = []
  const limits = (policies?.rateLimits ?? []).filter(({ scope }) => scope === 'Cluster')
  if (limits.length > 0) {
    const names = limits.map(({ name }) => name).join(', ')
    const message = `what ${names} of rateLimits allow is counted over all replicas in Redis, ${NAME_IT}, or scope: Local; until then onStoreError holds`
    found.push({ rule, reason: 'StoreNotConfigured', message })
  }
  const store = policies?.cache?.store
  if (store === 'Redis' || store === 'Tiered') {
    const message = `responses are kept in Redis (cache.store ${store}), ${NAME_IT}, or store: Memory; until then each replica has its own in memory`
    found.push({ rule, reason: 'StoreNotConfigured', message })
  }
  return found
}
