/**
 * Smooth weighted round robin, as in nginx (commit 52327e0627f4, 2012): each turn adds every entry's weight to its
 * credit, chooses the entry with the highest credit, and subtracts the sum of the weights from it. Over as many turns
 * as the sum of the weights, each entry is chosen exactly as often as its weight, spread as evenly as whole turns
 * allow: weights 5, 1, 1 give a a b a c a a.
 *
 * Credits are relative to the sum of weights. When that sum changes they are rescaled: otherwise a credit from weights
 * of a million would, among weights of one, choose the same entry a million times in a row.
 */
export class SmoothRotation {
  #credits: Float64Array
  /** Sum of the weights at the last turn. */
  #total = 0

  constructor(count: number) {
    this.#credits = new Float64Array(count)
  }

  /**
   * @param weights of all entries; an entry with weight 0 is skipped in this turn and keeps its credit
   * @param total their sum
   * @returns index of the chosen entry, -1 when no weight is positive
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
   * Replaces the entries.
   *
   * @param origins for each new entry the index of the old one whose credit it takes over, or -1
   */
  revise(origins: Iterable<number>): void {
    const all = [...origins]
    const kept = all.filter((origin) => origin !== -1)
    // Only differences of credits matter. With the mean at zero a new entry, whose credit is zero, is neither preferred
    // nor skipped.
    const mean = kept.reduce((sum, origin) => sum + this.#credits[origin]!, 0) / Math.max(kept.length, 1)
    this.#credits = Float64Array.from(all, (origin) => (origin === -1 ? 0 : this.#credits[origin]! - mean))
  }

  #convert(total: number): void {
    const factor = this.#total === 0 ? 0 : total / this.#total
    for (let i = 0; i < this.#credits.length; i++) this.#credits[i]! *= factor
    this.#total = total
  }
}
