/** What the cache policy is handed besides the services of every filter. */
import type { Purges } from '../cache/purges.ts'
import type { ResponseArchive } from '../cache/response-archive.ts'
import type { ResponseMemory } from '../cache/response-memory.ts'
import type { CacheResult } from '../cache/results.ts'
import type { StoreReason } from '../cache/verdicts.ts'
import type { Milliseconds } from '../lib/clock.ts'

export interface CacheServices {
  readonly memory: ResponseMemory
  readonly purges: Purges
  /** Behind the memory, of the rules that name one. */
  readonly archives: ResponseArchives
  /** In force now. */
  readonly settings: CacheSettings
  /** For the metrics. */
  readonly counts: CacheCounts
}

export interface ResponseArchives {
  /** Undefined: a rule with this store has none. */
  of(store: 'Memory' | 'Redis' | 'Tiered' | 'File'): ResponseArchive | undefined
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
