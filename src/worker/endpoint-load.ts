/**
 * What balancers read of endpoints, written for every attempt: those in flight over all workers, and what they cost.
 */
import type { Endpoint } from '../balance/endpoint.ts'
import type { AttemptObserver, AttemptOutcome } from '../exchange/attempt-observer.ts'
import type { Milliseconds } from '../lib/clock.ts'
import { REASONS, type Reason } from '../lib/reason.ts'
import type { LinkedBackend } from '../link/linked-tables.ts'
import type { EndpointTable } from '../shared-memory/endpoint-table.ts'

export class EndpointLoad implements AttemptObserver {
  readonly #worker: number
  readonly #endpoints: EndpointTable
  readonly #time: { readonly now: Milliseconds }
  readonly #next: AttemptObserver | null

  /**
   * @param time of the current turn, by a clock that all workers share
   * @param next receives the same calls
   */
  constructor(
    worker: number,
    endpoints: EndpointTable,
    time: { readonly now: Milliseconds },
    next: AttemptObserver | null,
  ) {
    this.#worker = worker
    this.#endpoints = endpoints
    this.#time = time
    this.#next = next
  }

  attemptStarted(backend: LinkedBackend, endpoint: Endpoint): void {
    this.#endpoints.acquire(this.#worker, endpoint.slot)
    this.#next?.attemptStarted(backend, endpoint)
  }

  attemptAnswered(backend: LinkedBackend, endpoint: Endpoint, status: number, took: Milliseconds): void {
    if (learnsLatency(backend)) this.#endpoints.latency.observe(endpoint.slot, took, status >= 500, this.#time.now)
    this.#next?.attemptAnswered?.(backend, endpoint, status, took)
  }

  attemptEnded(outcome: Readonly<AttemptOutcome>): void {
    const { backend, endpoint, failure, headAt, startedAt, endedAt } = outcome
    if (failure !== null && headAt < 0 && !outcome.slowClient && learnsLatency(backend) && blames(failure))
      this.#endpoints.latency.observe(endpoint.slot, endedAt - startedAt, true, this.#time.now)
    else if (failure === null && outcome.unanswered && learnsLatency(backend)) this.#cancelled(outcome)
    this.#endpoints.release(this.#worker, endpoint.slot)
    this.#next?.attemptEnded(outcome)
  }

  /** Another attempt was quicker, so all that is known is that the response would have taken longer than this. */
  #cancelled({ endpoint, startedAt, endedAt }: AttemptOutcome): void {
    const { latency } = this.#endpoints
    const took = endedAt - startedAt
    if (took > latency.latency(endpoint.slot)) latency.observe(endpoint.slot, took, false, this.#time.now)
  }
}

/** A limit of the gateway is no fault of the endpoint. */
function blames(failure: Reason): boolean {
  return REASONS[failure].source === 'upstream' && failure !== 'Overloaded'
}

function learnsLatency({ plan }: LinkedBackend): boolean {
  return plan.algorithm === 'PeakEWMA'
}
