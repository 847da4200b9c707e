/**
 * Divides the reading of clients among the turns of the event loop. A client may send thousands of requests at once,
 * and hundreds may do so at a time: whoever read them all as they come would hold up every other connection, the timers
 * and the heartbeat of the thread, by which it counts as hung.
 *
 * Each connection reads a little in any case, and asks before it reads more. Those that may not wait in a queue, in
 * which each reads a little again in its turn.
 */
import type { Milliseconds, TimerClock } from '../lib/clock.ts'

/**
 * Time for what is read beyond a little in one turn, over all connections: more than a worker at its limit takes for
 * what clients that mean well send at once, since what is read in pieces costs more.
 */
export const TURN: Milliseconds = 20

/** A connection that has bytes and does not read them. Its socket is paused. */
export interface WaitingReader {
  /** Its turn has come: reads a little, and may ask to wait again. */
  readOn(): void
}

export class ReadTurns {
  readonly #clock: Pick<TimerClock, 'monotonic' | 'nextTurn'>
  #queue: WaitingReader[] = []
  /** When the turn under way was first asked about; -1: it was not. */
  #began: Milliseconds = -1

  constructor(clock: Pick<TimerClock, 'monotonic' | 'nextTurn'>) {
    this.#clock = clock
  }

  /** Whoever asks has read a little. @returns true: the rest is for a later turn */
  get over(): boolean {
    const now = this.#clock.monotonic()
    if (this.#began < 0) {
      this.#began = now
      this.#clock.nextTurn(() => this.#next())
    }
    return now - this.#began >= TURN
  }

  /** To be called behind {@link over}, and not again before its turn has come. */
  wait(reader: WaitingReader): void {
    this.#queue.push(reader)
  }

  #next(): void {
    this.#began = -1
    const waiting = this.#queue
    if (waiting.length === 0) return
    this.#queue = []
    let at = 0
    while (at < waiting.length && !this.over) waiting[at++]!.readOn()
    // Those that have not read go before those that wait again.
    if (at < waiting.length) this.#queue = [...waiting.slice(at), ...this.#queue]
  }
}
