import type { Milliseconds, Random } from '../lib/clock.ts'
import type { Endpoint, EndpointGauge } from './endpoint.ts'
import type { Topology } from './topology.ts'

/** The request has nothing to be hashed. */
export const NO_KEY = -1

/**
 * Picks one endpoint of a Backend. One instance per Backend and worker; `update` keeps the state of endpoints that stay
 * (matched by object identity), so that a rolling update does not restart a rotation.
 */
export interface Balancer {
  /** Replaces the candidates. Draining ones are handed in only when nothing else is left. */
  update(endpoints: readonly Endpoint[]): void
  /**
   * @param key hash of what a balancer that keeps a client or a resource at one endpoint chooses by (`hashKey`);
   *   {@link NO_KEY}: by load or turn
   * @param tried endpoints that failed in this exchange: passed over as long as another is left; `null` for the first
   *   try
   * @returns undefined when there is nothing to pick
   */
  pick(key: number, tried: readonly Endpoint[] | null): Endpoint | undefined
}

/** What a balancer decides by, besides its endpoints. */
export interface BalancerContext {
  readonly gauge: EndpointGauge
  readonly random: Random
  /** Another object after each change. */
  readonly topology: Topology
  /** Monotonic milliseconds; those of the current turn of the event loop will do. */
  now(): Milliseconds
  /** Requests in flight on the whole Backend, over all workers, the one that is to be sent included. */
  requests(): number
}
