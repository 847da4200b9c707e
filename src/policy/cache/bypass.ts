/** Which requests are none of the cache's business. */
import { isForOrigin } from '../../cache/preconditions.ts'
import type { CacheResult } from '../../cache/results.ts'
import { GatewayError } from '../../lib/error.ts'
import { TRAILED } from '../attribute.ts'
import type { DryExchange, Exchange } from '../exchange.ts'
import { type Presence, presence } from './presence.ts'

/** Bytes of the content of a QUERY that are part of a key. */
const MAX_CONTENT = 64 * 1024

/** @param selectors of which one is enough. @returns why a request passes the cache by, null: it does not */
export function bypassOf(selectors: readonly string[]): (x: DryExchange) => CacheResult | null {
  const conditions: readonly Presence[] = selectors.map(presence)
  return (x) => {
    const { method, requestBodyLength } = x
    if (method === 'QUERY') {
      if (requestBodyLength !== undefined && requestBodyLength > MAX_CONTENT) return 'bypass RequestContent'
    } else if (method !== 'GET' && method !== 'HEAD') return 'bypass Method'
    // What an origin makes of it, nobody knows (RFC 9110 §9.3.1).
    else if (requestBodyLength !== 0) return 'bypass RequestContent'
    if (x.upgrade !== null) return 'bypass Upgrade'
    for (const isPresent of conditions) if (isPresent(x)) return 'bypass Condition'
    return isForOrigin(x.request) ? 'bypass Precondition' : null
  }
}

/**
 * Of a QUERY, as it comes where its length is not told.
 *
 * @returns null: it is longer than a key takes, or has trailers, which the origin may read as any field (RFC 9110 §6.5)
 */
export async function contentOf(x: Exchange): Promise<Uint8Array | null> {
  try {
    const content = await x.readBody(MAX_CONTENT)
    return x.get(TRAILED) === true ? null : content
  } catch (error) {
    if (error instanceof GatewayError && error.reason === 'BodyTooLarge') return null
    throw error
  }
}
