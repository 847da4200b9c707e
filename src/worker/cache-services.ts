/** The cache as the filters of this worker have it. */
import { HARD, type Purges } from '../cache/purges.ts'
import type { ResponseMemory } from '../cache/response-memory.ts'
import { CACHE_RESULT_ROWS } from '../cache/results.ts'
import { STORE_REASONS } from '../cache/verdicts.ts'
import type { Milliseconds } from '../lib/clock.ts'
import { CidrSet } from '../pattern/cidr.ts'
import { judgePurges } from '../policy/cache/purged.ts'
import type { CacheServices, CacheSettings, ResponseArchives } from '../policy/cache-services.ts'
import type { WorkerMetrics } from '../shared-memory/metrics.ts'
import type { WorkerSettings } from '../thread/messages.ts'

/** Of the index that a sweep goes through at a time. */
const SLOTS = 4_096

const NO_ARCHIVES: ResponseArchives = { of: () => undefined }

const NOBODY: CacheSettings = { collapseTimeout: 0, isTrusted: () => false }

export class WorkerCache implements CacheServices {
  readonly memory: ResponseMemory
  readonly purges: Purges
  readonly archives: ResponseArchives
  readonly counts: CacheServices['counts']
  #settings = NOBODY

  constructor(
    memory: ResponseMemory,
    purges: Purges,
    metrics: WorkerMetrics,
    archives: ResponseArchives = NO_ARCHIVES,
  ) {
    this.memory = memory
    this.purges = purges
    this.archives = archives
    this.counts = {
      request: (result) => metrics.cacheRequest(CACHE_RESULT_ROWS.get(result)!),
      judged: (reason) => metrics.cacheJudged(STORE_REASONS.indexOf(reason)),
    }
  }

  get settings(): CacheSettings {
    return this.#settings
  }

  /** Removes a part of what is of no use any more, and what was purged. To be called again and again. */
  sweep(now: Milliseconds): void {
    this.memory.sweep(now, SLOTS, (entry) => judgePurges(this.purges, entry) === HARD)
  }

  use({ collapseTimeout, debugCIDRs }: WorkerSettings['cache']): void {
    const trusted = debugCIDRs.length === 0 ? null : new CidrSet(debugCIDRs)
    this.#settings = { collapseTimeout, isTrusted: (address) => trusted?.has(address) === true }
  }
}
