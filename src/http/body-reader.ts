/**
 * Finds the end of a message's body in whatever bytes arrive (RFC 9112 §6): by length, by chunks, or at the close of
 * the connection.
 */

import type { Fields } from '../message/fields.ts'
import type { HeadLimits } from '../message/head.ts'
import { ChunkedDecoder, type ChunkedSink } from './chunked.ts'
import { CHUNKED, UNTIL_CLOSE } from './framing.ts'

export class BodyReader {
  #length = 0
  #chunked: ChunkedDecoder | null = null
  /** The whole body has been read. */
  done = true
  /** Set once done, when a chunked body brought any. */
  trailers: Fields | null = null
  /** What was wrong with it; empty while nothing is. */
  fault = ''

  /** @param length bytes, {@link CHUNKED} or {@link UNTIL_CLOSE} */
  begin(length: number, limits: HeadLimits): void {
    this.#length = length
    this.#chunked = length === CHUNKED ? new ChunkedDecoder(limits) : null
    this.done = length === 0
    this.trailers = null
    this.fault = ''
  }

  /** Only the close of the connection ends it. */
  get untilClose(): boolean {
    return this.#length === UNTIL_CLOSE
  }

  /** Bytes still to come; Infinity where that is not known. */
  get remaining(): number {
    if (this.done) return 0
    return this.#length < 0 ? Number.POSITIVE_INFINITY : this.#length
  }

  /** @returns the offset of the first byte that is not the body's any more: `end` unless done or faulty */
  read(bytes: Buffer, start: number, end: number, sink: ChunkedSink): number {
    if (this.done || start === end) return start
    const chunked = this.#chunked
    if (chunked !== null) {
      const at = chunked.push(bytes, start, end, sink)
      if (chunked.failed) this.fault = chunked.fault
      else if (chunked.done) {
        this.trailers = chunked.trailers
        this.done = true
      }
      return at
    }
    if (this.#length === UNTIL_CLOSE) {
      sink.chunkData(bytes, start, end)
      return end
    }
    const at = start + Math.min(this.#length, end - start)
    this.#length -= at - start
    if (this.#length === 0) this.done = true
    sink.chunkData(bytes, start, at)
    return at
  }
}
