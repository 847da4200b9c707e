/** The streams of a client's connection by their states (RFC 9113 §5.1). */
import type { H2Stream } from './downstream-h2-stream.ts'

/** Never opened, and still to be. */
export const IDLE = 0
/** Skipped by the client, or closed long ago. */
export const UNKNOWN = 1
/** Closed by both sides, or by the client's RST_STREAM. */
export const CLOSED = 2
/** Closed by our RST_STREAM: frames that were on their way by then still come. */
export const RESET = 3

export type ClosedState = typeof IDLE | typeof UNKNOWN | typeof CLOSED | typeof RESET

/** Closed streams that are remembered: as many as may be open, and are closed at once. */
const REMEMBERED = 1_024

/** Bytes of the heads of open requests, which a few bytes of HPACK may stand for: as 128 of the longest have. */
const MAX_HEAD_BYTES = 8 * 1024 * 1024
/** Of one connection, whatever others hold: as many as one of HTTP/1.1 may have. */
const FAIR_HEAD_BYTES = 64 * 1024

/** Bytes of the heads of open requests, over all connections of the thread. */
let openHeads = 0

export class StreamTable {
  readonly #open = new Map<number, H2Stream>()
  /** The highest that the client has opened. */
  last = 0
  /** Those that were closed last, in a ring; the complement of one that we have reset. */
  readonly #closed: number[] = []
  #next = 0
  /** Of the heads of open streams. */
  headBytes = 0

  get size(): number {
    return this.#open.size
  }

  /** Streams may be closed by what is done with them. */
  [Symbol.iterator](): Iterator<H2Stream> {
    return this.#open.values()
  }

  get(id: number): H2Stream | undefined {
    return this.#open.get(id)
  }

  add(stream: H2Stream): void {
    this.#open.set(stream.id, stream)
    this.headBytes += stream.headBytes
    openHeads += stream.headBytes
  }

  /**
   * Whether a head of so many bytes is too much beside those that are open.
   * @param limit bytes over all connections of the thread; a connection with little has its part whatever others have
   */
  headsExceed(bytes: number, limit: number): boolean {
    const own = this.headBytes + bytes
    return own > MAX_HEAD_BYTES || (own > FAIR_HEAD_BYTES && openHeads + bytes > limit)
  }

  /** @returns false: it was closed before */
  close(id: number, reset: boolean): boolean {
    const stream = this.#open.get(id)
    if (stream === undefined) return false
    this.#open.delete(id)
    this.headBytes -= stream.headBytes
    openHeads -= stream.headBytes
    this.remember(id, reset)
    return true
  }

  remember(id: number, reset: boolean): void {
    this.#closed[this.#next] = reset ? ~id : id
    this.#next = (this.#next + 1) % REMEMBERED
  }

  /** Of a stream that is not open. */
  stateOf(id: number): ClosedState {
    if (id > this.last) return IDLE
    if (this.#closed.includes(~id)) return RESET
    return this.#closed.includes(id) ? CLOSED : UNKNOWN
  }
}
