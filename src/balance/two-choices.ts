import type { Random } from '../lib/clock.ts'
import type { Balancer } from './balancer.ts'
import type { Endpoint, EndpointGauge } from './endpoint.ts'
import { preferenceOf, READY, UNAVAILABLE } from './preference.ts'
import { WeightedDraw } from './weighted-draw.ts'

/** Draws in search of two ready endpoints before all are scanned: of a half-dead Backend one pick in 65,536 scans. */
const DRAWS = 16

/**
 * Power of two choices (Mitzenmacher 2001, "The power of two choices in randomized load balancing"): of two endpoints
 * drawn in proportion to their weights, the one that is less loaded. Nearly as even as comparing all, at constant cost,
 * and without all workers and replicas choosing the same least loaded endpoint.
 */
export abstract class TwoChoices implements Balancer {
  readonly #gauge: EndpointGauge
  readonly #random: Random
  readonly #draw: WeightedDraw
  #endpoints: readonly Endpoint[] = []

  constructor(gauge: EndpointGauge, random: Random) {
    this.#gauge = gauge
    this.#random = random
    this.#draw = new WeightedDraw(random)
  }

  /** Whether the second is really less loaded, in relation to the weights; of equals the first is taken. */
  protected abstract prefers(second: Endpoint, first: Endpoint): boolean

  update(endpoints: readonly Endpoint[]): void {
    this.#endpoints = [...endpoints]
    this.#draw.update(endpoints)
  }

  pick(_key: number, tried: readonly Endpoint[] | null): Endpoint | undefined {
    const endpoints = this.#endpoints
    const count = endpoints.length
    if (count < 2) return this.#pickFromAll(tried)
    let first: Endpoint | undefined
    for (let draws = 0; draws < DRAWS; draws++) {
      const index = this.#draw.draw()
      let endpoint = endpoints[index]!
      // Two that are distinct, however heavy one of them is. The first alone decides among equals, so that the picks
      // of an idle Backend follow the weights exactly.
      if (endpoint === first) endpoint = endpoints[(index + 1 + Math.floor(this.#random() * (count - 1))) % count]!
      if (preferenceOf(endpoint, this.#gauge, tried) !== READY) continue
      if (first !== undefined) return this.prefers(endpoint, first) ? endpoint : first
      first = endpoint
    }
    return first ?? this.#pickFromAll(tried)
  }

  /** Draws two endpoints of the best class in one pass (reservoir sampling), for sets in which few are of it. */
  #pickFromAll(tried: readonly Endpoint[] | null): Endpoint | undefined {
    let best = UNAVAILABLE
    let seen = 0
    let first: Endpoint | undefined
    let second: Endpoint | undefined
    for (const endpoint of this.#endpoints) {
      const preference = preferenceOf(endpoint, this.#gauge, tried)
      if (preference > best || preference === UNAVAILABLE) continue
      if (preference < best) {
        best = preference
        seen = 0
        first = second = undefined
      }
      seen++
      if (seen === 1) first = endpoint
      else if (seen === 2) second = endpoint
      else {
        const index = Math.floor(this.#random() * seen)
        if (index === 0) first = endpoint
        else if (index === 1) second = endpoint
      }
    }
    if (first === undefined || second === undefined) return first
    // They were not drawn by weight, so it decides among equals.
    if (this.#random() * (first.weight + second.weight) >= first.weight) [first, second] = [second, first]
    return this.prefers(second, first) ? second : first
  }
}
