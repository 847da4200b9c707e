/** Formats the compiled table as rows: one row per match, in matching order. */
import { matchesUnder } from '../snapshot/host.ts'
import type { Host, PathMatch, Rule, Snapshot, ValueMatch } from '../snapshot/snapshot.ts'

export interface RouteRow {
  readonly hostname: string
  readonly path: PathMatch
  /** Absent = any. */
  readonly method?: string
  readonly headers: readonly ValueMatch[]
  readonly queryParams: readonly ValueMatch[]
  readonly cookies: readonly ValueMatch[]
  readonly sourceCIDRs: readonly string[]
  /** Names; empty = every listener. */
  readonly listeners: readonly string[]
  /** `namespace/name`. */
  readonly route: string
  readonly rule: string
  /** `refuse`: every request gets the reason in `reason`. */
  readonly action: 'forward' | 'redirect' | 'respond' | 'issueTokens' | 'refuse'
  readonly reason?: string
  readonly backends: readonly {
    readonly backend?: string
    readonly weight: number
    readonly priority: number
    readonly reason?: string
  }[]
}

export function* routeRows(snapshot: Snapshot): IterableIterator<RouteRow> {
  const hosts = [...snapshot.hosts.values()].sort(byHostname)
  for (const host of hosts)
    for (const match of matchesUnder(snapshot.hosts, host)) {
      const { path, method, headers, queryParams, cookies, sourceCIDRs } = match
      yield {
        hostname: host.hostname,
        path,
        ...(method !== undefined && { method }),
        headers,
        queryParams,
        cookies,
        sourceCIDRs,
        listeners: match.frontends?.names ?? [],
        ...ruleColumns(match.rule, snapshot),
      }
    }
}

function ruleColumns(
  rule: Rule,
  snapshot: Snapshot,
): Pick<RouteRow, 'route' | 'rule' | 'action' | 'reason' | 'backends'> {
  const action = snapshot.policies.get(rule.policy)?.action.type ?? 'forward'
  return {
    route: rule.route,
    rule: rule.rule,
    action: rule.refuse === undefined ? action : 'refuse',
    ...(rule.refuse !== undefined && { reason: rule.refuse }),
    backends: rule.backends.map(({ backend, missing, weight, priority, refuse }) => ({
      ...((backend ?? missing) !== undefined && { backend: backend ?? missing! }),
      weight,
      priority,
      ...(refuse !== undefined && { reason: refuse }),
    })),
  }
}

/** Sorts in lookup order: exact names, wildcards from the longest, the catch-all. */
function byHostname(a: Host, b: Host): number {
  const rank = ({ hostname }: Host) => (hostname === '*' ? 2 : hostname.startsWith('*.') ? 1 : 0)
  if (rank(a) !== rank(b)) return rank(a) - rank(b)
  if (rank(a) === 1 && a.hostname.length !== b.hostname.length) return b.hostname.length - a.hostname.length
  return a.hostname < b.hostname ? -1 : a.hostname > b.hostname ? 1 : 0
}
