/**
 * What a stream of HTTP/2 sends, in either role: a head goes out at once, data as far as flow control and the socket
 * take it, and what they do not take waits here. The schedule of its connection decides whose turn it is.
 */
import { DEFAULT_URGENCY, type Priority } from '../http/priority.ts'
import type { Fields } from '../message/fields.ts'
import { HELD_BODIES, type HeldFor, type Holder, Holding } from '../transport/held-memory.ts'
import type { LossListener } from './frame-output.ts'

export abstract class SendingStream implements Priority, LossListener, Holder {
  readonly id: number
  urgency = DEFAULT_URGENCY
  incremental = false
  /** Bytes of DATA that the peer takes on this stream; negative after it has narrowed its window. */
  window: number
  /** Where its last frame begins among all that its connection wrote: END_STREAM may still be set there. */
  lastFrame = -1
  /** It waits in the schedule for its turn. */
  scheduled = false
  /** Nothing more is given to it: behind what waits, its end. */
  finished = false
  trailers: Fields | null = null
  /** END_STREAM is written. */
  sentEnd = false
  #waiting: Buffer[] = []
  /** Of the first one. */
  #offset = 0
  /** Bytes that wait for a window, or for the socket. */
  waiting = 0

  readonly #client: HeldFor | null
  #held: Holding | null = null

  /** @param client for whose connection it holds bytes; null = nobody's */
  constructor(id: number, window: number, client: HeldFor | null) {
    this.id = id
    this.window = window
    this.#client = client
  }

  /** What it holds, in both directions. */
  get held(): Holding {
    return (this.#held ??= new Holding(HELD_BODIES, this.#client, this))
  }

  /** Copies the bytes. */
  hold(bytes: Uint8Array, start: number, end: number): void {
    this.#waiting.push(Buffer.from(bytes.subarray(start, end)))
    this.waiting += end - start
    this.held.count(end - start)
  }

  /** Copies up to `length` bytes that wait to `to`. */
  take(out: Buffer, to: number, length: number): void {
    let at = to
    let owed = length
    while (owed > 0) {
      const first = this.#waiting[0]!
      const taken = Math.min(owed, first.length - this.#offset)
      first.copy(out, at, this.#offset, this.#offset + taken)
      at += taken
      owed -= taken
      this.#offset += taken
      if (this.#offset === first.length) {
        this.#waiting.shift()
        this.#offset = 0
      }
    }
    this.waiting -= length
    this.held.count(-length)
  }

  /** What waits is not sent any more. */
  drop(): void {
    this.#waiting = []
    this.#offset = 0
    this.#held?.count(-this.waiting)
    this.waiting = 0
    this.trailers = null
  }

  /** All that waited has gone; more may be given to it. */
  abstract drained(): void
  /** END_STREAM has gone. */
  abstract ended(): void
  abstract lose(bytes: number): void
  abstract relieve(): void
}
