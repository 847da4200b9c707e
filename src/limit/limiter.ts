/** How often something may happen, by key: requests of a client, of a consumer, of all. */
import type { Milliseconds } from '../lib/clock.ts'

export interface LimiterRate {
  /** So many in `per`, evenly. */
  readonly requests: number
  readonly per: Milliseconds
  /** So many may come at once. */
  readonly burst: number
}

export interface LimiterQuota {
  /** So many in `per`, however spread; a time begins with the first of them. */
  readonly quota: number
  readonly per: Milliseconds
}

export interface Admission {
  readonly allowed: boolean
  /** Whole, after which the same would be allowed; 0 when it is, infinite where it costs more than the burst. */
  readonly retryAfter: Milliseconds
  /** Requests that would be allowed now. */
  readonly remaining: number
  /** After which nothing of what was taken counts any more. */
  readonly resetAfter: Milliseconds
}

/** Synchronous: what it counts lies in memory, of all workers. */
export interface Limiter {
  /**
   * Counts only what it allows: a client that keeps asking is not held off for longer.
   *
   * @param cost in requests, above 0; 1 by default
   */
  take(key: string, cost?: number): Admission
  /** What was taken has not happened. */
  giveBack(key: string, cost?: number): void
}

/** Keys that are refused until a time. */
export interface Holds {
  /** 0: it is not held. */
  left(key: string): Milliseconds
  /** In place of the time before. @param time 0: it is not held any more */
  set(key: string, time: Milliseconds): void
}

/** Whose keys: two scopes never count together. */
export interface LimiterScope {
  /** Whom the keys are counted to, a namespace: no owner makes the keys of others be forgotten. */
  readonly owner: string
  /** The limit's own, unique with its owner. */
  readonly name: string
}

export interface Limiters {
  /**
   * The same scope goes on with what was counted, also at another rate: an edit gives nobody a new burst.
   *
   * @throws {TypeError} when the rate is none; validation has refused that before
   */
  open(scope: LimiterScope, rate: LimiterRate | LimiterQuota): Limiter
  openHolds(scope: LimiterScope): Holds
}
