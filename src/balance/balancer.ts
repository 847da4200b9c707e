import type { Endpoint } from './endpoint.ts'

/**
 * Picks one endpoint of a Backend. One instance per Backend and worker; `update` keeps the state of endpoints that stay
 * (matched by object identity), so that a rolling update does not restart a rotation.
 */
export interface Balancer {
  /** Replaces the candidates. Draining ones are handed in only when nothing else is left. */
  update(endpoints: readonly Endpoint[]): void
  /**
   * @param key what a balancer that keeps a client or a resource at one endpoint chooses by; undefined: by load or turn
   * @param tried endpoints that failed in this exchange: passed over as long as another is left; `null` for the first
   *   try
   * @returns undefined when there is nothing to pick
   */
  pick(key: string | undefined, tried: readonly Endpoint[] | null): Endpoint | undefined
}
