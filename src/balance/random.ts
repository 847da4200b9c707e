import type { Random } from '../lib/clock.ts'
import type { Balancer } from './balancer.ts'
import type { Endpoint, EndpointGauge } from './endpoint.ts'
import { classOf, FRESH, NONE } from './preference.ts'

/** How often one is drawn before all are looked at. */
const DRAWS = 4

/** By chance, in proportion to the weights. */
export class WeightedRandom implements Balancer {
  readonly #gauge: EndpointGauge
  readonly #random: Random
  #endpoints: readonly Endpoint[] = []
  /** Sums of the weights up to and with each endpoint. */
  #sums = new Float64Array(0)

  constructor(gauge: EndpointGauge, random: Random) {
    this.#gauge = gauge
    this.#random = random
  }

  update(endpoints: readonly Endpoint[]): void {
    this.#endpoints = [...endpoints]
    let sum = 0
    this.#sums = Float64Array.from(endpoints, ({ weight }) => (sum += weight))
  }

  pick(tried: readonly Endpoint[] | null): Endpoint | undefined {
    const endpoints = this.#endpoints
    const count = endpoints.length
    if (count === 0) return undefined
    const total = this.#sums[count - 1]!
    for (let draw = 0; draw < DRAWS; draw++) {
      const endpoint = endpoints[this.#placeOf(this.#random() * total)]!
      if (classOf(endpoint, this.#gauge, tried) === FRESH) return endpoint
    }
    return this.#pickFromAll(tried)
  }

  /** The first place whose sum is above the point. */
  #placeOf(point: number): number {
    let low = 0
    let high = this.#sums.length - 1
    while (low < high) {
      const middle = (low + high) >> 1
      if (this.#sums[middle]! > point) high = middle
      else low = middle + 1
    }
    return low
  }

  /**
   * Chooses among the best class in one walk: each replaces the choice so far with the share that its weight has by
   * then.
   */
  #pickFromAll(tried: readonly Endpoint[] | null): Endpoint | undefined {
    let best = NONE
    let sum = 0
    let chosen: Endpoint | undefined
    for (const endpoint of this.#endpoints) {
      const rank = classOf(endpoint, this.#gauge, tried)
      if (rank > best || rank === NONE) continue
      if (rank < best) {
        best = rank
        sum = 0
      }
      sum += endpoint.weight
      if (this.#random() * sum < endpoint.weight) chosen = endpoint
    }
    return chosen
  }
}
