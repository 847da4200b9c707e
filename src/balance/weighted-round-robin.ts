import type { Random } from '../lib/clock.ts'
import { originsOf } from '../lib/origins.ts'
import type { Balancer } from './balancer.ts'
import { DeadlineRotation } from './deadline-rotation.ts'
import type { Endpoint, EndpointGauge } from './endpoint.ts'
import { preferenceOf, READY, UNAVAILABLE } from './preference.ts'
import { SmoothRotation } from './smooth-rotation.ts'

/** With more endpoints a scan of all costs more than a heap. */
const MOST_SCANNED = 8
/** Turns that pass endpoints that are not ready, before all are scanned. */
const MOST_PASSED = 64

/**
 * Exact shares by weight, smooth. The rotation continues across changes of endpoints and weights. Of few endpoints each
 * pick scans all; many take their turns by deadlines, and are scanned where hardly any is ready.
 */
export class WeightedRoundRobin implements Balancer {
  readonly #gauge: EndpointGauge
  readonly #random: Random
  #endpoints: readonly Endpoint[] = []
  readonly #rotation = new SmoothRotation(0)
  /** Weights of the endpoints eligible in this turn; reused, so that a pick allocates nothing. */
  #weights = new Float64Array(0)
  /** Null while the endpoints are few. */
  #deadlines: DeadlineRotation | null = null

  constructor(gauge: EndpointGauge, random: Random) {
    this.#gauge = gauge
    this.#random = random
  }

  update(endpoints: readonly Endpoint[]): void {
    const first = this.#endpoints.length === 0
    this.#deadlines = endpoints.length > MOST_SCANNED ? (this.#deadlines ?? new DeadlineRotation()) : null
    this.#deadlines?.update(endpoints, this.#random)
    this.#rotation.revise(originsOf(this.#endpoints, endpoints))
    this.#endpoints = [...endpoints]
    this.#weights = new Float64Array(endpoints.length)
    // Workers begin at random turns, so that they do not all choose the heaviest endpoint first.
    if (first && this.#deadlines === null)
      for (let i = Math.floor(this.#random() * endpoints.length); i > 0; i--) this.#turn(null)
  }

  pick(_key: number, tried: readonly Endpoint[] | null): Endpoint | undefined {
    if (this.#deadlines !== null)
      for (let passed = 0; passed < MOST_PASSED; passed++) {
        const endpoint = this.#deadlines.turn()
        if (preferenceOf(endpoint, this.#gauge, tried) === READY) return endpoint
      }
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
