/**
 * Rules whose cache has ended: it was taken away, or the rule is gone. While a rule has none, nobody hears of unsafe
 * requests for what it had stored (RFC 9111 §4.4): it must not be found when the rule has a cache again.
 */
import type { PolicySet } from '../policy/policy-set.ts'
import type { Host, Rule, Snapshot } from './snapshot.ts'

/** Hosts, or matches, between two yields. */
const BATCH = 512

export type EndedCache = Pick<Rule, 'route' | 'rule'>

/** Looks at hosts that have changed; a rule that keeps its cache at others is among them, too. */
export function* endedCaches(before: Snapshot, now: Snapshot): Generator<void, readonly EndedCache[]> {
  if (before.hosts === now.hosts) return []
  const changed: Host[] = []
  let seen = 0
  for (const [hostname, host] of before.hosts) {
    if (now.hosts.get(hostname) !== host) changed.push(host)
    if (++seen % BATCH === 0) yield
  }
  const ended = new Map<string, EndedCache>()
  for (const { matches } of changed)
    for (const { rule } of matches) {
      if (hasCache(rule, before.policies))
        ended.set(`${rule.route} ${rule.rule}`, { route: rule.route, rule: rule.rule })
      if (++seen % BATCH === 0) yield
    }
  if (ended.size === 0) return []
  for (const [hostname, host] of now.hosts) {
    if (++seen % BATCH === 0) yield
    if (before.hosts.get(hostname) === host) continue
    for (const { rule } of host.matches) {
      if (hasCache(rule, now.policies)) ended.delete(`${rule.route} ${rule.rule}`)
      if (++seen % BATCH === 0) yield
    }
  }
  return [...ended.values()]
}

function hasCache({ policy }: Rule, policies: ReadonlyMap<string, PolicySet>): boolean {
  const set = policies.get(policy)
  const cache = set?.policies?.cache as { readonly maxTtl?: number } | undefined
  return set?.action.type === 'forward' && cache !== undefined && cache.maxTtl !== 0
}
