import type { Random } from '../lib/clock.ts'
import type { Balancer } from './balancer.ts'
import type { Endpoint, EndpointGauge } from './endpoint.ts'
import { classOf, FRESH, NONE } from './preference.ts'

/** How often two are drawn before all are looked at: enough while half of the endpoints are fresh. */
const DRAWS = 3

/**
 * Power of two choices (Mitzenmacher 2001): of two drawn at random, the one with fewer requests in flight for its
 * weight. Nearly as even as comparing all, at a constant price, and without the herd that runs to a single least loaded
 * one.
 */
export class LeastRequest implements Balancer {
  readonly #gauge: EndpointGauge
  readonly #random: Random
  #endpoints: readonly Endpoint[] = []

  constructor(gauge: EndpointGauge, random: Random) {
    this.#gauge = gauge
    this.#random = random
  }

  update(endpoints: readonly Endpoint[]): void {
    this.#endpoints = [...endpoints]
  }

  pick(tried: readonly Endpoint[] | null): Endpoint | undefined {
    const endpoints = this.#endpoints
    const count = endpoints.length
    if (count < 2) return this.#pickFromAll(tried)
    for (let draw = 0; draw < DRAWS; draw++) {
      const i = Math.floor(this.#random() * count)
      let j = Math.floor(this.#random() * (count - 1))
      if (j >= i) j++
      const one = endpoints[i]!
      const other = endpoints[j]!
      if (classOf(one, this.#gauge, tried) !== FRESH || classOf(other, this.#gauge, tried) !== FRESH) continue
      return this.#lighter(one, other)
    }
    return this.#pickFromAll(tried)
  }

  /** Draws two of the best class in one walk (reservoir sampling), for when few are of it. */
  #pickFromAll(tried: readonly Endpoint[] | null): Endpoint | undefined {
    let best = NONE
    let seen = 0
    let one: Endpoint | undefined
    let other: Endpoint | undefined
    for (const endpoint of this.#endpoints) {
      const rank = classOf(endpoint, this.#gauge, tried)
      if (rank > best || rank === NONE) continue
      if (rank < best) {
        best = rank
        seen = 0
        one = other = undefined
      }
      seen++
      if (seen === 1) one = endpoint
      else if (seen === 2) other = endpoint
      else {
        const place = Math.floor(this.#random() * seen)
        if (place === 0) one = endpoint
        else if (place === 1) other = endpoint
      }
    }
    return one === undefined || other === undefined ? one : this.#lighter(one, other)
  }

  /**
   * Compares by cross-multiplying. An even match goes by chance in proportion to the weights, so that an idle Backend
   * is shared by weight too.
   */
  #lighter(one: Endpoint, other: Endpoint): Endpoint {
    const difference = this.#gauge.inFlight(one.slot) * other.weight - this.#gauge.inFlight(other.slot) * one.weight
    if (difference !== 0) return difference < 0 ? one : other
    return this.#random() * (one.weight + other.weight) < one.weight ? one : other
  }
}
