/**
 * The slow, obvious matcher: what the packed one must agree with, and what reads like api.md. For tests; never on a
 * request's way.
 */
import { CidrSet } from '../pattern/cidr.ts'
import { covers } from '../pattern/host.ts'
import { PatternCache } from '../pattern/pattern-cache.ts'
import type { Host, Match, Rule, Snapshot, ValueMatch } from '../snapshot/snapshot.ts'
import { cookieValue, headerValue, isBelow, queryValue, valueMatches } from './conditions.ts'
import { methodMatches, methodToMatch, type RouteRequest } from './request.ts'

export interface LinearMatch {
  readonly rule: Rule
  readonly match: Match
  /** Characters of the path that a PathPrefix covered; 0 with another kind of match. */
  readonly prefixLength: number
}

const patterns = new PatternCache()

export function matchLinear(snapshot: Snapshot, request: RouteRequest): LinearMatch | 'HostNotFound' | 'RouteNotFound' {
  const frontend = request.frontend.name
  const hosts = hostsOn(snapshot, frontend, request.host)
  if (hosts.length === 0) return 'HostNotFound'
  for (const host of hosts) {
    for (const match of host.matches) {
      if (!servedOn(host, match, frontend) || !matchHolds(match, request)) continue
      const prefixLength = match.path.type === 'PathPrefix' ? match.path.value.length : 0
      return { rule: match.rule, match, prefixLength }
    }
    if (!host.extendsWildcard) break
  }
  return 'RouteNotFound'
}

/**
 * The hostnames that the frontend has and that cover the host, the most specific first: itself, then the longest
 * wildcard, and the catch-all only where there is no other.
 */
function hostsOn({ hosts }: Snapshot, frontend: string, host: string): readonly Host[] {
  const covering = [...hosts.values()].filter(
    ({ hostname, common, matches }) =>
      covers(hostname, host) && (common !== undefined || matches.some(({ frontends }) => names(frontends, frontend))),
  )
  covering.sort(({ hostname: a }, { hostname: b }) => Number(b === host) - Number(a === host) || b.length - a.length)
  return covering.filter(({ hostname }, i) => i === 0 || hostname !== '*')
}

/** What names no frontends is served on all that have the hostname, known to the tables or not. */
function servedOn({ common }: Host, { frontends }: Match, frontend: string): boolean {
  return frontends === undefined ? common !== undefined : names(frontends, frontend)
}

function names(frontends: Match['frontends'], frontend: string): boolean {
  return frontends?.names.includes(frontend) === true
}

function matchHolds(match: Match, request: RouteRequest): boolean {
  const { method, headers, queryParams, cookies, sourceCIDRs } = match
  return (
    pathHolds(match, request.path) &&
    (method === undefined || methodMatches(method, methodToMatch(request))) &&
    headers.every((header) => valueHolds(header, headerValue(request, header.name))) &&
    queryParams.every((param) => valueHolds(param, queryValue(request, param.name))) &&
    cookies.every((cookie) => valueHolds(cookie, cookieValue(request.request, cookie.name))) &&
    (sourceCIDRs.length === 0 || new CidrSet(sourceCIDRs).has(request.clientAddress))
  )
}

function pathHolds({ path: { type, value }, within }: Match, path: string): boolean {
  if (within.length > 0 && !within.some((prefix) => isBelow(path, prefix))) return false
  if (type === 'Exact') return path === value
  if (type === 'PathPrefix') return isBelow(path, value)
  return patterns.get(value).matches(path)
}

function valueHolds(match: ValueMatch, value: string | undefined): boolean {
  if (match.type === 'Absent') return value === undefined
  if (value === undefined) return false
  if (match.type === 'Present') return true
  return match.type === 'Exact' ? value === match.value : valueMatches(patterns.get(match.value), value)
}
