/**
 * The matcher over packed tables: host → path → conditions. One pass over the host and one over the path give the
 * hashes of everything that could cover them, so the cost does not grow with the number of routes; what it does grow
 * with is bounded by what is configured for the host (depth of prefixes, matches on one path), never by what a client
 * sends.
 */
import { GatewayError } from '../lib/error.ts'
import { type Address, coversWords, parseAddress } from '../pattern/cidr.ts'
import type { Pattern } from '../pattern/regex.ts'
import * as L from '../snapshot/pack-layout.ts'
import { type BlockView, HOSTS, type RouteTables, type RuleView, textBegins, textIs } from '../snapshot/route-tables.ts'
import { cookieValue, headerValue, isBelow, queryValue, valueMatches } from './conditions.ts'
import { methodMatches, methodToMatch, type RouteRequest } from './request.ts'

export interface Matched {
  rule: RuleView
  /** Characters of the path that a PathPrefix covered (1 for `/`); 0 with another kind of match. */
  prefixLength: number
}

/** Where a request's matching stands: reused for every request, since matching never waits. */
class Search {
  block: BlockView | undefined
  segment = 0
  matched: Matched | undefined
}

const search = new Search()
/** Hashes of the wildcards that cover the host, and how many of its characters each one names; by number of dots. */
const hostHashes = new Int32Array(256)
const hostSuffixes = new Int32Array(256)
/** Hashes of the path's beginnings up to each slash, and their lengths; by number of segments. */
let pathHashes = new Int32Array(64)
let pathLengths = new Int32Array(64)
/**
 * Work on one request, in instructions times characters of the expressions that are tried for it (some 12 ns each at
 * the very worst) and in conditions that are compared, {@link COMPARISON} each. Each of them is bounded, but a hostname
 * may have hundreds of thousands, and the worker serves everybody else too.
 */
const MAX_WORK = 2_000_000
/** A condition: a field is looked for among all of the request, and compared. */
const COMPARISON = 8
let work = 0
/** Indexes of the regular expressions to be tried. */
let candidates = new Int32Array(64)
const address: Address = new Int32Array(4)

/**
 * Which rule a request belongs to. Nothing is allocated for a plain match that came before.
 *
 * @returns an object that is good until the next call, or why there is no rule
 * @throws {GatewayError} where a path or value is too long for a regular expression it would have to be tried against,
 *   or for all of them together
 */
export function match(tables: RouteTables, request: RouteRequest): Matched | 'HostNotFound' | 'RouteNotFound' {
  work = 0
  if (!findHost(tables, request.host)) return 'HostNotFound'
  const block = search.block!
  const segment = search.segment
  const index = findMatch(tables, block, segment, request)
  if (index < 0) return 'RouteNotFound'
  const { words } = block
  const at = segment + words[segment + L.SEG_MATCHES_AT]! + index * L.MATCH_WORDS
  const rule = tables.rule(block, segment, words[at + L.MATCH_RULE]!)
  const prefixLength =
    words[at + L.MATCH_TYPE] === L.PATH_PREFIX ? words[segment + words[at + L.MATCH_PATH]!]! >>> 1 : 0
  const matched = search.matched
  if (matched === undefined) {
    search.matched = { rule, prefixLength }
    return search.matched
  }
  matched.rule = rule
  matched.prefixLength = prefixLength
  return matched
}

/** Finds the segment of a host: itself, then wildcards, the longest first, then the catch-all. */
function findHost(tables: RouteTables, host: string): boolean {
  let slot = tables.hostSlots.get(host)
  if (slot === undefined) {
    slot = findSlot(tables, host)
    if (slot < 0) return false
    if (tables.hostSlots.size >= HOSTS) tables.hostSlots.clear()
    tables.hostSlots.set(host, slot)
  }
  search.block = tables.blocks[tables.root[slot + L.SLOT_BLOCK]! - 1]!
  search.segment = tables.root[slot + L.SLOT_OFFSET]!
  return true
}

function findSlot(tables: RouteTables, host: string): number {
  const { root } = tables
  const wildcards = root[L.ROOT_WILDCARDS]!
  const seed = root[L.ROOT_SEED]!
  const length = host.length
  let hash = seed
  let dots = 0
  for (let i = length - 1; i >= 0; i--) {
    const code = host.charCodeAt(i)
    hash = L.hashStep(hash, code)
    // A name has at most 127 labels; what is longer than any name matches none.
    if (code === 0x2e && dots < 255) {
      dots++
      hostHashes[dots] = hash
      hostSuffixes[dots] = length - i
    }
  }
  const exact = tables.findSlot(hash, host, length, false)
  if (exact >= 0) return exact
  for (let d = wildcards === 0 ? 0 : dots; d > 0; d--) {
    const suffix = hostSuffixes[d]!
    // One or more labels stand before the suffix, so `.example.com` is not covered.
    if ((wildcards & L.depthBit(d)) === 0 || suffix === length) continue
    const slot = tables.findSlot(L.hashStep(hostHashes[d]!, 0x2a), host, suffix, true)
    if (slot >= 0) return slot
  }
  return tables.findSlot(L.hashStep(seed, 0x2a), host, 0, true)
}

