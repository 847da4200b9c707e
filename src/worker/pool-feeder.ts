import type { EndpointPool } from '../transport/pool.ts'
import type { Timed, Timers } from '../transport/timers.ts'

/** Milliseconds between two looks for a place that another worker may have given back. */
const FEED_INTERVAL = 40

/**
 * Looks now and then whether pools with waiting requests may go on: a place that another worker gives back makes no
 * sound here.
 */
export class PoolFeeder implements Timed {
  due = 0
  slot = -1
  earlier: Timed | null = null
  later: Timed | null = null
  readonly #timers: Timers
  readonly #pools = new Set<EndpointPool>()

  constructor(timers: Timers) {
    this.#timers = timers
  }

  watch(pool: EndpointPool): void {
    this.#pools.add(pool)
    if (this.due === 0) this.#timers.arm(this, this.#timers.now + FEED_INTERVAL)
  }

  expired(now: number): void {
    for (const pool of this.#pools) if (!pool.feed(now)) this.#pools.delete(pool)
    if (this.#pools.size > 0) this.#timers.arm(this, now + FEED_INTERVAL)
  }
}
