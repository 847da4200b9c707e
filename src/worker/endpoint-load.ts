/** Counts the attempts in flight on each endpoint, over all workers: what least-request balancers read. */
import type { Endpoint } from '../balance/endpoint.ts'
import type { AttemptObserver, AttemptOutcome } from '../exchange/attempt-observer.ts'
import type { LinkedBackend } from '../link/linked-tables.ts'
import type { EndpointTable } from '../shared-memory/endpoint-table.ts'

export class EndpointLoad implements AttemptObserver {
  readonly #worker: number
  readonly #endpoints: EndpointTable
  readonly #next: AttemptObserver | null

  /** @param next receives the same calls */
  constructor(worker: number, endpoints: EndpointTable, next: AttemptObserver | null) {
    this.#worker = worker
    this.#endpoints = endpoints
    this.#next = next
  }

  attemptStarted(backend: LinkedBackend, endpoint: Endpoint): void {
    this.#endpoints.acquire(this.#worker, endpoint.slot)
    this.#next?.attemptStarted(backend, endpoint)
  }

  attemptEnded(outcome: Readonly<AttemptOutcome>): void {
    this.#endpoints.release(this.#worker, outcome.endpoint.slot)
    this.#next?.attemptEnded(outcome)
  }
}
