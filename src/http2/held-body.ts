/** Bytes of a body that nobody takes at the moment; at most what the window of its stream lets come. */
/**
 * Bytes of memory that the bodies of one connection may hold whatever others hold: one whose reader waits has its
 * window, in a buffer that grows by doubling. Who lets many wait must not take that from others.
 */
const FAIR_SHARE = 128 * 1024

/** Bytes of memory that hold bodies of one direction, over all connections of the thread. */
export interface HeldTotal {
  bytes: number
}

export const HELD_REQUESTS: HeldTotal = { bytes: 0 }
export const HELD_RESPONSES: HeldTotal = { bytes: 0 }

/** What the bodies of one connection hold. */
export class HeldShare {
  readonly #total: HeldTotal
  readonly #limit: number
  bytes = 0

  /** @param limit bytes, over all connections of the thread */
  constructor(total: HeldTotal, limit: number) {
    this.#total = total
    this.#limit = limit
  }

  count(by: number): void {
    this.bytes += by
    this.#total.bytes += by
  }

  /** Whether this connection has a part in it that too much is held. */
  get excessive(): boolean {
    return this.bytes > FAIR_SHARE && this.#total.bytes > this.#limit
  }
}

/**
 * One buffer, however small the pieces are in which the bytes come: a view of each would keep the whole read that it
 * came in.
 */
export class HeldBody {
  readonly #share: HeldShare
  #buffer: Buffer | null = null
  length = 0

  constructor(share: HeldShare) {
    this.#share = share
  }

  add(bytes: Buffer, start: number, end: number): void {
    const needed = this.length + end - start
    let buffer = this.#buffer
    if (buffer === null || buffer.length < needed) {
      const larger = Buffer.allocUnsafeSlow(Math.max(needed, 2 * this.length))
      buffer?.copy(larger, 0, 0, this.length)
      this.#share.count(larger.length - (buffer?.length ?? 0))
      buffer = larger
      this.#buffer = buffer
    }
    bytes.copy(buffer, this.length, start, end)
    this.length = needed
  }

  /** All of them, which belong to the receiver. */
  take(): Buffer {
    const bytes = this.#buffer!.subarray(0, this.length)
    this.drop()
    return bytes
  }

  drop(): void {
    this.#share.count(-(this.#buffer?.length ?? 0))
    this.#buffer = null
    this.length = 0
  }
}
