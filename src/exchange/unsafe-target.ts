/**
 * A request with an unsafe method makes what is stored of its URL invalid (RFC 9111 §4.4), whichever rule takes it: a
 * Route may well have one rule for GET, with a cache, and another one for all else; and rules for a network, for who is
 * signed in, or of another listener.
 */
import { isSafe } from '../cache/invalidation.ts'
import type { LinkedTables } from '../link/linked-tables.ts'
import type { ResponseHead } from '../message/head.ts'
import { findEverywhere } from '../routing/find-host.ts'
import type { Matched } from '../routing/match.ts'
import { routeOf } from '../routing/match-layers.ts'
import { candidatesOf, policyIndexOf } from '../routing/path-candidates.ts'
import { servedBeginning } from '../routing/served-paths.ts'
import type { ProxyExchange, UnsafeTarget } from './exchange.ts'

/** Namespaces besides its own; each costs a record in the log of purges, which must not be flooded. */
const MAX_NAMESPACES = 8

/**
 * Finds who may have stored responses of this URL: the namespaces of all rules that its path may belong to, on whatever
 * frontend and whatever else they ask for. A purge is about a URL of a namespace, so one rule of each does.
 *
 * @param found the rule of the request itself
 */
export function findUnsafeTargets(x: ProxyExchange, tables: LinkedTables, found: Matched): void {
  // A call of gRPC has a URL that nobody reads.
  if (isSafe(x.method) || x.call !== null || x.opaque) return
  const own = namespaceOf(x.route)
  // The cache of its own rule makes invalid what its namespace has stored of the URL, by whatever rule.
  const hears = x.linked?.unsafeListener != null
  let targets: UnsafeTarget[] | null = null
  for (const candidate of candidatesOf(findEverywhere(tables.tables, x.host), x.path)) {
    const filter = tables.policies[policyIndexOf(candidate)]?.unsafeListener ?? null
    if (filter === null) continue
    const route = routeOf(tables.tables, candidate, candidate.index)
    const namespace = namespaceOf(route)
    if ((hears && namespace === own) || targets?.some((target) => namespaceOf(target.route) === namespace)) continue
    const stranger = namespace !== own && { served: servedBeginning(tables.tables, found, x.path) }
    targets ??= []
    targets.push({ filter, route, ...stranger })
    if (targets.length === MAX_NAMESPACES) break
  }
  x.unsafeFor = targets
}

/** An upstream has answered it. */
export function tellUnsafeTargets(x: ProxyExchange, targets: readonly UnsafeTarget[], head: ResponseHead): void {
  for (const target of targets) {
    try {
      target.filter.onUnsafeResponse?.(x, head, target)
    } catch (error) {
      x.context.unexpected(error)
    }
  }
}

function namespaceOf(route: string): string {
  return route.slice(0, route.indexOf('/'))
}
