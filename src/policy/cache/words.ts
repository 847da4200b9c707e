/** What is said of a request that goes to the origin: in metrics, the access log and Cache-Status. */
import type { CacheStatus, Forwarded } from '../../cache/cache-status.ts'
import { urlText } from '../../cache/purge-labels.ts'
import type { CacheResult } from '../../cache/results.ts'
import type { ReuseReason } from '../../cache/verdicts.ts'
import type { ClientOrigin } from '../../message/client-origin.ts'
import { authorityOf } from '../../pattern/host.ts'
import type { CacheServices } from '../cache-services.ts'
import type { Exchange } from '../exchange.ts'
import type { Asking } from './claims.ts'
import type { Lookup } from './lookup.ts'

/** @param unread an archive may have it, and is not asked since the origin has to be */
export function resultOf(
  { state, names, entry, partial }: Lookup,
  why: ReuseReason,
  unread: boolean = false,
): CacheResult {
  if (state === 'purged') return 'miss Purged'
  if (state === 'uncacheable') return 'miss Uncacheable'
  if (entry === null && partial) return 'miss Partial'
  if (entry === null && unread) return 'miss RequestNoCache'
  if (entry === null) return names === null ? 'miss NotStored' : 'miss Variant'
  return `miss ${why as Exclude<ReuseReason, 'Fresh' | 'MaxStale' | 'StaleIfError' | 'StaleWhileRevalidate'>}`
}

/** Whether a request has the archive left alone, see `claimOf`. */
export function leavesUnread({ directives, recalled }: Asking): boolean {
  return directives.noCache && recalled === null
}

/** A part was stored, and the rest of the range is fetched. */
export const PARTIAL = Object.freeze({ forwarded: 'partial' } as const)

/** Of a response that is served without asking the origin. */
export function hitOf({ recalled, collapsed, filled }: Asking): CacheResult {
  if (filled) return 'miss Partial'
  if (recalled?.found != null) return 'hit Archive'
  return collapsed ? 'hit Collapsed' : 'hit Memory'
}

/** RFC 9211 §2.2. */
export function forwardedOf({ entry, names }: Lookup, result: CacheResult): Forwarded {
  if (result.startsWith('bypass')) return 'bypass'
  if (result === 'miss Partial') return 'partial'
  if (entry === null && result === 'miss RequestNoCache') return 'request'
  if (entry === null && names !== null) return result === 'miss Purged' ? 'miss' : 'vary-miss'
  if (entry === null) return 'uri-miss'
  return result === 'miss RequestNoCache' || result === 'miss RequestMaxAge' || result === 'miss RequestMinFresh'
    ? 'request'
    : 'stale'
}

/** Most clients may not see it. */
export const NO_DETAIL = Object.freeze({})

/** In Cache-Status, for who may see it. @param detail the result, and why */
export function detailOf(
  x: Exchange,
  detail: string,
  { settings }: Pick<CacheServices, 'settings'>,
): Pick<CacheStatus, 'key' | 'detail'> {
  return settings.isTrusted(x.clientAddress) ? { key: keyTextOf(x), detail } : NO_DETAIL
}

/** For the access log and the metrics. */
export function tell(x: Exchange, result: CacheResult, { counts }: Pick<CacheServices, 'counts'>): void {
  x.cacheResult = result
  counts.request(result)
}

/** What is told of the key: the URL as the client asked for it, with the query as it counts. */
function keyTextOf(x: Exchange): string {
  return `${originText(x.origin)}${urlText('', x.originalPath, x.query)}`
}

/** To which cache groups belong. */
export function originText({ scheme, host, port }: ClientOrigin): string {
  return `${scheme}://${authorityOf(scheme, host, port)}`
}
