/**
 * The slow, obvious matcher: what the packed one must agree with, and what reads like api.md. For tests; never on a
 * request's way.
 */
import { CidrSet } from '../pattern/cidr.ts'
import { covers } from '../pattern/host.ts'
import { PatternCache } from '../pattern/pattern-cache.ts'
import type { Match, Rule, Snapshot, ValueMatch, VirtualHost } from '../snapshot/snapshot.ts'
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
  const segment = virtualHostOf(snapshot, request.host)
  if (segment === undefined) return 'HostNotFound'
  for (const match of segment.matches) {
    if (!servedOn(snapshot, match, request.listener) || !matchHolds(match, request)) continue
    const prefixLength = match.path.type === 'PathPrefix' ? match.path.value.length : 0
    return { rule: segment.rules[match.rule]!, match, prefixLength }
  }
  return 'RouteNotFound'
}

/** The most specific hostname that covers the host: itself, then the longest wildcard, then the catch-all. */
function virtualHostOf(snapshot: Snapshot, host: string): VirtualHost | undefined {
  const names = [...snapshot.segments.keys()].filter((name) => covers(name, host))
  names.sort((a, b) => Number(b === host) - Number(a === host) || b.length - a.length)
  return names[0] === undefined ? undefined : snapshot.segments.get(names[0])
}

/** A listener that the snapshot does not know has only what every listener has. */
function servedOn({ listeners: names }: Snapshot, { listeners: mask }: Match, listener: string): boolean {
  return mask === -1 || names.some((name, bit) => name === listener && ((mask >>> bit) & 1) === 1)
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
