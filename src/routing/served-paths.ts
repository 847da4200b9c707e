/** Which paths a match serves: what its namespace may have to do with, and nothing of others. */
import * as L from '../snapshot/pack-layout.ts'
import type { RouteTables } from '../snapshot/route-tables.ts'
import { isBelow } from './conditions.ts'
import type { Matched } from './match.ts'

/**
 * @param path of the request that was matched
 * @returns a beginning of it by whole segments, without a slash at its end, that all paths of the match have; null: it
 *   serves this path alone
 */
export function servedBeginning(
  tables: RouteTables,
  { block, virtualHost, index }: Matched,
  path: string,
): string | null {
  const { words } = block
  const at = virtualHost + words[virtualHost + L.VHOST_MATCHES_AT]! + index * L.MATCH_WORDS
  if (words[at + L.MATCH_TYPE] === L.PATH_EXACT) return null
  // Of an expression the segments that it begins with, as it is found by.
  const key = tables.text(block, virtualHost, words[at + L.MATCH_KEY]!)
  const conditions = words[at + L.MATCH_CONDITIONS]!
  if (words[at + L.MATCH_TYPE] !== L.PATH_REGEX || conditions === 0) return path.slice(0, key.length)
  const counts = virtualHost + conditions
  const within =
    counts +
    L.COND_LIST +
    L.VALUE_WORDS *
      (words[counts + L.COND_HEADERS]! + words[counts + L.COND_QUERY]! + words[counts + L.COND_COOKIES]!) +
    L.CIDR_WORDS * words[counts + L.COND_CIDRS]!
  let longest = key.length
  const list = virtualHost + words[within]!
  for (let i = 0; i < words[counts + L.COND_WITHIN]!; i++) {
    const prefix = tables.text(block, virtualHost, words[list + i]!)
    if (prefix !== '/' && prefix.length > longest && isBelow(path, prefix)) longest = prefix.length
  }
  return path.slice(0, longest)
}
