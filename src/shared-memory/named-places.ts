/**
 * Requests in flight by name, exact over all workers: what Routes and rules may have at a time. A name keeps its row as
 * long as the process runs, since workers enter names themselves and none may remove one that another is about to use.
 */
import { IdentityTable, identityDigest } from './identity-table.ts'
import { Ledger } from './ledger.ts'

export interface PlaceBuffers {
  readonly names: SharedArrayBuffer
  readonly counts: SharedArrayBuffer
}

/** Names, seven eighths of them: Routes and rules with a limit of their own, those of earlier edits included. */
const SLOTS = 16_384

export class NamedPlaces {
  readonly #names: IdentityTable
  readonly #counts: Ledger

  /** @param buffers made by {@link NamedPlaces.allocate} for the same number of workers */
  constructor({ names, counts }: PlaceBuffers, workers: number) {
    this.#names = new IdentityTable(names)
    this.#counts = new Ledger(counts, workers)
  }

  static allocate(workers: number, slots = SLOTS): PlaceBuffers {
    return { names: IdentityTable.allocate(slots), counts: Ledger.allocate(workers, slots) }
  }

  get workers(): number {
    return this.#counts.workers
  }

  /** The row of a name, -1 where no row is left. */
  row(name: string): number {
    return this.#names.insert(identityDigest(name))
  }

  /** @returns false: as many are in flight as may be */
  take(worker: number, row: number, limit: number): boolean {
    return this.#counts.reserve(worker, row, limit)
  }

  give(worker: number, row: number): void {
    this.#counts.giveBack(worker, row)
  }

  inFlight(row: number): number {
    return this.#counts.sum(row)
  }

  /** Of a worker that has exited. */
  clearWorker(worker: number): void {
    this.#counts.clearRow(worker)
  }
}
