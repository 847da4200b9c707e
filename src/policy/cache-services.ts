/** What the cache policy is handed besides the services of every filter. */
import type { Purges } from '../cache/purges.ts'
import type { ResponseMemory } from '../cache/response-memory.ts'
import type { CacheResult } from '../cache/results.ts'
import type { StoreReason } from '../cache/verdicts.ts'
import type { Milliseconds } from '../lib/clock.ts'

export interface CacheServices {
  readonly memory: ResponseMemory
  readonly purges: Purges
  /** In force now. */
  readonly settings: CacheSettings
  /** For the metrics. */
  readonly counts: CacheCounts
}

export interface CacheSettings {
  /** How long a request waits for the response that another one is fetching. */
  readonly collapseTimeout: Milliseconds
  /** Whether a client gets the details in Cache-Status. */
  isTrusted(address: string): boolean
}

export interface CacheCounts {
  /** A request of a rule with a cache. */
  request(result: CacheResult): void
  /** A response of the origin that was judged. */
  judged(reason: StoreReason): void
}
