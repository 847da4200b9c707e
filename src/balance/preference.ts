import type { Endpoint, EndpointGauge } from './endpoint.ts'

/**
 * Preference classes of endpoints, best first: every algorithm picks among the endpoints of the best class present. A
 * ready endpoint precedes a draining one; an endpoint that failed in this exchange comes last, because it is likely to
 * fail again.
 */
export const READY = 0
export const DRAINING = 1
export const TRIED = 2
export const TRIED_DRAINING = 3
/** Withdrawn by control or an outlier detector: never picked. */
export const UNAVAILABLE = 4

/** Reads shared memory, so that two calls may differ: an algorithm with two passes must store the first result. */
export function preferenceOf(endpoint: Endpoint, gauge: EndpointGauge, tried: readonly Endpoint[] | null): number {
  if (!gauge.eligible(endpoint.slot)) return UNAVAILABLE
  const draining = endpoint.state === 'draining' ? DRAINING : READY
  return tried?.includes(endpoint) ? draining + TRIED : draining
}

/** Whether a pick would find an endpoint that has not failed in this exchange, where another one just has. */
export function hasUntried(
  endpoints: readonly Endpoint[],
  gauge: EndpointGauge,
  tried: readonly Endpoint[] | null,
  failed: Endpoint,
): boolean {
  return endpoints.some((endpoint) => endpoint !== failed && preferenceOf(endpoint, gauge, tried) < TRIED)
}
