/**
 * What requests say about each endpoint, over all workers: failures in a row, how often it was ejected lately, and
 * why the last time. Cells are single words, so a thread that ends at any point leaves no half of a value; a count
 * that it did not finish is off by one.
 *
 * Besides, a bit for each slot of which a worker has changed the state: control looks at those alone.
 */

/** Cells of a slot. */
const IN_A_ROW = 0
const EJECTIONS = 1
const CAUSE = 2
/** Requests that say something about the endpoint, and those of them that failed, since they were last taken. */
const REQUESTS = 3
const FAULTS = 4
const CELLS = 5

/** After so many ejections in a row the period grows no more. */
export const MAX_EJECTIONS = 1_000

/** Bits of a word. */
const BITS = 32

export class EndpointFaults {
  readonly #cells: Int32Array<SharedArrayBuffer>
  /** Changes of state that control has not looked at, a bit for each slot. */
  readonly #marks: Int32Array<SharedArrayBuffer>
  /** Whether there is one: of one word. */
  readonly #anyMark: Int32Array<SharedArrayBuffer>

  constructor(buffer: SharedArrayBuffer) {
    const words = buffer.byteLength / Int32Array.BYTES_PER_ELEMENT - 1
    const slots = Math.floor((words * BITS) / (CELLS * BITS + 1))
    const part = (first: number, length: number) => new Int32Array(buffer, first * Int32Array.BYTES_PER_ELEMENT, length)
    this.#cells = part(0, slots * CELLS)
    this.#marks = part(slots * CELLS, words - slots * CELLS)
    this.#anyMark = part(words, 1)
  }

  static allocate(slots: number): SharedArrayBuffer {
    return new SharedArrayBuffer((slots * CELLS + Math.ceil(slots / BITS) + 1) * Int32Array.BYTES_PER_ELEMENT)
  }

  /** Counts one failure. @returns failures in a row, this one included */
  failed(slot: number): number {
    return Atomics.add(this.#cells, slot * CELLS + IN_A_ROW, 1) + 1
  }

  /** A request went well. A plain load where nothing had failed, which is nearly always. @returns failures before */
  succeeded(slot: number): number {
    const at = slot * CELLS + IN_A_ROW
    const before = this.#cells[at]!
    if (before !== 0) Atomics.store(this.#cells, at, 0)
    return before
  }

  /** Counts on from so many failures in a row. */
  countFrom(slot: number, inARow: number): void {
    Atomics.store(this.#cells, slot * CELLS + IN_A_ROW, inARow)
  }

  /** Counts a request for the success rate. */
  count(slot: number, failed: boolean): void {
    const at = slot * CELLS
    Atomics.add(this.#cells, at + REQUESTS, 1)
    if (failed) Atomics.add(this.#cells, at + FAULTS, 1)
  }

  /** Requests that were counted since {@link takeCounts}. A plain load, which may be late. */
  requests(slot: number): number {
    return this.#cells[slot * CELLS + REQUESTS]!
  }

  /** Those of them that failed. */
  failedRequests(slot: number): number {
    return this.#cells[slot * CELLS + FAULTS]!
  }

  /** Both begin anew. Control only; what a worker counts meanwhile may be lost. */
  takeCounts(slot: number): void {
    Atomics.store(this.#cells, slot * CELLS + REQUESTS, 0)
    Atomics.store(this.#cells, slot * CELLS + FAULTS, 0)
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

  /** The state of an endpoint has changed, which control is to look at. Behind the change itself. */
  mark(slot: number): void {
    Atomics.or(this.#marks, slot >>> 5, 1 << (slot & 31))
    Atomics.store(this.#anyMark, 0, 1)
  }

  /** The slots that were marked since the last call; one load where there are none. Control only. */
  *takeMarked(): Generator<number, void> {
    if (Atomics.load(this.#anyMark, 0) === 0) return
    // Taken back first: what is marked from here on is found now or the next time.
    Atomics.store(this.#anyMark, 0, 0)
    for (let word = 0; word < this.#marks.length; word++) {
      if (this.#marks[word] === 0) continue
      for (let bits = Atomics.exchange(this.#marks, word, 0); bits !== 0; bits &= bits - 1)
        yield word * BITS + (31 - Math.clz32(bits & -bits))
    }
  }
}
