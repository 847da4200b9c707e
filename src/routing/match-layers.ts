/**
 * Matching on a divided hostname: what the frontend's group has of its own and what all frontends have in common are
 * two packed virtual hosts, tried as if they were one list. Where a match of each could be next, the one that comes
 * first in matching order is tried first.
 */
import * as L from '../snapshot/pack-layout.ts'
import type { RouteTables, VirtualHostPlace } from '../snapshot/route-tables.ts'
import { holds, regexHolds } from './packed-conditions.ts'
import { Candidates, findKey, PathScan } from './path-scan.ts'
import type { RouteRequest } from './request.ts'

export interface FoundMatch {
  place: VirtualHostPlace
  index: number
}

/** One of the two layers while a request is matched. */
class Layer {
  readonly scan = new PathScan()
  readonly candidates = new Candidates()
  place: VirtualHostPlace | undefined
}

const own = new Layer()
const shared = new Layer()
const found: { place: VirtualHostPlace | undefined; index: number } = { place: undefined, index: 0 }

/** @returns an object that is good until the next call; undefined when nothing matches */
export function findInLayers(
  tables: RouteTables,
  first: VirtualHostPlace,
  second: VirtualHostPlace,
  request: RouteRequest,
): FoundMatch | undefined {
  const { path } = request
  own.place = first
  shared.place = second
  own.scan.read(first.block, first.at, path)
  shared.scan.read(second.block, second.at, path)
  const exact = (layer: Layer): number =>
    layer.scan.exact ? keyAt(layer, L.VHOST_EXACT_MASK, layer.scan.hash, path) : 0
  const matches =
    tryChains(tables, exact(own), exact(shared), request) || tryRegexes(tables, request) || tryPrefixes(tables, request)
  return matches ? (found as FoundMatch) : undefined
}

function keyAt({ place }: Layer, header: number, hash: number, path: string, length = path.length): number {
  return findKey(place!.block, place!.at, header, hash, path, length)
}

function tryPrefixes(tables: RouteTables, request: RouteRequest): boolean {
  const deepest = Math.max(own.scan.beginnings, shared.scan.beginnings) - 1
  for (let d = deepest; d >= 0; d--) {
    const mine = prefixAt(own, d, request.path)
    const others = prefixAt(shared, d, request.path)
    if (mine + others !== 0 && tryChains(tables, mine, others, request)) return true
  }
  return false
}

function prefixAt(layer: Layer, depth: number, path: string): number {
  const { place, scan } = layer
  if (depth >= scan.beginnings) return 0
  if ((place!.block.words[place!.at + L.VHOST_PREFIX_DEPTHS]! & L.depthBit(depth)) === 0) return 0
  return keyAt(layer, L.VHOST_PREFIX_MASK, scan.hashes[depth]!, path, scan.lengths[depth]!)
}

/** Matches with one key, in both layers. @param mine index of the first and one; 0 = there is none */
function tryChains(tables: RouteTables, mine: number, others: number, request: RouteRequest): boolean {
  while (mine !== 0 || others !== 0) {
    const takesOwn = others === 0 || (mine !== 0 && compare(tables, mine - 1, others - 1) < 0)
    const { block, at } = (takesOwn ? own : shared).place!
    const index = (takesOwn ? mine : others) - 1
    if (holds(tables, block, at, index, request)) return note(takesOwn ? own : shared, index)
    const next = block.words[matchAt({ block, at }, index) + L.MATCH_NEXT]!
    if (takesOwn) mine = next
    else others = next
  }
  return false
}

function tryRegexes(tables: RouteTables, request: RouteRequest): boolean {
  for (const layer of [own, shared])
    layer.candidates.collect(layer.place!.block, layer.place!.at, layer.scan, request.path)
  let i = 0
  let j = 0
  while (i < own.candidates.count || j < shared.candidates.count) {
    const takesOwn =
      j === shared.candidates.count ||
      (i < own.candidates.count && compare(tables, own.candidates.at(i), shared.candidates.at(j)) < 0)
    const layer = takesOwn ? own : shared
    const index = takesOwn ? own.candidates.at(i++) : shared.candidates.at(j++)
    if (regexHolds(tables, layer.place!.block, layer.place!.at, index, request)) return note(layer, index)
  }
  return false
}

function note({ place }: Layer, index: number): true {
  found.place = place
  found.index = index
  return true
}

/** Offset of a match, in words. */
export function matchAt({ block, at }: VirtualHostPlace, index: number): number {
  return at + block.words[at + L.VHOST_MATCHES_AT]! + index * L.MATCH_WORDS
}

/** `compareMatches` over packed matches of the same kind: negative when that of the own layer is tried before. */
function compare(tables: RouteTables, mine: number, others: number): number {
  const a = own.place!
  const b = shared.place!
  return (
    compareSpecificity(tables, a, matchAt(a, mine), b, matchAt(b, others)) ||
    compareCreated(createdOf(a, mine), createdOf(b, others)) ||
    compareText(routeOf(tables, a, mine), routeOf(tables, b, others)) ||
    orderWord(a, mine, L.ORDER_RULE) - orderWord(b, others, L.ORDER_RULE) ||
    orderWord(a, mine, L.ORDER_MATCH) - orderWord(b, others, L.ORDER_MATCH)
  )
}

function compareSpecificity(
  tables: RouteTables,
  a: VirtualHostPlace,
  x: number,
  b: VirtualHostPlace,
  y: number,
): number {
  const mine = a.block.words
  const others = b.block.words
  const length = ({ block, at }: VirtualHostPlace, match: number): number =>
    tables.text(block, at, block.words[match + L.MATCH_PATH]!).length
  return (
    length(b, y) - length(a, x) ||
    Number(others[y + L.MATCH_METHOD] !== 0) - Number(mine[x + L.MATCH_METHOD] !== 0) ||
    conditionsOf(b, y, L.COND_HEADERS) - conditionsOf(a, x, L.COND_HEADERS) ||
    conditionsOf(b, y, L.COND_QUERY) - conditionsOf(a, x, L.COND_QUERY) ||
    conditionsOf(b, y, L.COND_COOKIES) - conditionsOf(a, x, L.COND_COOKIES) ||
    // Any addresses are more specific than none, and more than fewer: as in `compareMatches`.
    conditionsOf(b, y, L.COND_CIDRS) - conditionsOf(a, x, L.COND_CIDRS)
  )
}

function conditionsOf({ block, at }: VirtualHostPlace, match: number, count: number): number {
  const conditions = block.words[match + L.MATCH_CONDITIONS]!
  return conditions === 0 ? 0 : block.words[at + conditions + count]!
}

function orderAt({ block, at }: VirtualHostPlace, index: number): number {
  return at + block.words[at + L.VHOST_ORDER_AT]! + index * L.ORDER_WORDS
}

function orderWord(place: VirtualHostPlace, index: number, word: number): number {
  return place.block.words[orderAt(place, index) + word]!
}

function createdOf(place: VirtualHostPlace, index: number): number {
  return place.block.bytes.readDoubleLE((orderAt(place, index) + L.ORDER_CREATED) * 4)
}

function compareCreated(a: number, b: number): number {
  return a === b ? 0 : a < b ? -1 : 1
}

/** `namespace/name` of the Route of a match. */
export function routeOf(tables: RouteTables, place: VirtualHostPlace, index: number): string {
  return tables.rule(place.block, place.at, place.block.words[matchAt(place, index) + L.MATCH_RULE]!).route
}

function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}
