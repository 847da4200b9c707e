/** Which requests fetch for themselves: nobody waits for them, and they wait for nobody. */
import { CacheFlag } from '../../cache/cache-numbers.ts'
import type { CacheResult } from '../../cache/results.ts'
import { mayCollapse } from '../../cache/storing.ts'
import type { ReuseReason } from '../../cache/verdicts.ts'
import { type Asking, MAX_ROUNDS } from './claims.ts'
import type { FetchRequests } from './fetch-request.ts'
import type { Lookup } from './lookup.ts'

/** Of such a request. */
export interface Alone {
  readonly result?: CacheResult
  readonly stores: boolean
}

/**
 * What answers it is nobody else's, whatever it has waited for before. A HEAD has no body: that would be stored as the
 * whole of a GET (RFC 9110 §9.3.2).
 */
export function storesNothing({ x, directives }: Pick<Asking, 'x' | 'directives'>): boolean {
  return directives.noStore || x.method === 'HEAD'
}

/** @returns null: others wait for what it fetches */
export function reasonAlone(
  asking: Asking,
  { state, numbers, entry, part }: Lookup,
  why: ReuseReason,
  requests: FetchRequests,
): Alone | null {
  const { x, directives, content, round, failed } = asking
  if (storesNothing(asking)) return { ...(directives.noStore && { result: 'bypass RequestNoStore' }), stores: false }
  if (part === null && entry === null && x.request.has('range')) return { result: 'bypass Range', stores: false }
  if (state === 'uncacheable') return { stores: true }
  if (round >= MAX_ROUNDS || (failed && round > 1)) return { result: 'miss NotShared', stores: true }
  // What each request has to ask the origin for is fetched for one alone.
  if (entry !== null && (numbers.flags & CacheFlag.AlwaysValidate) !== 0) return { stores: true }
  if (why === 'RequestNoCache') return { stores: true }
  asking.storing ??= requests.storing(x, content)
  return entry === null && !mayCollapse(asking.storing) ? { stores: true } : null
}
