import type { Random } from '../lib/clock.ts'
import type { Balancer } from './balancer.ts'
import type { Endpoint, EndpointGauge } from './endpoint.ts'
import { preferenceOf, UNAVAILABLE } from './preference.ts'
import { SmoothRotation } from './smooth-rotation.ts'

/**
 * Exact shares by weight, smooth. The rotation continues across changes of endpoints and weights.
 * A pick scans every endpoint, which is the cost of exactness.
 */
export class WeightedRoundRobin implements Balancer {
  readonly #gauge: EndpointGauge
  readonly #random: Random
  #endpoints: readonly Endpoint[] = []
  readonly #rotation = new SmoothRotation(0)
  /** Weights of the endpoints eligible in this turn; reused, so that a pick allocates nothing. */
  #weights = new Float64Array(0)

  constructor(gauge: EndpointGauge, random: Random) {
    this.#gauge = gauge
    this.#random = random
  }

  update(endpoints: readonly Endpoint[]): void {
    const indexes = new Map(this.#endpoints.map((endpoint, i) => [endpoint, i]))
    const first = this.#endpoints.length === 0
    this.#rotation.revise(endpoints.map((endpoint) => indexes.get(endpoint) ?? -1))
    this.#endpoints = [...endpoints]
    this.#weights = new Float64Array(endpoints.length)
    // Workers begin at random turns, so that they do not all choose the heaviest endpoint first.
    if (first) for (let i = Math.floor(this.#random() * endpoints.length); i > 0; i--) this.#turn(null)
  }

  pick(_key: number, tried: readonly Endpoint[] | null): Endpoint | undefined {
    const chosen = this.#turn(tried)
    return chosen === -1 ? undefined : this.#endpoints[chosen]
  }

  #turn(tried: readonly Endpoint[] | null): number {
    const endpoints = this.#endpoints
    const count = endpoints.length
    const weights = this.#weights
    let best = UNAVAILABLE
    let total = 0
    for (let i = 0; i < count; i++) {
      const endpoint = endpoints[i]!
      const preference = preferenceOf(endpoint, this.#gauge, tried)
      if (preference > best || preference === UNAVAILABLE) {
        weights[i] = 0
        continue
      }
      if (preference < best) {
        // All earlier endpoints are of a worse class.
        best = preference
        total = 0
        weights.fill(0, 0, i)
      }
      weights[i] = endpoint.weight
      total += endpoint.weight
    }
    return this.#rotation.turn(weights, total)
  }
}
