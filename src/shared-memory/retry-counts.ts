/**
 * What the retry budgets of Backends are computed from, counted by all workers together: requests, retries and hedges
 * of the last ten seconds.
 *
 * A cell counts one second, and the cells are used in turn. It is one word, which holds the count and the turn that the
 * count belongs to, so that a compare-and-swap begins a new second: no thread empties a cell while another adds to it,
 * and one that dies leaves nothing behind that must be repaired. Counts are of what has happened, so those of a dead
 * worker stay right.
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
/** Turns begin anew after eleven hours: a cell of then could be taken for one of now, until it is used. */
const TURN_MASK = 2 ** (32 - COUNT_BITS) - 1
/** Turns by which a thread may be late. */
const LATE = 64

export class RetryCounts {
  readonly #cells: Int32Array<SharedArrayBuffer>

  constructor(buffer: SharedArrayBuffer) {
    this.#cells = new Int32Array(buffer)
  }

  static allocate(slots: number): SharedArrayBuffer {
    return new SharedArrayBuffer(slots * CELLS * Int32Array.BYTES_PER_ELEMENT)
  }

  /**
   * @param second of a clock that all threads share
   * @param by may be negative, for what was added in the same second
   */
  add(slot: number, kind: number, second: number, by: number): void {
    const at = slot * CELLS + kind * WINDOW_SECONDS + (second % WINDOW_SECONDS)
    const turn = turnOf(second)
    for (;;) {
      const word = Atomics.load(this.#cells, at)
      const behind = (turn - (word >>> COUNT_BITS)) & TURN_MASK
      // A thread that was held up comes with a second that has passed: its cell is another's.
      if (behind > TURN_MASK - LATE) return
      const count = Math.min(Math.max((behind === 0 ? word & MOST : 0) + by, 0), MOST)
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

  /** The slot belongs to another Backend from now on. */
  clear(slot: number): void {
    for (let i = 0; i < CELLS; i++) Atomics.store(this.#cells, slot * CELLS + i, 0)
  }
}

function turnOf(second: number): number {
  return Math.floor(second / WINDOW_SECONDS) & TURN_MASK
}
