import type { Random } from '../lib/clock.ts'
import type { Balancer } from './balancer.ts'
import type { Endpoint, EndpointGauge } from './endpoint.ts'
import { preferenceOf, READY, UNAVAILABLE } from './preference.ts'

/** Draws of two endpoints before all are scanned: enough while half of the endpoints are ready. */
const DRAWS = 3

/**
 * Power of two choices (Mitzenmacher 2001): of two endpoints drawn at random, the one with fewer requests in flight
 * relative to its weight. Nearly as even as comparing all, at constant cost, and without all workers choosing the same
 * least loaded endpoint.
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

  pick(_key: string | undefined, tried: readonly Endpoint[] | null): Endpoint | undefined {
    const endpoints = this.#endpoints
    const count = endpoints.length
    if (count < 2) return this.#pickFromAll(tried)
    for (let draw = 0; draw < DRAWS; draw++) {
      const i = Math.floor(this.#random() * count)
      let j = Math.floor(this.#random() * (count - 1))
      if (j >= i) j++
      const one = endpoints[i]!
      const other = endpoints[j]!
      if (preferenceOf(one, this.#gauge, tried) !== READY || preferenceOf(other, this.#gauge, tried) !== READY) continue
      return this.#lighter(one, other)
    }
    return this.#pickFromAll(tried)
  }

  /** Draws two endpoints of the best class in one pass (reservoir sampling), for sets in which few are of it. */
  #pickFromAll(tried: readonly Endpoint[] | null): Endpoint | undefined {
    let best = UNAVAILABLE
    let seen = 0
    let one: Endpoint | undefined
    let other: Endpoint | undefined
    for (const endpoint of this.#endpoints) {
      const preference = preferenceOf(endpoint, this.#gauge, tried)
      if (preference > best || preference === UNAVAILABLE) continue
      if (preference < best) {
        best = preference
        seen = 0
        one = other = undefined
      }
      seen++
      if (seen === 1) one = endpoint
      else if (seen === 2) other = endpoint
      else {
        const index = Math.floor(this.#random() * seen)
        if (index === 0) one = endpoint
        else if (index === 1) other = endpoint
      }
    }
    return one === undefined || other === undefined ? one : this.#lighter(one, other)
  }

  /**
   * Compares by cross-multiplication. A tie is decided at random in proportion to the weights, so that the picks of an
   * idle Backend follow the weights too.
   */
  #lighter(one: Endpoint, other: Endpoint): Endpoint {
    const difference = this.#gauge.inFlight(one.slot) * other.weight - this.#gauge.inFlight(other.slot) * one.weight
    if (difference !== 0) return difference < 0 ? one : other
    return this.#random() * (one.weight + other.weight) < one.weight ? one : other
  }
}
