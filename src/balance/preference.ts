import type { Endpoint, EndpointGauge } from './endpoint.ts'

/**
 * How good a choice an endpoint is now, the least first: every algorithm chooses among the best class that is there. A
 * ready one before a draining one; one that failed in this exchange only when nothing else is left, since it is likely
 * to fail again.
 */
export const FRESH = 0
export const DRAINING = 1
export const TRIED = 2
export const TRIED_DRAINING = 3
/** Withdrawn by control or an outlier detector: no choice at all. */
export const NONE = 4

/** Reads shared memory, so two calls may differ: an algorithm that walks twice remembers what it saw. */
export function classOf(endpoint: Endpoint, gauge: EndpointGauge, tried: readonly Endpoint[] | null): number {
  if (!gauge.eligible(endpoint.slot)) return NONE
  const draining = endpoint.state === 'draining' ? DRAINING : FRESH
  return tried?.includes(endpoint) ? draining + TRIED : draining
}
