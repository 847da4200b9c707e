/**
 * When Redis is asked: a few failures in a row, with no reply between them, and it is left alone until it answers a
 * PING. After that the room for calls begins small and doubles with what is answered, so that what waited elsewhere
 * does not come down on it at once.
 */

/** In a row. One late reply is no outage, and each costs its request the deadline. */
const FAILURES = 5
/** Calls in flight, right after it came back. */
const FIRST_ROOM = 64

export class Circuit {
  readonly #most: number
  readonly #mostFailures: number
  #closed = false
  #failures = 0
  #room = FIRST_ROOM

  /**
   * @param most calls in flight
   * @param failures in a row that open it
   */
  constructor(most: number, failures = FAILURES) {
    this.#most = most
    this.#mostFailures = failures
  }

  /** Whether it is asked. */
  get closed(): boolean {
    return this.#closed
  }

  /** Calls that may be in flight. */
  get room(): number {
    return this.#room
  }

  close(): void {
    this.#closed = true
    this.#failures = 0
    this.#room = Math.min(FIRST_ROOM, this.#most)
  }

  open(): void {
    this.#closed = false
  }

  /** A reply came. */
  succeeded(): void {
    this.#failures = 0
    if (this.#room < this.#most) this.#room++
  }

  /** @returns whether that was one too many: it is open from now on */
  failed(): boolean {
    if (!this.#closed || ++this.#failures < this.#mostFailures) return false
    this.#closed = false
    return true
  }
}
