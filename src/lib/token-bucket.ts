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

  /** @returns 0 when a token was taken, else the time until one is available */
  take(): Milliseconds {
    const { perSecond, burst } = this.#rate
    const now = this.#now()
    this.#tokens = Math.min(burst, this.#tokens + (Math.max(0, now - this.#at) * perSecond) / 1_000)
    this.#at = now
    if (this.#tokens < 1) return Math.ceil(((1 - this.#tokens) * 1_000) / perSecond)
    this.#tokens--
    return 0
  }
}
