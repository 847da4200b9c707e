/**
 * What the retry budgets of Backends are computed from, counted by all workers together: requests, retries and hedges
 * of the last ten seconds.
 *
 * A cell counts one second, and the cells are used in turn. It is one word, which holds the count and the turn that the
 * count belongs to, so that a compare-and-swap begins a new second: no thread empties a cell while another adds to it,
 * and one that dies leaves nothing behind that must be repaired. Counts are of what has happened, so those of a dead
 * worker stay right.
 *
 * Turns come round, so a cell does not say whether it is ahead of a thread or was not used for hours. The last word of
 * the table does: it is the latest second that any thread has counted in.
 */
export const WINDOW_SECONDS = 10

/** Kinds of counts. */
export const REQUESTS = 0
export const RETRIES = 1
/** They are among the retries, too. */
export const HEDGES = 2
const KINDS = 3

const CELLS = KINDS * WINDOW_SECONDS
/** A second with a million requests of one Backend counts as one with 1,048,575. */
const COUNT_BITS = 20
const MOST = 2 ** COUNT_BITS - 1
/** Turns come round after eleven hours: a cell of then could be taken for one of now, until it is used. */
const TURN_MASK = 2 ** (32 - COUNT_BITS) - 1

export class RetryCounts {
  readonly #cells: Int32Array<SharedArrayBuffer>
  /** The place of the latest second. */
  readonly #latest: number

  constructor(buffer: SharedArrayBuffer) {
    this.#cells = new Int32Array(buffer)
    this.#latest = this.#cells.length - 1
  }

  static allocate(slots: number): SharedArrayBuffer {
    return new SharedArrayBuffer((slots * CELLS + 1) * Int32Array.BYTES_PER_ELEMENT)
  }

  /**
   * @param second of a monotonic clock that all threads share
   * @param by may be negative, for what was added in the same second
   */
  add(slot: number, kind: number, second: number, by: number): void {
    const at = slot * CELLS + kind * WINDOW_SECONDS + (second % WINDOW_SECONDS)
    const turn = turnOf(second)
    // A thread that was held up comes with a second that has passed: its cell is another's.
    if (this.#reach(second) - second >= WINDOW_SECONDS) return
    for (;;) {
      const word = Atomics.load(this.#cells, at)
      const count = Math.min(Math.max((word >>> COUNT_BITS === turn ? word & MOST : 0) + by, 0), MOST)
      if (Atomics.compareExchange(this.#cells, at, word, (turn << COUNT_BITS) | count) === word) return
    }
  }

  /** The last ten seconds, the one that is under way included. */
  sum(slot: number, kind: number, second: number): number {
    const at = slot * CELLS + kind * WINDOW_SECONDS
    let sum = 0
    for (let passed = 0; passed < WINDOW_SECONDS; passed++) {
      const then = second - passed
      if (then < 0) break
      const word = Atomics.load(this.#cells, at + (then % WINDOW_SECONDS))
      if (word >>> COUNT_BITS === turnOf(then)) sum += word & MOST
    }
    return sum
  }

  /** @returns the latest second, which is this one or a later one */
  #reach(second: number): number {
    for (;;) {
      const latest = Atomics.load(this.#cells, this.#latest) >>> 0
      if (latest >= second) return latest
      if (Atomics.compareExchange(this.#cells, this.#latest, latest, second) >>> 0 === latest) return second
    }
  }

  /** The slot belongs to another Backend from now on. */
  clear(slot: number): void {
    for (let i = 0; i < CELLS; i++) Atomics.store(this.#cells, slot * CELLS + i, 0)
  }
}

function turnOf(second: number): number {
  return Math.floor(second / WINDOW_SECONDS) & TURN_MASK
}
