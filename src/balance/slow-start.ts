import type { Milliseconds } from '../lib/clock.ts'
import type { Balancer, BalancerContext } from './balancer.ts'
import type { Endpoint } from './endpoint.ts'
import { preferenceOf, READY } from './preference.ts'

/** Share at the beginning, so that a new endpoint learns anything at all; Envoy's `min_weight_percent`. */
const LEAST_SHARE = 0.1
/** Picks before a new endpoint is taken all the same: where all are new, all share alike. */
const TRIES = 8

/**
 * Lets the share of a new endpoint grow in a straight line, whatever the algorithm: a pick of it counts with the
 * probability that its age has reached, else the algorithm picks again.
 */
export class SlowStart implements Balancer {
  readonly #inner: Balancer
  readonly #context: BalancerContext
  readonly #duration: Milliseconds

  constructor(inner: Balancer, context: BalancerContext, duration: Milliseconds) {
    this.#inner = inner
    this.#context = context
    this.#duration = duration
  }

  update(endpoints: readonly Endpoint[]): void {
    this.#inner.update(endpoints)
  }

  pick(key: number, tried: readonly Endpoint[] | null): Endpoint | undefined {
    const { gauge, random } = this.#context
    const first = this.#inner.pick(key, tried)
    let endpoint = first
    for (let tries = 1; tries < TRIES && endpoint !== undefined; tries++) {
      const age = gauge.age(endpoint.slot, this.#context.now())
      if (age >= this.#duration || random() < Math.max(age / this.#duration, LEAST_SHARE)) return endpoint
      endpoint = this.#inner.pick(key, tried)
    }
    // All that came up is new. The last may have been withdrawn since the first.
    return endpoint !== undefined && preferenceOf(endpoint, gauge, tried) === READY ? endpoint : first
  }
}
