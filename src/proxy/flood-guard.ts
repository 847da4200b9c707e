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
 * Requests given up before their response is complete, by the client or by an error of its own (CVE-2023-44487,
 * CVE-2025-8671): twice as many as run at a time, at once.
 */
const RESETS = 2_048
const RESETS_PER_SECOND = 32

export class FloodGuard {
  readonly #timers: Timers
  #frames = FRAMES
  #resets = RESETS
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

  /** A frame with data has come or gone. */
  data(): void {
    if (this.#frames < FRAMES) this.#frames += FRAMES_FOR_DATA
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
