/**
 * The chunked transfer coding (RFC 9112 §7.1), as a state machine fed with whatever bytes arrive. Sizes are plain
 * hexadecimal, bounded; extensions are ignored but bounded in sum (they cost nothing to send and would otherwise be a
 * way to keep us busy); lines end in CRLF and nothing else.
 */

import type { Reason } from '../lib/reason.ts'
import { Fields } from '../message/fields.ts'
import type { HeadLimits } from '../message/head.ts'
import { CHARS, HEX } from './chars.ts'
import { beginExtension, LINE_END, MALFORMED, nextExtension } from './chunk-extension.ts'
import { INCOMPLETE, parseFields, type REFUSED } from './head.ts'
import { dropForbiddenTrailers } from './trailer-fields.ts'

const SIZE = 0
const EXTENSION = 1
const SIZE_LF = 2
const DATA = 3
const DATA_CR = 4
const DATA_LF = 5
const TRAILERS = 6
const DONE = 7
const FAILED = 8

/** Bytes of chunk extensions in one body, with the white space and semicolons between them. */
const MAX_EXTENSION_BYTES = 4096
/** Hexadecimal digits of one size: up to 2^48 bytes, exact as a number. */
const MAX_SIZE_DIGITS = 12

export interface ChunkedSink {
  /** A slice of `bytes`; valid as long as the buffer is. */
  chunkData(bytes: Buffer, start: number, end: number): void
}

export class ChunkedDecoder {
  #state = SIZE
  #remaining = 0
  #digits = 0
  /** State of the extension that is being read. */
  #extension = 0
  #extensionBytes = 0
  #held: Buffer | null = null
  readonly #limits: HeadLimits
  /** Set once done, when there were any. */
  trailers: Fields | null = null
  /** What was wrong, once {@link failed}. */
  fault = ''

  constructor(limits: HeadLimits) {
    this.#limits = limits
  }

  get done(): boolean {
    return this.#state === DONE
  }

  get failed(): boolean {
    return this.#state === FAILED
  }

  /** @returns the offset of the first byte not consumed: `end` unless done or failed */
  push(bytes: Buffer, start: number, end: number, sink: ChunkedSink): number {
    let at = start
    while (at < end) {
      switch (this.#state) {
        case DATA: {
          const take = Math.min(this.#remaining, end - at)
          sink.chunkData(bytes, at, at + take)
          at += take
          if ((this.#remaining -= take) === 0) this.#state = DATA_CR
          break
        }
        case TRAILERS:
          return this.#trailer(bytes, at, end)
        case DONE:
        case FAILED:
          return at
        default:
          if (!this.#line(bytes[at]!)) return at
          at++
      }
    }
    return at
  }

  #line(byte: number): boolean {
    switch (this.#state) {
      case SIZE:
        if (CHARS[byte]! & HEX) {
          if (++this.#digits > MAX_SIZE_DIGITS) return this.#fail('a chunk size that is too large')
          this.#remaining = this.#remaining * 16 + (byte <= 0x39 ? byte - 0x30 : (byte | 0x20) - 0x57)
          return true
        }
        if (this.#digits === 0) return this.#fail('no chunk size')
        if (byte === 0x0d) this.#state = SIZE_LF
        else {
          this.#extension = beginExtension(byte)
          if (this.#extension === MALFORMED) return this.#fail('a chunk size that is not hexadecimal')
          this.#state = EXTENSION
          this.#extensionBytes++
        }
        return true
      case EXTENSION:
        this.#extension = nextExtension(this.#extension, byte)
        if (this.#extension === LINE_END) this.#state = SIZE_LF
        else if (this.#extension === MALFORMED) return this.#fail('a malformed chunk extension')
        else if (++this.#extensionBytes > MAX_EXTENSION_BYTES) return this.#fail('too many bytes of chunk extensions')
        return true
      case SIZE_LF:
        if (byte !== 0x0a) return this.#fail('a bare CR behind a chunk size')
        this.#state = this.#remaining === 0 ? TRAILERS : DATA
        this.#digits = 0
        return true
      case DATA_CR:
        if (byte !== 0x0d) return this.#fail('chunk data longer than its size')
        this.#state = DATA_LF
        return true
      default:
        if (byte !== 0x0a) return this.#fail('a bare CR behind chunk data')
        this.#state = SIZE
        return true
    }
  }

  #trailer(bytes: Buffer, at: number, end: number): number {
    if (this.#held === null && end - at >= 2 && bytes[at] === 0x0d && bytes[at + 1] === 0x0a) {
      this.#state = DONE
      return at + 2
    }
    const before = this.#held?.length ?? 0
    const all = this.#held === null ? bytes.subarray(at, end) : Buffer.concat([this.#held, bytes.subarray(at, end)])
    // Only a line end can complete the trailers: without this check a slow sender makes every byte cost a whole parse.
    if (before > 0 && all.indexOf(0x0a, before) < 0 && all.length <= this.#limits.head) {
      this.#held = all
      return end
    }
    const section = new TrailerSection()
    const consumed = parseFields(section, all, 0, all.length, 0, this.#limits)
    if (consumed === INCOMPLETE) {
      // A copy, since a view would keep the whole read buffer alive for a few bytes.
      this.#held = this.#held === null ? Buffer.from(all) : all
      return end
    }
    if (consumed < 0) {
      this.#fail(section.detail)
      return at
    }
    this.#held = null
    this.#state = DONE
    dropForbiddenTrailers(section.fields)
    if (section.fields.count > 0) this.trailers = section.fields
    return at + consumed - before
  }

  #fail(detail: string): false {
    this.#state = FAILED
    this.fault = detail
    return false
  }
}

class TrailerSection {
  readonly fields = new Fields()
  detail = ''
  refuse(_reason: Reason, detail: string): typeof REFUSED {
    this.detail = `in the trailers: ${detail}`
    return -2
  }
}

/** The end of a chunked body with its trailers. */
export function lastChunk(trailers: Fields | null): string {
  if (trailers === null) return '0\r\n\r\n'
  let text = '0\r\n'
  trailers.forEach((name, value) => {
    text += `${name}: ${value}\r\n`
  })
  return `${text}\r\n`
}
