import type { Random } from '../lib/clock.ts'
import type { Balancer } from './balancer.ts'
import type { Endpoint, EndpointGauge } from './endpoint.ts'
import { classOf, NONE } from './preference.ts'
import { SmoothRotation } from './smooth.ts'

/**
 * Exact shares by weight, smooth. A new set of endpoints or other weights go on where the rotation stood.
 * A pick looks at every endpoint, which is what exactness costs.
 */
export class WeightedRoundRobin implements Balancer {
  readonly #gauge: EndpointGauge
  readonly #random: Random
  #endpoints: readonly Endpoint[] = []
  readonly #rotation = new SmoothRotation(0)
  /** Weights of those that may be chosen on this turn; made once so that a pick allocates nothing. */
  #weights = new Float64Array(0)

  constructor(gauge: EndpointGauge, random: Random) {
    this.#gauge = gauge
    this.#random = random
  }

  update(endpoints: readonly Endpoint[]): void {
    const places = new Map(this.#endpoints.map((endpoint, i) => [endpoint, i]))
    const first = this.#endpoints.length === 0
    this.#rotation.revise(endpoints.map((endpoint) => places.get(endpoint) ?? -1))
    this.#endpoints = [...endpoints]
    this.#weights = new Float64Array(endpoints.length)
    // Workers begin at different turns, so that together they do not all choose the heaviest first.
    if (first) for (let i = Math.floor(this.#random() * endpoints.length); i > 0; i--) this.#turn(null)
  }

  pick(tried: readonly Endpoint[] | null): Endpoint | undefined {
    const chosen = this.#turn(tried)
    return chosen === -1 ? undefined : this.#endpoints[chosen]
  }

  #turn(tried: readonly Endpoint[] | null): number {
    const endpoints = this.#endpoints
    const count = endpoints.length
    const weights = this.#weights
    let best = NONE
    let total = 0
    for (let i = 0; i < count; i++) {
      const endpoint = endpoints[i]!
      const rank = classOf(endpoint, this.#gauge, tried)
      if (rank > best || rank === NONE) {
        weights[i] = 0
        continue
      }
      if (rank < best) {
        // Those before it are of a worse class.
        best = rank
        total = 0
        weights.fill(0, 0, i)
      }
      weights[i] = endpoint.weight
      total += endpoint.weight
    }
    return this.#rotation.turn(weights, total)
  }
}
