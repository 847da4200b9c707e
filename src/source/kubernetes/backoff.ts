import type { Milliseconds, Random } from '../../lib/clock.ts'

export interface BackoffLimits {
  /** The first pause, before jitter. */
  readonly initial: Milliseconds
  /** Longest pause. */
  readonly max: Milliseconds
}

/** The values of client-go's reflector. */
export const DEFAULT_BACKOFF: BackoffLimits = { initial: 800, max: 30_000 }

/** Exponential backoff with jitter: pauses double, and each is extended by up to 100 % so that clients spread out. */
export class Backoff {
  readonly #limits: BackoffLimits
  readonly #random: Random
  #pause: Milliseconds

  constructor(limits: BackoffLimits, random: Random) {
    this.#limits = limits
    this.#random = random
    this.#pause = limits.initial
  }

  /** @param most for this pause, where it is to be shorter than the limit */
  next(most: Milliseconds = this.#limits.max): Milliseconds {
    const pause = Math.min(this.#pause * (1 + this.#random()), most, this.#limits.max)
    this.#pause = Math.min(this.#pause * 2, this.#limits.max)
    return pause
  }

  reset(): void {
    this.#pause = this.#limits.initial
  }
}
