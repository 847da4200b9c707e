/**
 * Divides the work on large bodies among the turns of the event loop. Each transfer moves a piece of up to 64 KiB at a
 * time, which is short; but a hundred of them in one turn hold up every other request for as long as a hundred pieces
 * take. So there is one queue for all transfers of the thread, and a turn serves as many from its head as the others
 * can bear: a round robin in which each has a piece before any has the next one.
 */

/** Bytes of a piece. */
export const PIECE = 64 * 1024
/** Pieces in a turn where nobody is held up: a turn has a price too, about a tenth of what a piece takes. */
const MANY = 32
/**
 * Turns with one piece each, from a response on that was no transfer: where there is one, there are more. They take
 * about ten milliseconds.
 */
const CAREFUL_TURNS = 256

/** A response with more of a body is a transfer itself: where there are only such, a turn has many pieces. */
export const SHORT = 16 * 1024

type Schedule = (run: () => void) => unknown

export class BulkTurns {
  readonly #schedule: Schedule
  /** Those whose turn it is, from {@link #at} on, and those who came after them. */
  #serving: (() => void)[] = []
  #at = 0
  #joining: (() => void)[] = []
  #scheduled = false
  #careful = 0
  #turn = 0
  readonly #next = (): void => this.#serve()

  /** @param schedule runs a function in the next turn of the event loop */
  constructor(schedule: Schedule) {
    this.#schedule = schedule
  }

  /** Of the loop; it counts only as long as somebody waits. */
  get turn(): number {
    return this.#turn
  }

  /** Runs once, in the turn of whoever waits, and moves one piece. It must not throw. */
  wait(run: () => void): void {
    this.#joining.push(run)
    this.#wake()
  }

  /** A response is complete. @param bytes of its body */
  ended(bytes: number): void {
    if (bytes <= SHORT) this.#careful = CAREFUL_TURNS
  }

  #wake(): void {
    if (this.#scheduled) return
    this.#scheduled = true
    this.#schedule(this.#next)
  }

  #serve(): void {
    this.#turn++
    this.#scheduled = false
    let pieces = MANY
    if (this.#careful > 0) {
      this.#careful--
      pieces = 1
    }
    // Who waits again within its piece has had this turn.
    pieces = Math.min(pieces, this.#serving.length - this.#at + this.#joining.length)
    try {
      while (pieces-- > 0) {
        if (this.#at === this.#serving.length) this.#turnOver()
        this.#serving[this.#at++]!()
      }
    } finally {
      if (this.#at < this.#serving.length || this.#joining.length > 0) this.#wake()
    }
  }

  #turnOver(): void {
    const served = this.#serving
    served.length = 0
    this.#serving = this.#joining
    this.#joining = served
    this.#at = 0
  }
}

/** Of this thread. */
export const bulkTurns: BulkTurns = new BulkTurns(setImmediate)
