/** The requests that a Backend may have in flight (`maxConcurrentRequests`), exact over all workers. */
import type { EndpointTable } from '../shared-memory/endpoint-table.ts'

export class RequestPlaces {
  readonly #slot: number
  readonly #worker: number
  readonly #table: EndpointTable
  readonly #limit: () => number
  /** Of this worker, where no row was left to count in. */
  #taken = 0

  /**
   * @param slot the Backend's own row in the endpoint table; -1: none was left, and each worker has its part
   * @param limit as it is now; 0 = unlimited
   */
  constructor(slot: number, worker: number, table: EndpointTable, limit: () => number) {
    this.#slot = slot
    this.#worker = worker
    this.#table = table
    this.#limit = limit
  }

  /** 0 = unlimited. */
  get limit(): number {
    return this.#limit()
  }

  /** @returns false: as many are in flight as may be */
  take(): boolean {
    return this.#take(this.#limit())
  }

  /** For what must leave half of the places to others. */
  takeOfHalf(): boolean {
    const limit = this.#limit()
    return limit !== 1 && this.#take(Math.floor(limit / 2))
  }

  #take(limit: number): boolean {
    if (this.#slot >= 0) return this.#table.tryAcquire(this.#worker, this.#slot, limit)
    if (limit > 0 && this.#taken >= Math.max(1, Math.floor(limit / this.#table.requests.workers))) return false
    this.#taken++
    return true
  }

  /** Exactly once for each that was taken. */
  give(): void {
    if (this.#slot >= 0) this.#table.release(this.#worker, this.#slot)
    else this.#taken--
  }

  /** In flight now, over all workers; infinite where nobody counts them. */
  get inFlight(): number {
    return this.#slot < 0 ? Number.POSITIVE_INFINITY : this.#table.inFlight(this.#slot)
  }
}
