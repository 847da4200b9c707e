/**
 * The conditions of a packed match besides its path, and the bound of the work on one request: each expression and each
 * comparison is bounded, but a hostname may have hundreds of thousands of them.
 */
import { GatewayError } from '../lib/error.ts'
import { coversWords, type IpAddress, parseAddress } from '../pattern/cidr.ts'
import type { Pattern } from '../pattern/regex.ts'
import { type BlockView, textIs } from '../snapshot/block-view.ts'
import * as L from '../snapshot/pack-layout.ts'
import type { RouteTables } from '../snapshot/route-tables.ts'
import { cookieValue, headerValue, isBelow, queryValue, valueMatches } from './conditions.ts'
import { methodMatches, methodToMatch, type RouteRequest } from './request.ts'

/**
 * Work on one request, in instructions times characters of the expressions that are tried for it (some 12 ns each at
 * the very worst) and in conditions that are compared, {@link COMPARISON} each. The worker serves everybody else too.
 */
const MAX_WORK = 2_000_000
/** A condition: a field is looked for among all of the request, and compared. */
const COMPARISON = 8
let work = 0
/** The client's address has been compared for this request. */
let addressRead = false
const address: IpAddress = new Int32Array(4)

/** Another request is matched from here on. */
export function beginWork(): void {
  work = 0
  addressRead = false
}

/** Whether the address of the client has had a say in which rule the last request belongs to. */
export function readAddress(): boolean {
  return addressRead
}

/** Whether everything but the path of match `index` holds. */
export function holds(
  tables: RouteTables,
  block: BlockView,
  virtualHost: number,
  index: number,
  request: RouteRequest,
): boolean {
  const { words } = block
  const at = virtualHost + words[virtualHost + L.VHOST_MATCHES_AT]! + index * L.MATCH_WORDS
  const method = words[at + L.MATCH_METHOD]!
  if (method !== 0 && !methodHolds(block, virtualHost, method, methodToMatch(request))) return false
  const conditions = words[at + L.MATCH_CONDITIONS]!
  spendOn(1)
  return conditions === 0 || conditionsHold(tables, block, virtualHost, virtualHost + conditions, request)
}

/** Whether the match, whose path is an expression, holds. */
export function regexHolds(
  tables: RouteTables,
  block: BlockView,
  virtualHost: number,
  index: number,
  request: RouteRequest,
): boolean {
  // Conditions cost less than an expression.
  if (!holds(tables, block, virtualHost, index, request)) return false
  const at = virtualHost + block.words[virtualHost + L.VHOST_MATCHES_AT]! + index * L.MATCH_WORDS
  const pattern = tables.pattern(block, virtualHost, block.words[at + L.MATCH_PATH]!)
  spend(pattern, request.path, 'UriTooLong')
  return pattern.matches(request.path)
}

function methodHolds(block: BlockView, virtualHost: number, packed: number, method: string): boolean {
  if (packed < 0) return textIs(block, virtualHost - packed, method)
  return methodMatches(L.METHODS[packed - 1]!, method)
}

function conditionsHold(
  tables: RouteTables,
  block: BlockView,
  virtualHost: number,
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
    const name = tables.text(block, virtualHost, words[next]!)
    const value =
      i < headers
        ? headerValue(request, name)
        : i < headers + queries
          ? queryValue(request, name)
          : cookieValue(request.request, name)
    if (!valueHolds(tables, block, virtualHost, next, value)) return false
  }
  const prefixes = words[at + L.COND_CIDRS]!
  if (prefixes > 0 && !addressHolds(words, next, prefixes, request.clientAddress)) return false
  next += prefixes * L.CIDR_WORDS
  const within = words[at + L.COND_WITHIN]!
  if (within === 0) return true
  spendOn(within)
  const list = virtualHost + words[next]!
  for (let i = 0; i < within; i++)
    if (isBelow(request.path, tables.text(block, virtualHost, words[list + i]!))) return true
  return false
}

function valueHolds(
  tables: RouteTables,
  block: BlockView,
  virtualHost: number,
  at: number,
  value: string | undefined,
): boolean {
  const type = block.words[at + 1]!
  if (type === L.VALUE_ABSENT) return value === undefined
  if (value === undefined) return false
  if (type === L.VALUE_PRESENT) return true
  const wanted = block.words[at + 2]!
  if (type === L.VALUE_EXACT) return textIs(block, virtualHost + wanted, value)
  const pattern = tables.pattern(block, virtualHost, wanted)
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
  addressRead = true
  if (parseAddress(client, address) === undefined) return false
  for (let i = 0; i < count; i++) {
    const from = at + i * L.CIDR_WORDS
    if (coversWords(words, from + 1, words[from]!, address)) return true
  }
  return false
}
