/** A token bucket: a burst, then a steady rate. */
import type { Milliseconds } from './clock.ts'

export interface Rate {
  readonly perSecond: number
  readonly burst: number
}

export class TokenBucket {
  readonly #rate: Rate
  readonly #now: () => Milliseconds
  #tokens: number
  #at: Milliseconds

  /** @param now monotonic */
  constructor(rate: Rate, now: () => Milliseconds) {
    this.#rate = rate
    this.#now = now
    this.#tokens = rate.burst
    this.#at = now()
  }

  /**
   * @param count of tokens, no more than the burst
   * @returns 0 when they were taken, else the time until so many are available
   */
  take(count = 1): Milliseconds {
    const { perSecond, burst } = this.#rate
    const now = this.#now()
    this.#tokens = Math.min(burst, this.#tokens + (Math.max(0, now - this.#at) * perSecond) / 1_000)
    this.#at = now
    if (this.#tokens < count) return Math.ceil(((count - this.#tokens) * 1_000) / perSecond)
    this.#tokens -= count
    return 0
  }
}
