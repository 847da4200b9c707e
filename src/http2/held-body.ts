/** Bytes of a body that nobody takes at the moment; at most what the window of its stream lets come. */
import type { Holding } from '../transport/held-memory.ts'

/**
 * One buffer, however small the pieces are in which the bytes come: a view of each would keep the whole read that it
 * came in.
 */
export class HeldBody {
  readonly #holding: Holding
  #buffer: Buffer | null = null
  length = 0

  constructor(holding: Holding) {
    this.#holding = holding
  }

  add(bytes: Buffer, start: number, end: number): void {
    const needed = this.length + end - start
    let buffer = this.#buffer
    if (buffer === null || buffer.length < needed) {
      const larger = Buffer.allocUnsafeSlow(Math.max(needed, 2 * this.length))
      buffer?.copy(larger, 0, 0, this.length)
      this.#holding.count(larger.length - (buffer?.length ?? 0))
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
    this.#holding.count(-(this.#buffer?.length ?? 0))
    this.#buffer = null
    this.length = 0
  }
}
