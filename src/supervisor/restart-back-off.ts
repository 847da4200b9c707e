import type { Milliseconds } from '../lib/clock.ts'

/** A thread that ran this long counts as healthy: its replacement starts without a delay. */
export const HEALTHY_AFTER: Milliseconds = 3_000
const FIRST_DELAY: Milliseconds = 200
const MAX_DELAY: Milliseconds = 5_000

/** Delays the restart of a thread that repeatedly ends shortly after its start. */
export class RestartBackOff {
  #earlyExits = 0

  /** Consecutive starts that ended before {@link HEALTHY_AFTER}. */
  get earlyExits(): number {
    return this.#earlyExits
  }

  /** @returns the delay before the next start, given the lifetime of the thread that ended */
  nextDelay(lifetime: Milliseconds): Milliseconds {
    if (lifetime >= HEALTHY_AFTER) {
      this.#earlyExits = 0
      return 0
    }
    this.#earlyExits++
    // The first two restarts are immediate: a single early exit may be accidental (an operator killed the thread).
    if (this.#earlyExits <= 2) return 0
    return Math.min(FIRST_DELAY * 2 ** (this.#earlyExits - 3), MAX_DELAY)
  }
}
