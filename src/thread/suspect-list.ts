/** Objects that control threads were working on when they ended: the supervisor keeps them for the next thread. */
import type { Milliseconds } from '../lib/clock.ts'

/** Kept by the supervisor, handed to each new control thread. */
export interface Suspect {
  /** Kind and key, see `objectId`. */
  readonly name: string
  /** How many control threads have ended at it. */
  readonly deaths: number
  /** Wall clock: when it may be tried again. */
  readonly until: Milliseconds
}

const FIRST_RETRY: Milliseconds = 60_000
const LONGEST_RETRY: Milliseconds = 3_600_000
/** Suspects at a time; beyond, the oldest is forgotten and has to end another thread to come back. */
const MAX_SUSPECTS = 256
/** So many objects at hand name none of them. */
export const MAX_AT_HAND = 16

/** How long an object at which so many control threads have ended is not worked on. */
export function retryAfter(deaths: number): Milliseconds {
  return Math.min(FIRST_RETRY * 2 ** (deaths - 1), LONGEST_RETRY)
}

/** The record of a process, in the supervisor. */
export class SuspectList {
  readonly #suspects = new Map<string, Suspect>()

  /** A control thread ended at these. @returns those that are set aside now */
  add(names: readonly string[], now: Milliseconds): readonly Suspect[] {
    if (names.length > MAX_AT_HAND) return []
    return names.map((name) => {
      const deaths = (this.#suspects.get(name)?.deaths ?? 0) + 1
      const until = now + retryAfter(deaths)
      const suspect = { name, deaths, until }
      this.#suspects.delete(name)
      this.#suspects.set(name, suspect)
      if (this.#suspects.size > MAX_SUSPECTS) this.#suspects.delete(this.#suspects.keys().next().value!)
      return suspect
    })
  }

  clear(name: string): void {
    this.#suspects.delete(name)
  }

  get all(): readonly Suspect[] {
    return [...this.#suspects.values()]
  }
}
