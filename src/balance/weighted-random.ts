import type { Random } from '../lib/clock.ts'
import type { Balancer } from './balancer.ts'
import type { Endpoint, EndpointGauge } from './endpoint.ts'
import { preferenceOf, READY, UNAVAILABLE } from './preference.ts'
import { WeightedDraw } from './weighted-draw.ts'

/** Draws of one endpoint before all are scanned: of a half-dead Backend one pick in 65,536 scans. */
const DRAWS = 16

/** Picks at random, in proportion to the weights. */
export class WeightedRandom implements Balancer {
  readonly #gauge: EndpointGauge
  readonly #random: Random
  readonly #draw: WeightedDraw
  #endpoints: readonly Endpoint[] = []

  constructor(gauge: EndpointGauge, random: Random) {
    this.#gauge = gauge
    this.#random = random
    this.#draw = new WeightedDraw(random)
  }

  update(endpoints: readonly Endpoint[]): void {
    this.#endpoints = [...endpoints]
    this.#draw.update(endpoints)
  }

  pick(_key: number, tried: readonly Endpoint[] | null): Endpoint | undefined {
    const endpoints = this.#endpoints
    if (endpoints.length === 0) return undefined
    for (let draws = 0; draws < DRAWS; draws++) {
      const endpoint = endpoints[this.#draw.draw()]!
      if (preferenceOf(endpoint, this.#gauge, tried) === READY) return endpoint
    }
    return this.#pickFromAll(tried)
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
