/**
 * The matcher over packed tables: frontend → host → path → conditions. One pass over the host and one over the path
 * give the hashes of everything that could cover them, so the cost does not grow with the number of routes; what it
 * does grow with is bounded by what is configured for the host (depth of prefixes, matches on one path), never by what
 * a client sends.
 */
import type { BlockView } from '../snapshot/block-view.ts'
import * as L from '../snapshot/pack-layout.ts'
import type { RouteTables, RuleView } from '../snapshot/route-tables.ts'
import { findHost } from './find-host.ts'
import { findInLayers } from './match-layers.ts'
import { beginWork, holds, readAddress, regexHolds } from './packed-conditions.ts'
import { Candidates, findKey, PathScan } from './path-scan.ts'
import type { RouteRequest } from './request.ts'

export interface Matched {
  rule: RuleView
  /** Characters of the path that a PathPrefix covered (1 for `/`); 0 with another kind of match. */
  prefixLength: number
  /** A client with another address may have got another rule. */
  byAddress: boolean
  /** Where the match stands. */
  block: BlockView
  virtualHost: number
  index: number
}

/** Reused for every request, since matching never waits. */
let matched: Matched | undefined
const scan = new PathScan()
const candidates = new Candidates()

/**
 * Which rule a request belongs to. Nothing is allocated for a plain match that came before.
 *
 * @returns an object that is good until the next call, or why there is no rule
 * @throws {GatewayError} where a path or value is too long for a regular expression it would have to be tried against,
 *   or for all of them together
 */
export function match(tables: RouteTables, request: RouteRequest): Matched | 'HostNotFound' | 'RouteNotFound' {
  beginWork()
  let host = findHost(tables, tables.frontend(request.frontend), request.host)
  if (host === undefined) return 'HostNotFound'
  for (; host !== undefined; host = host.wildcard) {
    const { block, at, common } = host
    if (common !== undefined) {
      const found = findInLayers(tables, host, common, request)
      if (found !== undefined) return matchedBy(tables, found.place.block, found.place.at, found.index)
    } else {
      const index = findMatch(tables, block, at, request)
      if (index >= 0) return matchedBy(tables, block, at, index)
    }
  }
  return 'RouteNotFound'
}

function matchedBy(tables: RouteTables, block: BlockView, virtualHost: number, index: number): Matched {
  const { words } = block
  const at = virtualHost + words[virtualHost + L.VHOST_MATCHES_AT]! + index * L.MATCH_WORDS
  const rule = tables.rule(block, virtualHost, words[at + L.MATCH_RULE]!)
  const prefixLength =
    words[at + L.MATCH_TYPE] === L.PATH_PREFIX ? words[virtualHost + words[at + L.MATCH_PATH]!]! >>> 1 : 0
  const byAddress = readAddress()
  if (matched === undefined) matched = { rule, prefixLength, byAddress, block, virtualHost, index }
  else {
    matched.rule = rule
    matched.prefixLength = prefixLength
    matched.byAddress = byAddress
    matched.block = block
    matched.virtualHost = virtualHost
    matched.index = index
  }
  return matched
}

/** Index of the first match in matching order that holds, or -1. */
function findMatch(tables: RouteTables, block: BlockView, virtualHost: number, request: RouteRequest): number {
  const { words } = block
  const { path } = request
  scan.read(block, virtualHost, path)
  if (scan.exact) {
    const index = tryKey(tables, block, virtualHost, L.VHOST_EXACT_MASK, scan.hash, path.length, request)
    if (index >= 0) return index
  }
  if (words[virtualHost + L.VHOST_REGEX_DEPTHS] !== 0) {
    const index = tryRegexes(tables, block, virtualHost, request)
    if (index >= 0) return index
  }
  const depths = words[virtualHost + L.VHOST_PREFIX_DEPTHS]!
  if (depths === 0) return -1
  for (let d = scan.beginnings - 1; d >= 0; d--) {
    if ((depths & L.depthBit(d)) === 0) continue
    const index = tryKey(tables, block, virtualHost, L.VHOST_PREFIX_MASK, scan.hashes[d]!, scan.lengths[d]!, request)
    if (index >= 0) return index
  }
  return -1
}

/** Index of the first match with this key that holds, or -1. */
function tryKey(
  tables: RouteTables,
  block: BlockView,
  virtualHost: number,
  header: number,
  hash: number,
  length: number,
  request: RouteRequest,
): number {
  const { words } = block
  const matches = virtualHost + words[virtualHost + L.VHOST_MATCHES_AT]!
  let next = findKey(block, virtualHost, header, hash, request.path, length)
  while (next !== 0) {
    if (holds(tables, block, virtualHost, next - 1, request)) return next - 1
    next = words[matches + (next - 1) * L.MATCH_WORDS + L.MATCH_NEXT]!
  }
  return -1
}

/** Collects the expressions that stand under any beginning of the path, and tries them in matching order. */
function tryRegexes(tables: RouteTables, block: BlockView, virtualHost: number, request: RouteRequest): number {
  candidates.collect(block, virtualHost, scan, request.path)
  for (let i = 0; i < candidates.count; i++) {
    const index = candidates.at(i)
    if (regexHolds(tables, block, virtualHost, index, request)) return index
  }
  return -1
}
