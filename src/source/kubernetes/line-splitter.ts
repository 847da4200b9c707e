/** Cuts a stream of bytes into lines at 0x0A and nothing else: U+2028 and U+0085 may stand inside JSON strings. */
import { ApiError } from './api-error.ts'

const NEWLINE = 0x0a

export class LineSplitter {
  readonly #limit: number
  readonly #line: (line: Buffer) => void
  #parts: Buffer[] = []
  #length = 0

  /**
   * @param limit bytes of one line
   * @param line gets each without its end; empty lines are left out
   */
  constructor(limit: number, line: (line: Buffer) => void) {
    this.#limit = limit
    this.#line = line
  }

  /** Bytes of a line whose end has not come. */
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
    // The chunk may be a view of a larger buffer that would be kept alive by a slow line.
    this.#parts.push(Buffer.from(chunk.subarray(start)))
  }

  #grow(by: number): void {
    this.#length += by
    if (this.#length > this.#limit)
      throw new ApiError(200, 'BadAnswer', `a line of the watch is over ${this.#limit / 1_048_576} MiB`)
  }
}
