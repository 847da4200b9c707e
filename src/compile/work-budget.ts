/**
 * How work is cut into turns: by units of about a microsecond, not by a clock, so that compile stays pure and a turn's
 * length does not depend on what else the machine does.
 */
const TURN = 700

export class WorkBudget {
  #left = TURN

  /** Counts work done. @returns whether it is time to yield */
  spend(units: number): boolean {
    this.#left -= units
    if (this.#left > 0) return false
    this.#left = TURN
    return true
  }
}
