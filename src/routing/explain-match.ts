/**
 * Why a request matches a rule and no other, for people: the candidates that the matcher considers for its path, in
 * matching order, with the first condition that each of them does not meet. Bounded whatever a hostname has; the
 * matcher itself has decided before.
 */
import { GatewayError } from '../lib/error.ts'
import { CidrSet } from '../pattern/cidr.ts'
import type { RouteTables, RuleView } from '../snapshot/route-tables.ts'
import type { ValueMatch } from '../snapshot/snapshot.ts'
import { cookieValue, headerValue, isBelow, queryValue, valueMatches } from './conditions.ts'
import { findHost, placesOf } from './find-host.ts'
import { hostnameOf, type ListedMatch, readMatch } from './listing.ts'
import { candidatesOf } from './path-candidates.ts'
import { methodMatches, methodToMatch, type RouteRequest } from './request.ts'

/** Matches that are read, and that are told of, for one request. */
const MAX_READ = 500
const MAX_LOST = 20
/** In instructions times characters of expressions, some 12 ns each. */
const MAX_WORK = 100_000

export interface LostMatch {
  readonly match: ListedMatch
  /** `its method is POST` */
  readonly why: string
}

export interface MatchExplanation {
  /** The hostname whose rules are tried: `shop.example`, `*.example`, `*`; undefined: none has the host. */
  readonly hostname: string | undefined
  /** What won; undefined where nothing did, or more matches stand before it than are read. */
  readonly won: ListedMatch | undefined
  readonly lost: readonly LostMatch[]
  /** Those are all with this path. */
  readonly complete: boolean
}

/** @param winner of the matcher; undefined: it found none */
export function explainMatch(
  tables: RouteTables,
  request: RouteRequest,
  winner: RuleView | undefined,
): MatchExplanation {
  const work = { left: MAX_WORK }
  const lost: LostMatch[] = []
  let read = 0
  let won: ListedMatch | undefined
  let hostname: string | undefined
  for (let host = findHost(tables, tables.frontend(request.frontend), request.host); host; host = host.wildcard) {
    const name = hostnameOf(host)
    hostname ??= name
    for (const { block, at, index } of candidatesOf(placesOf(host), request.path)) {
      if (++read > MAX_READ || (won !== undefined && lost.length === MAX_LOST))
        return { hostname, won, lost, complete: false }
      const match = readMatch(tables, name, block, at, index)
      const why = lossOf(tables, match, request, work)
      if (why === undefined && won === undefined && match.rule.key === winner?.key) {
        won = match
        hostname = name
      } else if (lost.length < MAX_LOST) lost.push({ match, why: why ?? 'it matches, too, and is less specific' })
    }
    // A matched host is final.
    if (won !== undefined) break
  }
  return { hostname, won, lost, complete: lost.length < MAX_LOST }
}

/** @returns undefined: all conditions hold */
function lossOf(
  tables: RouteTables,
  match: ListedMatch,
  request: RouteRequest,
  work: { left: number },
): string | undefined {
  const { path, within, method, headers, queryParams, cookies, sourceCIDRs } = match
  const matches = (source: string, text: string): boolean | undefined => {
    const pattern = tables.patterns.find(source)
    if (pattern === undefined || work.left <= 0) return undefined
    work.left -= pattern.size * text.length
    return work.left > 0 ? valueMatches(pattern, text) : undefined
  }
  const values = (kind: string, wanted: readonly ValueMatch[], read: (name: string) => string | undefined) => {
    for (const one of wanted) {
      const why = valueLoss(kind, one, read(one.name), matches)
      if (why !== undefined) return why
    }
    return undefined
  }
  try {
    if (path.type === 'RegularExpression') {
      const holds = matches(path.value, request.path)
      if (holds !== true) return holds === false ? 'the path is not of its expression' : UNTRIED
    }
    if (within.length > 0 && !within.some((prefix) => isBelow(request.path, prefix)))
      return `its Route may have paths below ${within.slice(0, 3).join(', ')} only`
    if (method !== undefined && !methodMatches(method, methodToMatch(request))) return `its method is ${method}`
    return (
      values('header', headers, (name) => headerValue(request, name)) ??
      values('parameter', queryParams, (name) => queryValue(request, name)) ??
      values('cookie', cookies, (name) => cookieValue(request.request, name)) ??
      (sourceCIDRs.length > 0 && !new CidrSet(sourceCIDRs).has(request.clientAddress)
        ? `the client is not of its sourceCIDRs`
        : undefined)
    )
  } catch (error) {
    if (error instanceof GatewayError) return UNTRIED
    throw error
  }
}

const UNTRIED = 'its expressions are too much to be tried here'

/** Values of the request are not told. */
function valueLoss(
  kind: string,
  { name, type, value }: ValueMatch,
  given: string | undefined,
  matches: (source: string, text: string) => boolean | undefined,
): string | undefined {
  if (type === 'Absent') return given === undefined ? undefined : `the ${kind} ${name} is there`
  if (given === undefined) return `the ${kind} ${name} is missing`
  if (type === 'Present') return undefined
  if (type === 'Exact') return given === value ? undefined : `the ${kind} ${name} has another value`
  const holds = matches(value, given)
  return holds === true ? undefined : holds === false ? `the ${kind} ${name} is not of its expression` : UNTRIED
}
