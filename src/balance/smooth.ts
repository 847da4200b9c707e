/**
 * Smooth weighted round robin, as nginx does it (commit 52327e0627f4, 2012): on each turn everyone's credit grows by
 * its weight, the richest is chosen and pays what all together were given. Over as many turns as the weights add up to,
 * each is chosen exactly as often as its weight says, and spread as evenly as whole turns allow: 5, 1, 1 gives a a b a
 * c a a.
 *
 * Credits are worth what the weights of their time were. Where the sum of weights changes they are converted, so that
 * what was half a turn stays half a turn: else a place that was due soon among weights of a million would, among
 * weights of one, be chosen a million times in a row.
 */
export class SmoothRotation {
  #credits: Float64Array
  /** Sum of the weights at the last turn. */
  #total = 0

  constructor(count: number) {
    this.#credits = new Float64Array(count)
  }

  /**
   * @param weights of every place; 0 leaves a place out of this turn, its credit is kept for later
   * @param total their sum
   * @returns the chosen place, -1 when no weight is positive
   */
  turn(weights: Float64Array, total: number): number {
    if (total === 0) return -1
    const credits = this.#credits
    const count = credits.length
    if (total !== this.#total) this.#convert(total)
    let chosen = -1
    let most = 0
    for (let i = 0; i < count; i++) {
      if (weights[i] === 0) continue
      const credit = credits[i]! + weights[i]!
      credits[i] = credit
      if (chosen !== -1 && credit <= most) continue
      chosen = i
      most = credit
    }
    credits[chosen] = most - total
    return chosen
  }

  /**
   * Goes on with other places.
   *
   * @param origins for each new place the old one that it continues, or -1
   */
  revise(origins: readonly number[]): void {
    const kept = origins.filter((origin) => origin !== -1)
    // Only differences of credits matter. With the middle at zero a newcomer, which has none, is neither favoured nor
    // passed over.
    const middle = kept.reduce((sum, origin) => sum + this.#credits[origin]!, 0) / Math.max(kept.length, 1)
    this.#credits = Float64Array.from(origins, (origin) => (origin === -1 ? 0 : this.#credits[origin]! - middle))
  }

  #convert(total: number): void {
    const factor = this.#total === 0 ? 0 : total / this.#total
    for (let i = 0; i < this.#credits.length; i++) this.#credits[i]! *= factor
    this.#total = total
  }
}
