/**
 * Divides work into turns by units of about a microsecond, not by a clock, so that `compile` stays pure and
 * deterministic.
 */
const UNITS_PER_SLICE = 700

export class WorkBudget {
  #left = UNITS_PER_SLICE

  /** Counts work. @returns whether to yield */
  spend(units: number): boolean {
    this.#left -= units
    if (this.#left > 0) return false
    this.#left = UNITS_PER_SLICE
    return true
  }
}
