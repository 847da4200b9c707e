import type { Random } from '../lib/clock.ts'
import type { Endpoint, EndpointGauge } from './endpoint.ts'
import { TwoChoices } from './two-choices.ts'

/** Of two endpoints the one with fewer requests in flight relative to its weight, over all workers of the replica. */
export class LeastRequest extends TwoChoices {
  readonly #gauge: EndpointGauge

  constructor(gauge: EndpointGauge, random: Random) {
    super(gauge, random)
    this.#gauge = gauge
  }

  /** By cross-multiplication. */
  protected prefers(second: Endpoint, first: Endpoint): boolean {
    return this.#gauge.inFlight(second.slot) * first.weight < this.#gauge.inFlight(first.slot) * second.weight
  }
}
