/** Lost races after which a reservation is refused although there may have been a unit. */
const RACES = 8

/**
 * Counts that stay correct when threads are terminated at any point: one row per worker, written by that worker only
 * and summed by readers. The supervisor zeroes a dead worker's row, and with it every count that the worker will not
 * decrement any more. A shared counter could not be corrected this way.
 */
export class Ledger {
  readonly workers: number
  readonly slots: number
  readonly #cells: Int32Array<SharedArrayBuffer>

  constructor(buffer: SharedArrayBuffer, workers: number) {
    this.#cells = new Int32Array(buffer)
    this.workers = workers
    this.slots = this.#cells.length / workers
    if (!Number.isInteger(this.slots)) throw new TypeError(`the buffer was not allocated for ${workers} workers`)
  }

  static allocate(workers: number, slots: number): SharedArrayBuffer {
    return new SharedArrayBuffer(workers * slots * Int32Array.BYTES_PER_ELEMENT)
  }

  /**
   * Adds to the worker's own row by a plain store (0.8 ns): there is one writer, and aligned 32 bits are never torn.
   */
  add(worker: number, slot: number, delta: number): void {
    const at = worker * this.slots + slot
    this.#cells[at] = this.#cells[at]! + delta
  }

  /**
   * Adds one if the sum over all workers stays within the limit, which is never exceeded. It increments first, then
   * sums, and decrements when the sum exceeds the limit. The order needs Atomics: a plain store may still be in the
   * store buffer while the other rows are read.
   *
   * Who is refused for certain does not increment, so a flood of refusals in one worker takes nothing from another; of
   * two workers that race for the last unit each may see the other, so they try again.
   *
   * @param limit 0 means unlimited
   */
  reserve(worker: number, slot: number, limit: number): boolean {
    if (limit === 0) {
      this.add(worker, slot, 1)
      return true
    }
    const at = worker * this.slots + slot
    for (let tries = 0; tries < RACES && this.sum(slot) < limit; tries++) {
      Atomics.add(this.#cells, at, 1)
      let sum = 0
      for (let i = slot; i < this.#cells.length; i += this.slots) sum += Atomics.load(this.#cells, i)
      if (sum <= limit) return true
      Atomics.sub(this.#cells, at, 1)
    }
    return false
  }

  /**
   * Gives one back, with an order that other memory can rely on: who reads afterwards what somebody else has stored
   * before looking at this count, does not miss both.
   */
  giveBack(worker: number, slot: number): void {
    Atomics.sub(this.#cells, worker * this.slots + slot, 1)
  }

  /** A value that is no count, of the worker's own row. */
  set(worker: number, slot: number, value: number): void {
    Atomics.store(this.#cells, worker * this.slots + slot, value)
  }

  /** The sum over all workers at this moment. */
  sum(slot: number): number {
    let sum = 0
    for (let i = slot; i < this.#cells.length; i += this.slots) sum += this.#cells[i]!
    return sum
  }

  /** The count of one worker. */
  own(worker: number, slot: number): number {
    return this.#cells[worker * this.slots + slot]!
  }

  /** Zeroes the counts of a worker that has exited. */
  clearRow(worker: number): void {
    this.#cells.fill(0, worker * this.slots, (worker + 1) * this.slots)
  }
}