/** Index of the first match in matching order that holds, or -1. */
function findMatch(tables: RouteTables, block: BlockView, segment: number, request: RouteRequest): number {
  const { words } = block
  const path = request.path
  const seed = words[segment + L.SEG_SEED]!
  const deepest = words[segment + L.SEG_DEEPEST]!
  if (deepest >= pathHashes.length) growScratch(deepest)
  const exactLongest = words[segment + L.SEG_EXACT_LONGEST]!
  const tryExact = words[segment + L.SEG_EXACT_MASK] !== -1 && path.length <= exactLongest
  let hash = seed
  let depth = 0
  let i = 0
  // Hashing stops where nothing configured reaches any further.
  for (; i < path.length; i++) {
    const code = path.charCodeAt(i)
    if (code === 0x2f) {
      if (depth <= deepest) {
        pathHashes[depth] = hash
        pathLengths[depth] = i
      }
      if (++depth > deepest && !tryExact) break
    }
    hash = L.hashStep(hash, code)
  }
  if (i === path.length) {
    if (tryExact) {
      const index = tryKey(tables, block, segment, L.SEG_EXACT_MASK, hash, path.length, request)
      if (index >= 0) return index
    }
    // The whole path is a beginning too, unless it ends with a slash: that one has been noted.
    if (depth <= deepest) {
      pathHashes[depth] = hash
      pathLengths[depth] = i
      depth++
    }
  }
  const beginnings = Math.min(depth, deepest + 1)
  if (words[segment + L.SEG_REGEX_DEPTHS] !== 0) {
    const index = tryRegexes(tables, block, segment, beginnings, request)
    if (index >= 0) return index
  }
  const depths = words[segment + L.SEG_PREFIX_DEPTHS]!
  if (depths === 0) return -1
  for (let d = beginnings - 1; d >= 0; d--) {
    if ((depths & L.depthBit(d)) === 0) continue
    const index = tryKey(tables, block, segment, L.SEG_PREFIX_MASK, pathHashes[d]!, pathLengths[d]!, request)
    if (index >= 0) return index
  }
  return -1
}

function growScratch(deepest: number): void {
  pathHashes = new Int32Array(deepest * 2)
  pathLengths = new Int32Array(deepest * 2)
}

/** Index of the first match whose key is the first `length` characters of the path, and one; 0 = there is none. */
function findKey(
  block: BlockView,
  segment: number,
  header: number,
  hash: number,
  path: string,
  length: number,
): number {
  const { words } = block
  const mask = words[segment + header]!
  if (mask === -1) return 0
  const table = segment + words[segment + header + 1]!
  const matches = segment + words[segment + L.SEG_MATCHES_AT]!
  let slot = hash & mask
  while (true) {
    const first = words[table + slot * L.PATH_SLOT_WORDS + 1]!
    if (first === 0) return 0
    if (words[table + slot * L.PATH_SLOT_WORDS] === hash) {
      const key = words[matches + (first - 1) * L.MATCH_WORDS + L.MATCH_KEY]!
      if (textBegins(block, segment + key, path, length)) return first
    }
    slot = (slot + 1) & mask
  }
}

/** Index of the first match with this key that holds, or -1. */
function tryKey(
  tables: RouteTables,
  block: BlockView,
  segment: number,
  header: number,
  hash: number,
  length: number,
  request: RouteRequest,
): number {
  const { words } = block
  const matches = segment + words[segment + L.SEG_MATCHES_AT]!
  let next = findKey(block, segment, header, hash, request.path, length)
  while (next !== 0) {
    if (holds(tables, block, segment, next - 1, request)) return next - 1
    next = words[matches + (next - 1) * L.MATCH_WORDS + L.MATCH_NEXT]!
  }
  return -1
}

