import type { BalancerContext } from './balancer.ts'
import type { Endpoint } from './endpoint.ts'
import { TwoChoices } from './two-choices.ts'

/**
 * Milliseconds. An endpoint of which nothing is known gets one request at a time until one was answered, so that a
 * server that hangs cannot take more (the penalty of Finagle's PeakEwma, which is as good as infinite).
 */
const PENALTY = 1e9

/**
 * Peak EWMA (Finagle 2015, linkerd): of two endpoints the one where a request is expected to take less time: the
 * average latency, which peaks at once and decays slowly, times the requests in flight and this one.
 */
export class PeakEwma extends TwoChoices {
  readonly #context: BalancerContext

  constructor(context: BalancerContext) {
    super(context.gauge, context.random)
    this.#context = context
  }

  protected prefers(second: Endpoint, first: Endpoint): boolean {
    const now = this.#context.now()
    return this.#load(second, now) * first.weight < this.#load(first, now) * second.weight
  }

  #load({ slot }: Endpoint, now: number): number {
    const { gauge } = this.#context
    const cost = gauge.cost(slot, now)
    const inFlight = gauge.inFlight(slot)
    if (cost === 0) return inFlight === 0 ? 0 : PENALTY + inFlight
    return cost * (inFlight + 1)
  }
}
