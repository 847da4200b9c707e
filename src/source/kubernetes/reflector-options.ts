/** Options, handler and timings of a reflector. */
import type { Milliseconds, Random, TimerClock } from '../../lib/clock.ts'
import type { ApiError } from './api-error.ts'
import { type BackoffLimits, DEFAULT_BACKOFF } from './backoff.ts'
import type { ListWatcher, Selection } from './client.ts'
import type { Ingested } from './ingest.ts'
import type { ApiKind, ApiResource } from './resources.ts'

export interface ReflectorFailure {
  readonly verb: 'list' | 'watch'
  readonly error: ApiError
  /** Failed attempts, including this one, since the last event or healthy watch. */
  readonly failures: number
}

/** Exceptions of its methods are caught and passed to `handlerFailed`. */
export interface ReflectorHandler {
  /** A new object, or a new version. An object of the same name with another uid is deleted first. */
  upsert(object: Ingested): void
  delete(key: string): void
  /** Called once, after the initial list has been delivered. */
  synced(): void
  /** Called after every failed attempt, and with undefined on recovery. */
  failureChanged(trouble: ReflectorFailure | undefined): void
  handlerFailed(error: unknown): void
  /** Called while a list arrives, which waits for the promise. */
  backpressure?(): Promise<void> | undefined
}

export interface ReflectorTimings {
  readonly backoff: BackoffLimits
  /** Longest pause before the first sync, or while the kind is not served. */
  readonly maxPauseUnsynced: Milliseconds
  /** Longest pause while the server is unreachable. */
  readonly maxPauseUnavailable: Milliseconds
  /** Objects per page. */
  readonly pageSize: number
  /** Range of the random `timeoutSeconds` of a watch. */
  readonly watchSeconds: readonly [number, number]
  /** Grace after a watch's timeout before it is aborted as dead. */
  readonly watchdog: Milliseconds
  /** A watch that lasted this long resets the backoff. */
  readonly healthyAfter: Milliseconds
  /** A regular end before this counts as a failure. */
  readonly minWatchDuration: Milliseconds
  /** Time for the initial events of a watch-list before the reflector falls back to a list. */
  readonly watchListTimeout: Milliseconds
}

export const DEFAULT_TIMINGS: ReflectorTimings = {
  backoff: DEFAULT_BACKOFF,
  maxPauseUnsynced: 10_000,
  maxPauseUnavailable: 5_000,
  pageSize: 500,
  watchSeconds: [290, 580],
  watchdog: 15_000,
  healthyAfter: 10_000,
  minWatchDuration: 1_000,
  watchListTimeout: 10_000,
}

export interface ReflectorOptions {
  readonly kind: ApiKind
  /** Default: the row of the table of kinds. */
  readonly resource?: ApiResource
  /** Absent = all namespaces. */
  readonly namespace?: string
  readonly selection?: Selection
  readonly client: ListWatcher
  readonly handler: ReflectorHandler
  readonly random: Random
  readonly time: TimerClock
  readonly pacing?: Partial<ReflectorTimings>
  /** Reads the initial objects by a watch-list (Kubernetes 1.32 and later). */
  readonly watchList?: boolean
  /** Events are processed before those of other kinds. */
  readonly urgent?: boolean
  /** The first list reads the most recent version, not the server's cache, which may be stale. */
  readonly consistent?: boolean
}
