/** How many requests may be in flight by name, exact over all workers. */
import type { NamedPlaces } from '../shared-memory/named-places.ts'

/** Places of one name. */
export interface Place {
  /** @returns false: as many are taken as may be */
  take(limit: number): boolean
  /** Exactly once for each that was taken. */
  give(): void
}

export interface Places {
  /** The same name goes on with what is taken. */
  open(name: string): Place
}

export class WorkerPlaces implements Places {
  readonly #worker: number
  readonly #places: NamedPlaces

  constructor(worker: number, places: NamedPlaces) {
    this.#worker = worker
    this.#places = places
  }

  open(name: string): Place {
    const places = this.#places
    const worker = this.#worker
    const row = places.row(name)
    if (row < 0) return new PlacesOfWorker(places.workers)
    return { take: (limit) => places.take(worker, row, limit), give: () => places.give(worker, row) }
  }
}

/** Where no row is left: each worker has its part. */
class PlacesOfWorker implements Place {
  readonly #workers: number
  #taken = 0

  constructor(workers: number) {
    this.#workers = workers
  }

  take(limit: number): boolean {
    if (this.#taken >= Math.max(1, Math.floor(limit / this.#workers))) return false
    this.#taken++
    return true
  }

  give(): void {
    this.#taken--
  }
}
