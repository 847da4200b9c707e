/**
 * Flow-control windows of HTTP/2 (RFC 9113 §5.2, §6.9), of a stream or of a connection. Only payloads of DATA frames
 * count, padding included.
 */

/** Of a new connection, and of its streams until SETTINGS say otherwise. */
export const DEFAULT_WINDOW = 65_535
export const LARGEST_WINDOW = 0x7fff_ffff

/** What we may send. */
export class SendWindow {
  /** Bytes; negative after a peer has reduced its initial window (RFC 9113 §6.9.2). */
  available: number

  constructor(available: number) {
    this.available = available
  }

  /**
   * WINDOW_UPDATE, or a change of the initial window.
   * @param by negative to narrow it
   * @returns false: over the largest window, FLOW_CONTROL_ERROR (RFC 9113 §6.9.1)
   */
  widen(by: number): boolean {
    if (this.available + by > LARGEST_WINDOW) return false
    this.available += by
    return true
  }
}

/**
 * What the peer may send. Bytes that were consumed are given back in steps of half a window: a WINDOW_UPDATE for each
 * frame would double the frames.
 */
export class ReceiveWindow {
  /** Bytes that the peer may have on their way or unconsumed here. */
  size: number
  #available: number
  /** Consumed, and not yet given back. */
  #consumed = 0

  constructor(size: number) {
    this.size = size
    this.#available = size
  }

  /** Bytes that the peer may still send. */
  get available(): number {
    return this.#available
  }

  /** Bytes that have come and are not consumed. */
  get unconsumed(): number {
    return this.size - this.#available - this.#consumed
  }

  /** @returns false: the peer has sent more than it may, FLOW_CONTROL_ERROR */
  receive(bytes: number): boolean {
    if (bytes > this.#available) return false
    this.#available -= bytes
    return true
  }

  /** @returns the increment to announce; 0 = none yet */
  consume(bytes: number): number {
    this.#consumed += bytes
    return this.#consumed * 2 >= this.size ? this.#giveBack() : 0
  }

  /**
   * Allows the peer more at a time.
   * @returns the increment to announce
   */
  grow(size: number): number {
    const by = Math.max(0, Math.min(size, LARGEST_WINDOW) - this.size)
    this.size += by
    this.#available += by
    return by + this.#giveBack()
  }

  #giveBack(): number {
    const increment = this.#consumed
    this.#consumed = 0
    this.#available += increment
    return increment
  }
}
