/** Which requests are none of the cache's business. */
import { isForOrigin } from '../../cache/preconditions.ts'
import type { CacheResult } from '../../cache/results.ts'
import type { DryExchange } from '../exchange.ts'
import { type Presence, presence } from './presence.ts'

/** Bytes of the content of a QUERY that are part of a key. */
export const MAX_CONTENT = 64 * 1024

/** @param selectors of which one is enough. @returns why a request passes the cache by, null: it does not */
export function bypassOf(selectors: readonly string[]): (x: DryExchange) => CacheResult | null {
  const conditions: readonly Presence[] = selectors.map(presence)
  return (x) => {
    const { method, requestBodyLength } = x
    if (method === 'QUERY') {
      if (requestBodyLength === undefined || requestBodyLength > MAX_CONTENT) return 'bypass RequestContent'
    } else if (method !== 'GET' && method !== 'HEAD') return 'bypass Method'
    // What an origin makes of it, nobody knows (RFC 9110 §9.3.1).
    else if (requestBodyLength !== 0) return 'bypass RequestContent'
    if (x.upgrade !== null) return 'bypass Upgrade'
    for (const isPresent of conditions) if (isPresent(x)) return 'bypass Condition'
    return isForOrigin(x.request) ? 'bypass Precondition' : null
  }
}
