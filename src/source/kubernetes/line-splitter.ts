/** Splits a byte stream into lines at 0x0A only: U+2028 and U+0085 may occur inside JSON strings. */
import { ApiError } from './api-error.ts'

const NEWLINE = 0x0a

export class LineSplitter {
  readonly #limit: number
  readonly #line: (line: Buffer) => void
  #parts: Buffer[] = []
  #length = 0

  /**
   * @param limit bytes of one line
   * @param line receives each line without its terminator; empty lines are skipped
   */
  constructor(limit: number, line: (line: Buffer) => void) {
    this.#limit = limit
    this.#line = line
  }

  /** Buffered bytes of an incomplete line. */
  get pending(): number {
    return this.#length
  }

  /** @throws {ApiError} when a line is longer than the limit */
  push(chunk: Buffer): void {
    let start = 0
    for (;;) {
      const end = chunk.indexOf(NEWLINE, start)
      if (end === -1) break
      const rest = chunk.subarray(start, end)
      start = end + 1
      this.#grow(rest.length)
      const line = this.#parts.length === 0 ? rest : Buffer.concat([...this.#parts, rest])
      this.#parts = []
      this.#length = 0
      if (line.length > 0) this.#line(line)
    }
    if (start === chunk.length) return
    this.#grow(chunk.length - start)
    // Copied: the chunk may be a view that would keep a larger buffer alive.
    this.#parts.push(Buffer.from(chunk.subarray(start)))
  }

  #grow(by: number): void {
    this.#length += by
    if (this.#length > this.#limit)
      throw new ApiError(200, 'BadAnswer', `a line of the watch is over ${this.#limit / 1_048_576} MiB`)
  }
}
