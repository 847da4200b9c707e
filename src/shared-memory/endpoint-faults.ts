/**
 * What requests say about each endpoint, over all workers: failures in a row, how often it was ejected lately, and
 * why the last time. Cells are single words, so a thread that ends at any point leaves no half of a value; a count
 * that it did not finish is off by one.
 */

/** Cells of a slot. */
const IN_A_ROW = 0
const EJECTIONS = 1
const CAUSE = 2
const CELLS = 4

/** After so many ejections in a row the period grows no more. */
export const MAX_EJECTIONS = 1_000

export class EndpointFaults {
  readonly #cells: Int32Array<SharedArrayBuffer>
  readonly #changes: number

  constructor(buffer: SharedArrayBuffer) {
    this.#cells = new Int32Array(buffer)
    this.#changes = this.#cells.length - 1
  }

  static allocate(slots: number): SharedArrayBuffer {
    return new SharedArrayBuffer((slots * CELLS + 1) * Int32Array.BYTES_PER_ELEMENT)
  }

  /** Counts one failure. @returns failures in a row, this one included */
  failed(slot: number): number {
    return Atomics.add(this.#cells, slot * CELLS + IN_A_ROW, 1) + 1
  }

  /** A request went well. A plain load where nothing had failed, which is nearly always. */
  succeeded(slot: number): void {
    const at = slot * CELLS + IN_A_ROW
    if (this.#cells[at] !== 0) Atomics.store(this.#cells, at, 0)
  }

  /** Failures in a row. */
  inARow(slot: number): number {
    return Atomics.load(this.#cells, slot * CELLS + IN_A_ROW)
  }

  /** Ejections in a row; each stays until a time without one has passed. */
  ejections(slot: number): number {
    return Atomics.load(this.#cells, slot * CELLS + EJECTIONS)
  }

  /** What the last failure before the ejection was; see `faultCode` of balance/fault.ts. */
  cause(slot: number): number {
    return Atomics.load(this.#cells, slot * CELLS + CAUSE)
  }

  /** The endpoint is ejected, for the first time or again. */
  ejected(slot: number, cause: number): void {
    const at = slot * CELLS
    Atomics.store(this.#cells, at + CAUSE, cause)
    if (Atomics.add(this.#cells, at + EJECTIONS, 1) >= MAX_EJECTIONS)
      Atomics.store(this.#cells, at + EJECTIONS, MAX_EJECTIONS)
    Atomics.store(this.#cells, at + IN_A_ROW, 0)
  }

  /** It was well for a while. Control only. */
  forgive(slot: number): void {
    const at = slot * CELLS + EJECTIONS
    if (Atomics.sub(this.#cells, at, 1) <= 0) Atomics.store(this.#cells, at, 0)
  }

  clear(slot: number): void {
    for (let cell = 0; cell < CELLS; cell++) Atomics.store(this.#cells, slot * CELLS + cell, 0)
  }

  /** A number that differs after each ejection and each trial that ended; it wraps around. */
  get changes(): number {
    return Atomics.load(this.#cells, this.#changes)
  }

  changed(): void {
    Atomics.add(this.#cells, this.#changes, 1)
  }
}
