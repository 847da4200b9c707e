/** What a reflector is told, whom it tells, and how it takes its time. */
import type { Milliseconds, Random, TimerClock } from '../../lib/clock.ts'
import type { ApiError } from './api-error.ts'
import { BACK_OFF, type BackOffLimits } from './back-off.ts'
import type { Lister, Selection } from './client.ts'
import type { Ingested } from './ingest.ts'
import type { ApiKind, Resource } from './resources.ts'

export interface Trouble {
  readonly verb: 'list' | 'watch'
  readonly error: ApiError
  /** Attempts that have failed, this one among them, since an event came or a watch lived. */
  readonly failures: number
}

/** What it throws is caught and told to `failed`; nothing else comes of it. */
export interface ReflectorHandler {
  /** New, or another version. An object of the same name with another uid is deleted before. */
  upsert(object: Ingested): void
  delete(key: string): void
  /** Once: everything there was has been told. */
  synced(): void
  /** After every failed attempt; undefined when it is over. */
  trouble(trouble: Trouble | undefined): void
  failed(error: unknown): void
  /** Asked while a list comes in: whether it is to wait. */
  pause?(): Promise<void> | undefined
}

export interface Pacing {
  readonly backOff: BackOffLimits
  /** Longest pause as long as nothing is known, or the kind is not served. */
  readonly mostUnsynced: Milliseconds
  /** Longest pause while nobody is there to be spared. */
  readonly mostAway: Milliseconds
  /** Objects in a page. */
  readonly page: number
  /** A watch is asked to last a random time between these. */
  readonly watchSeconds: readonly [number, number]
  /** Silence for so long after a watch should have ended means that nobody is there. */
  readonly watchdog: Milliseconds
  /** A watch of this length was no failure, so that the next pause is short again. */
  readonly lived: Milliseconds
  /** An orderly end before this is one to be suspicious of. */
  readonly quick: Milliseconds
  /** For what exists to come by a watch, before it is listed after all. */
  readonly watchList: Milliseconds
}

export const PACING: Pacing = {
  backOff: BACK_OFF,
  mostUnsynced: 10_000,
  mostAway: 5_000,
  page: 500,
  watchSeconds: [290, 580],
  watchdog: 15_000,
  lived: 10_000,
  quick: 1_000,
  watchList: 10_000,
}

export interface ReflectorOptions {
  readonly kind: ApiKind
  /** Where it is; default as the table of kinds has it. */
  readonly resource?: Resource
  /** None = all of them. */
  readonly namespace?: string
  readonly selection?: Selection
  readonly client: Lister
  readonly handler: ReflectorHandler
  readonly random: Random
  readonly time: TimerClock
  readonly pacing?: Partial<Pacing>
  /** Ask for what exists by a watch (Kubernetes 1.32 and later). */
  readonly watchList?: boolean
  /** Events do not wait for what comes in of other kinds. */
  readonly urgent?: boolean
  /** The first list is not to come from a cache, which may be behind. */
  readonly consistent?: boolean
}
