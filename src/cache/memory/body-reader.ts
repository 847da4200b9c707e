/** Goes through the runs of one body. It knows where it was last, so that a body read in order is walked once. */
import { UNIT_BYTES } from './layout.ts'
import { EXTENT_AT, EXTENT_NEXT, EXTENT_UNITS, NEXT_EXTENT, type Records, UNITS, WRITTEN } from './record.ts'

export class BodyReader {
  readonly #records: Records
  #record = 0
  /** The run that was read last: which, where it begins in the body, where its bytes are, and how many it has. */
  #run = 0
  #from = 0
  #at = 0
  #bytes = 0

  constructor(records: Records) {
    this.#records = records
  }

  open(record: number): void {
    this.#record = record
    this.#run = 0
  }

  /** @returns the bytes copied, fewer where fewer are there */
  copy(from: number, target: Uint8Array, at: number, length: number): number {
    const end = Math.min(from + length, this.#records.load(this.#record, WRITTEN) >>> 0)
    let done = from
    while (done < end) {
      this.#seek(done)
      const start = this.#at + (done - this.#from)
      const count = Math.min(end - done, this.#bytes - (done - this.#from))
      this.#records.bytes.copy(target, at + (done - from), start, start + count)
      done += count
    }
    return Math.max(0, done - from)
  }

  /** @returns null: it is not all there, or not in one run */
  text(from: number, length: number): string | null {
    if (length <= 0 || from + length > this.#records.load(this.#record, WRITTEN) >>> 0) return null
    this.#seek(from)
    const start = this.#at + (from - this.#from)
    return from + length > this.#from + this.#bytes ? null : this.#records.bytes.latin1Slice(start, start + length)
  }

  /** Where the byte stands that {@link available} counts from. @returns its offset in the buffer */
  locate(from: number): number {
    this.#seek(from)
    return this.#at + (from - this.#from)
  }

  /** Bytes of the body behind `from` in the same run. */
  runLength(from: number): number {
    this.#seek(from)
    return this.#bytes - (from - this.#from)
  }

  #seek(position: number): void {
    const records = this.#records
    if (this.#run === 0 || position < this.#from) {
      const record = this.#record
      this.#run = record
      this.#from = 0
      this.#at = records.bodyAt(record)
      this.#bytes = (record + records.get(record, UNITS)) * UNIT_BYTES - this.#at
    }
    while (position >= this.#from + this.#bytes) {
      const next = records.get(this.#run, this.#run === this.#record ? NEXT_EXTENT : EXTENT_NEXT)
      this.#from += this.#bytes
      this.#run = next
      this.#at = next * UNIT_BYTES + EXTENT_AT
      this.#bytes = records.get(next, EXTENT_UNITS) * UNIT_BYTES - EXTENT_AT
    }
  }
}
