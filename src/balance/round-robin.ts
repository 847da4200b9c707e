import type { Random } from '../lib/clock.ts'
import type { Balancer } from './balancer.ts'
import type { Endpoint, EndpointGauge } from './endpoint.ts'
import { classOf, FRESH, NONE } from './preference.ts'

/**
 * One after the other, weights ignored. Workers begin at different places, so that together they do not all hit the
 * first one.
 */
export class RoundRobin implements Balancer {
  readonly #gauge: EndpointGauge
  readonly #random: Random
  #endpoints: readonly Endpoint[] = []
  /** Index of the endpoint whose turn it is. */
  #turn = 0

  constructor(gauge: EndpointGauge, random: Random) {
    this.#gauge = gauge
    this.#random = random
  }

  update(endpoints: readonly Endpoint[]): void {
    this.#turn = this.#endpoints.length === 0 ? Math.floor(this.#random() * endpoints.length) : this.#turnIn(endpoints)
    this.#endpoints = [...endpoints]
  }

  /** Where the rotation goes on in another list: at the next one in turn that is still there. */
  #turnIn(endpoints: readonly Endpoint[]): number {
    const places = new Map(endpoints.map((endpoint, i) => [endpoint, i]))
    for (let i = 0; i < this.#endpoints.length; i++) {
      const place = places.get(this.#endpoints[(this.#turn + i) % this.#endpoints.length]!)
      if (place !== undefined) return place
    }
    return 0
  }

  pick(tried: readonly Endpoint[] | null): Endpoint | undefined {
    const endpoints = this.#endpoints
    const count = endpoints.length
    let best = NONE
    let chosen = -1
    for (let i = 0, at = this.#turn; i < count; i++, at = at + 1 === count ? 0 : at + 1) {
      const rank = classOf(endpoints[at]!, this.#gauge, tried)
      if (rank >= best) continue
      best = rank
      chosen = at
      if (rank === FRESH) break
    }
    if (chosen === -1) return undefined
    this.#turn = chosen + 1 === count ? 0 : chosen + 1
    return endpoints[chosen]
  }
}
