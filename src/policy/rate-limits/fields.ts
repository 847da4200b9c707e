/**
 * `RateLimit` and `RateLimit-Policy` (draft-ietf-httpapi-ratelimit-headers-11): structured fields (RFC 9651), lists
 * with an item for each limit that a request met.
 */
import type { Admission, LimiterQuota, LimiterRate } from '../../limit/limiter.ts'

/** `"per-client";q=100;w=60`. @param name a DNS label, so nothing of it has to be escaped */
export function policyItem(name: string, rate: LimiterRate | LimiterQuota): string {
  const quota = 'quota' in rate ? rate.quota : rate.requests
  // The window is in whole seconds; one that is not has no form, and is left out.
  const window = rate.per % 1_000 === 0 ? `;w=${rate.per / 1_000}` : ''
  return `"${name}";q=${quota}${window}`
}

/** `"per-client";r=49;t=30`: so many may come now, and after so many seconds it is as if none had come. */
export function stateItem(name: string, { remaining, resetAfter }: Admission): string {
  return `"${name}";r=${remaining};t=${seconds(resetAfter)}`
}

/** Whole, and never so early that it would be refused again. */
export function seconds(milliseconds: number): number {
  return Math.ceil(milliseconds / 1_000)
}