/** Collects the expressions that stand under any beginning of the path, and tries them in matching order. */
function tryRegexes(
  tables: RouteTables,
  block: BlockView,
  segment: number,
  beginnings: number,
  request: RouteRequest,
): number {
  const { words } = block
  const depths = words[segment + L.SEG_REGEX_DEPTHS]!
  const matches = segment + words[segment + L.SEG_MATCHES_AT]!
  let count = 0
  for (let d = 0; d < beginnings; d++) {
    if ((depths & L.depthBit(d)) === 0) continue
    let next = findKey(block, segment, L.SEG_REGEX_MASK, pathHashes[d]!, request.path, pathLengths[d]!)
    while (next !== 0) {
      if (count === candidates.length) {
        const grown = new Int32Array(count * 2)
        grown.set(candidates)
        candidates = grown
      }
      candidates[count++] = next - 1
      next = words[matches + (next - 1) * L.MATCH_WORDS + L.MATCH_NEXT]!
    }
  }
  if (count > 1) candidates.subarray(0, count).sort()
  for (let i = 0; i < count; i++) {
    const index = candidates[i]!
    // Conditions cost less than an expression.
    if (!holds(tables, block, segment, index, request)) continue
    const source = words[matches + index * L.MATCH_WORDS + L.MATCH_PATH]!
    const pattern = tables.pattern(block, segment, source)
    spend(pattern, request.path, 'UriTooLong')
    if (pattern.matches(request.path)) return index
  }
  return -1
}

/** Whether everything but the path of match `index` holds. */
function holds(tables: RouteTables, block: BlockView, segment: number, index: number, request: RouteRequest): boolean {
  const { words } = block
  const at = segment + words[segment + L.SEG_MATCHES_AT]! + index * L.MATCH_WORDS
  const listeners = words[at + L.MATCH_LISTENERS]!
  if (listeners !== -1 && !tables.isServedOn(listeners, request.listener)) return false
  const method = words[at + L.MATCH_METHOD]!
  if (method !== 0 && !methodHolds(block, segment, method, methodToMatch(request))) return false
  const conditions = words[at + L.MATCH_CONDITIONS]!
  spendOn(1)
  return conditions === 0 || conditionsHold(tables, block, segment, segment + conditions, request)
}

function methodHolds(block: BlockView, segment: number, packed: number, method: string): boolean {
  if (packed < 0) return textIs(block, segment - packed, method)
  return methodMatches(L.METHODS[packed - 1]!, method)
}

function conditionsHold(
  tables: RouteTables,
  block: BlockView,
  segment: number,
  at: number,
  request: RouteRequest,
): boolean {
  const { words } = block
  const headers = words[at + L.COND_HEADERS]!
  const queries = words[at + L.COND_QUERY]!
  const values = headers + queries + words[at + L.COND_COOKIES]!
  let next = at + L.COND_LIST
  for (let i = 0; i < values; i++, next += L.VALUE_WORDS) {
    spendOn(1)
    const name = tables.text(block, segment, words[next]!)
    const value =
      i < headers
        ? headerValue(request, name)
        : i < headers + queries
          ? queryValue(request, name)
          : cookieValue(request.request, name)
    if (!valueHolds(tables, block, segment, next, value)) return false
  }
  const prefixes = words[at + L.COND_CIDRS]!
  if (prefixes > 0 && !addressHolds(words, next, prefixes, request.clientAddress)) return false
  next += prefixes * L.CIDR_WORDS
  const within = words[at + L.COND_WITHIN]!
  if (within === 0) return true
  spendOn(within)
  const list = segment + words[next]!
  for (let i = 0; i < within; i++) if (isBelow(request.path, tables.text(block, segment, words[list + i]!))) return true
  return false
}

function valueHolds(
  tables: RouteTables,
  block: BlockView,
  segment: number,
  at: number,
  value: string | undefined,
): boolean {
  const type = block.words[at + 1]!
  if (type === L.VALUE_ABSENT) return value === undefined
  if (value === undefined) return false
  if (type === L.VALUE_PRESENT) return true
  const wanted = block.words[at + 2]!
  if (type === L.VALUE_EXACT) return textIs(block, segment + wanted, value)
  const pattern = tables.pattern(block, segment, wanted)
  spend(pattern, value, 'HeadTooLarge')
  return valueMatches(pattern, value)
}

/** @throws {GatewayError} `TooManyConditions` */
function spendOn(comparisons: number): void {
  work += comparisons * COMPARISON
  if (work > MAX_WORK) throw new GatewayError('TooManyConditions', 'too many matches have this hostname and path')
}

/** "Does not match" would hand the request to a rule it was kept from, so a request that costs too much is refused. */
function spend(pattern: Pattern, text: string, reason: 'UriTooLong' | 'HeadTooLarge'): void {
  work += pattern.size * text.length
  if (work > MAX_WORK)
    throw new GatewayError(reason, `for all the expressions it must be tried against, up to ${pattern.source}`)
}

function addressHolds(words: Int32Array, at: number, count: number, client: string): boolean {
  if (parseAddress(client, address) === undefined) return false
  for (let i = 0; i < count; i++) {
    const from = at + i * L.CIDR_WORDS
    if (coversWords(words, from + 1, words[from]!, address)) return true
  }
  return false
}
