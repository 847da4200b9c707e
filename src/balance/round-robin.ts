import type { Random } from '../lib/clock.ts'
import { destinationsOf, originsOf } from '../lib/origins.ts'
import type { Balancer } from './balancer.ts'
import type { Endpoint, EndpointGauge } from './endpoint.ts'
import { preferenceOf, READY, UNAVAILABLE } from './preference.ts'

/**
 * Picks in order and ignores weights. Workers begin at random positions, so that they do not all pick the first
 * endpoint first.
 */
export class RoundRobin implements Balancer {
  readonly #gauge: EndpointGauge
  readonly #random: Random
  #endpoints: readonly Endpoint[] = []
  /** Index of the next endpoint. */
  #next = 0

  constructor(gauge: EndpointGauge, random: Random) {
    this.#gauge = gauge
    this.#random = random
  }

  update(endpoints: readonly Endpoint[]): void {
    this.#next = this.#endpoints.length === 0 ? Math.floor(this.#random() * endpoints.length) : this.#nextIn(endpoints)
    this.#endpoints = [...endpoints]
  }

  /** Where the rotation continues in a new list: at the next endpoint in order that is still present. */
  #nextIn(endpoints: readonly Endpoint[]): number {
    const count = this.#endpoints.length
    const indexes = destinationsOf(originsOf(this.#endpoints, endpoints), count)
    for (let i = 0; i < count; i++) {
      const index = indexes[(this.#next + i) % count]!
      if (index !== -1) return index
    }
    return 0
  }

  pick(_key: number, tried: readonly Endpoint[] | null): Endpoint | undefined {
    const endpoints = this.#endpoints
    const count = endpoints.length
    let best = UNAVAILABLE
    let chosen = -1
    for (let i = 0, at = this.#next; i < count; i++, at = at + 1 === count ? 0 : at + 1) {
      const preference = preferenceOf(endpoints[at]!, this.#gauge, tried)
      if (preference >= best) continue
      best = preference
      chosen = at
      if (preference === READY) break
    }
    if (chosen === -1) return undefined
    this.#next = chosen + 1 === count ? 0 : chosen + 1
    return endpoints[chosen]
  }
}
