import type { Milliseconds } from '../lib/clock.ts'

/** A thread that lived this long was well: its replacement starts at once. */
const WELL_AFTER: Milliseconds = 3_000
const FIRST: Milliseconds = 200
const LONGEST: Milliseconds = 5_000

/** When to start a thread again: at once, unless it keeps dying right at its start. */
export class BackOff {
  #early = 0

  /** How many starts in a row ended early. */
  get early(): number {
    return this.#early
  }

  /** @returns how long to wait before the next start, after a life of this length */
  next(lifetime: Milliseconds): Milliseconds {
    if (lifetime >= WELL_AFTER) {
      this.#early = 0
      return 0
    }
    this.#early++
    // Once may be chance (it was killed, and the test or the operator kills its replacement as well).
    if (this.#early <= 2) return 0
    return Math.min(FIRST * 2 ** (this.#early - 3), LONGEST)
  }
}
