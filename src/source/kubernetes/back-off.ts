import type { Milliseconds, Random } from '../../lib/clock.ts'

export interface BackOffLimits {
  /** Shortest pause. */
  readonly first: Milliseconds
  /** Longest pause. */
  readonly most: Milliseconds
}

/** As client libraries of Kubernetes have it: what an API server is used to. */
export const BACK_OFF: BackOffLimits = { first: 800, most: 30_000 }

/**
 * Pauses that double, each up to twice as long as it must be, so that many who fail together do not come back together.
 */
export class BackOff {
  readonly #limits: BackOffLimits
  readonly #random: Random
  #pause: Milliseconds

  constructor(limits: BackOffLimits, random: Random) {
    this.#limits = limits
    this.#random = random
    this.#pause = limits.first
  }

  /** @param most for this pause, where it is to be shorter than the limit */
  next(most: Milliseconds = this.#limits.most): Milliseconds {
    const pause = Math.min(this.#pause * (1 + this.#random()), most, this.#limits.most)
    this.#pause = Math.min(this.#pause * 2, this.#limits.most)
    return pause
  }

  reset(): void {
    this.#pause = this.#limits.first
  }
}
