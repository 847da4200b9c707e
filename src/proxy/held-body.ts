/** Bytes of a request's body that nobody takes at the moment; at most what the window of its stream lets come. */
/** Bytes of memory that hold such bodies, over all streams of the thread. */
let held = 0

/** @returns bytes of memory, over all streams of the thread */
export function heldBodies(): number {
  return held
}

/**
 * One buffer, however small the pieces are in which the bytes come: a view of each would keep the whole read that it
 * came in.
 */
export class HeldBody {
  #buffer: Buffer | null = null
  length = 0

  add(bytes: Buffer, start: number, end: number): void {
    const needed = this.length + end - start
    let buffer = this.#buffer
    if (buffer === null || buffer.length < needed) {
      const larger = Buffer.allocUnsafeSlow(Math.max(needed, 2 * this.length))
      buffer?.copy(larger, 0, 0, this.length)
      held += larger.length - (buffer?.length ?? 0)
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
    held -= this.#buffer?.length ?? 0
    this.#buffer = null
    this.length = 0
  }
}
