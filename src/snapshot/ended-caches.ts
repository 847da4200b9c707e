/**
 * Rules whose cache has ended: it was taken away, or the rule is gone. While a rule has none, nobody hears of unsafe
 * requests for what it had stored (RFC 9111 §4.4): it must not be found when the rule has a cache again.
 */
import { hasCache } from '../policy/cache/plan.ts'
import type { Rule, Snapshot } from './snapshot.ts'

/** Hosts, or matches, between two yields. */
const BATCH = 512

export type EndedCache = Pick<Rule, 'route' | 'rule'>

/** Looks at hosts that have changed; a rule that keeps its cache at others is among them, too. */
export function* endedCaches(before: Snapshot, now: Snapshot): Generator<void, readonly EndedCache[]> {
  if (before.hosts === now.hosts) return []
  const ended = new Map<string, EndedCache>()
  yield* eachCache(before, now, ({ route, rule }) => ended.set(`${route} ${rule}`, { route, rule }))
  if (ended.size === 0) return []
  yield* eachCache(now, before, ({ route, rule }) => ended.delete(`${route} ${rule}`))
  return [...ended.values()]
}

/** Rules with a cache, at the hosts that are not the same in `other`. */
function* eachCache({ hosts, policies }: Snapshot, other: Snapshot, take: (rule: Rule) => void): Generator<void> {
  let seen = 0
  for (const [hostname, host] of hosts) {
    if (++seen % BATCH === 0) yield
    if (other.hosts.get(hostname) === host) continue
    for (const { rule } of host.matches) {
      const policy = policies.get(rule.policy)
      if (policy !== undefined && hasCache(policy)) take(rule)
      if (++seen % BATCH === 0) yield
    }
  }
}
