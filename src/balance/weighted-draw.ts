import type { Random } from '../lib/clock.ts'
import type { Endpoint } from './endpoint.ts'

/**
 * Draws indexes in proportion to the weights in constant time: the alias method (Walker 1977, in the form of Vose 1991,
 * "A linear algorithm for generating random numbers with a given distribution").
 */
export class WeightedDraw {
  readonly #random: Random
  #count = 0
  /** Chance that a drawn column stands for itself; null while all weights are equal. */
  #own: Float64Array | null = null
  /** What the column stands for otherwise. */
  #alias = new Uint32Array(0)

  constructor(random: Random) {
    this.#random = random
  }

  update(endpoints: readonly Endpoint[]): void {
    const count = endpoints.length
    this.#count = count
    this.#own = null
    if (endpoints.every(({ weight }) => weight === endpoints[0]!.weight)) return
    const total = endpoints.reduce((sum, { weight }) => sum + weight, 0)
    const own = Float64Array.from(endpoints, ({ weight }) => (weight / total) * count)
    const alias = Uint32Array.from(endpoints, (_, i) => i)
    const small: number[] = []
    const large: number[] = []
    for (let i = 0; i < count; i++) (own[i]! < 1 ? small : large).push(i)
    while (small.length > 0 && large.length > 0) {
      const less = small.pop()!
      const more = large.at(-1)!
      alias[less] = more
      own[more]! -= 1 - own[less]!
      if (own[more]! < 1) small.push(large.pop()!)
    }
    // What is left has a chance of 1 but for rounding.
    for (const i of [...small, ...large]) own[i] = 1
    this.#own = own
    this.#alias = alias
  }

  /** Only while there is something to draw. */
  draw(): number {
    const point = this.#random() * this.#count
    const column = Math.floor(point)
    const own = this.#own
    return own === null || point - column < own[column]! ? column : this.#alias[column]!
  }
}
