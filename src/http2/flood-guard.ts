/**
 * What a peer may cost without being of use: frames that carry nothing, and requests that are given up. Both are counts
 * that refill with time and with the work that is done for it, so that no client that means well comes near their end,
 * and a flood ends its connection early (RFC 9113 §10.5).
 */
import type { Timers } from '../transport/timers.ts'

/** PING, SETTINGS, PRIORITY, WINDOW_UPDATE, empty frames, unknown ones … that may come at once, and in a second. */
const FRAMES = 2_000
const FRAMES_PER_SECOND = 200
/** What a request that was answered adds to them, and a DATA frame in either direction. */
const FRAMES_FOR_REQUEST = 20
const FRAMES_FOR_DATA = 4
/**
 * Bytes of DATA to a peer for which it may send WINDOW_UPDATE once more, besides `FRAMES_FOR_DATA` for their frame.
 * Go's client and server send two, of the stream and of the connection, for each 4 KiB that are read.
 */
const BYTES_FOR_UPDATE = 1_024
/**
 * Requests given up before their response is complete, by the client or by an error of its own (CVE-2023-44487,
 * CVE-2025-8671): twice as many as run at a time, at once.
 */
const RESETS = 2_048
const RESETS_PER_SECOND = 32

export class FloodGuard {
  readonly #timers: Timers
  #frames = FRAMES
  #resets = RESETS
  /** WINDOW_UPDATE frames that the peer may send for DATA that it got. */
  #updates = 0
  /** Monotonic milliseconds. */
  #refilledAt: number

  constructor(timers: Timers) {
    this.#timers = timers
    this.#refilledAt = timers.now
  }

  /**
   * A frame that is of no use by itself has come.
   * @returns false: too many
   */
  idleFrame(cost: number): boolean {
    this.#frames -= cost
    if (this.#frames >= 0) return true
    this.#refill()
    return this.#frames >= 0
  }

  /** WINDOW_UPDATE. Those for DATA may come all at once, when a peer reads again. @returns false: too many */
  windowUpdate(): boolean {
    if (this.#updates < 1) return this.idleFrame(1)
    this.#updates--
    return true
  }

  /** A request was given up before its response was complete. @returns false: too many */
  reset(): boolean {
    this.#resets--
    if (this.#resets >= 0) return true
    this.#refill()
    return this.#resets >= 0
  }

  /** A response is complete. */
  answered(): void {
    if (this.#resets < RESETS) this.#resets++
    if (this.#frames < FRAMES) this.#frames += FRAMES_FOR_REQUEST
  }

  /** A frame with data has come. */
  data(): void {
    if (this.#frames < FRAMES) this.#frames += FRAMES_FOR_DATA
  }

  /** A frame with data has gone. @param cramped cut short by a tiny window. @returns false: too many of these */
  sentData(length: number, cramped: boolean): boolean {
    if (cramped) return this.idleFrame(1)
    this.#updates += FRAMES_FOR_DATA + length / BYTES_FOR_UPDATE
    this.data()
    return true
  }

  /** Looks at the time only where it matters. */
  #refill(): void {
    const { now } = this.#timers
    const seconds = (now - this.#refilledAt) / 1_000
    this.#refilledAt = now
    this.#frames = Math.min(FRAMES, this.#frames + seconds * FRAMES_PER_SECOND)
    this.#resets = Math.min(RESETS, this.#resets + seconds * RESETS_PER_SECOND)
  }
}
