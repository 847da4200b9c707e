import type { Random } from '../lib/clock.ts'
import type { Balancer } from './balancer.ts'
import type { Endpoint, EndpointGauge } from './endpoint.ts'
import { preferenceOf, READY, UNAVAILABLE } from './preference.ts'

/** Draws of one endpoint before all are scanned. */
const DRAWS = 4

/** Picks at random, in proportion to the weights. */
export class WeightedRandom implements Balancer {
  readonly #gauge: EndpointGauge
  readonly #random: Random
  #endpoints: readonly Endpoint[] = []
  /** Cumulative weights. */
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

  pick(_key: string | undefined, tried: readonly Endpoint[] | null): Endpoint | undefined {
    const endpoints = this.#endpoints
    const count = endpoints.length
    if (count === 0) return undefined
    const total = this.#sums[count - 1]!
    for (let draw = 0; draw < DRAWS; draw++) {
      const endpoint = endpoints[this.#indexOf(this.#random() * total)]!
      if (preferenceOf(endpoint, this.#gauge, tried) === READY) return endpoint
    }
    return this.#pickFromAll(tried)
  }

  /** The first index whose cumulative weight is above the point. */
  #indexOf(point: number): number {
    let low = 0
    let high = this.#sums.length - 1
    while (low < high) {
      const middle = (low + high) >> 1
      if (this.#sums[middle]! > point) high = middle
      else low = middle + 1
    }
    return low
  }

  /** Picks among the best class in one pass: each endpoint replaces the previous choice in proportion to its weight. */
  #pickFromAll(tried: readonly Endpoint[] | null): Endpoint | undefined {
    let best = UNAVAILABLE
    let sum = 0
    let chosen: Endpoint | undefined
    for (const endpoint of this.#endpoints) {
      const preference = preferenceOf(endpoint, this.#gauge, tried)
      if (preference > best || preference === UNAVAILABLE) continue
      if (preference < best) {
        best = preference
        sum = 0
      }
      sum += endpoint.weight
      if (this.#random() * sum < endpoint.weight) chosen = endpoint
    }
    return chosen
  }
}
