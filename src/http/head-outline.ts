/**
 * Where lines, names and values of a request's head lie, found without reading it: for whoever compares it with a head
 * that {@link RequestHead} has parsed. What is the same needs no second look; a value that may be another one is
 * checked byte by byte, as strictly as there.
 */
import { CHARS, FIELD } from './chars.ts'

const CR = 0x0d
const LF = 0x0a
const SP = 0x20
const HTAB = 0x09
const COLON = 0x3a

/** Fields; a head with more has no outline. */
const MAX_OUTLINED = 64
/** Three offsets a field: of its name, of the colon, and of the CR behind its value. */
const STRIDE = 3

/** Used again for each head. */
export class HeadOutline {
  /** Of the CR behind the request line. */
  lineEnd = 0
  /** Fields. */
  count = 0
  /** Of the request line, the lengths and ends of the names, and Host: two heads alike in these have the same. */
  hash = 0
  readonly #spans = new Int32Array(MAX_OUTLINED * STRIDE)

  /**
   * Finds the end of the request line, and its hash: the first half of {@link fields}.
   *
   * @returns false: there is none
   */
  line(bytes: Uint8Array, length: number): boolean {
    let hash = 0x811c9dc5
    for (let at = 0; at < length; at++) {
      const byte = bytes[at]!
      if (byte === CR) {
        this.lineEnd = at
        this.hash = hash ^ (hash >>> 15)
        return at > 0 && bytes[at + 1] === LF
      }
      hash = Math.imul(hash ^ byte, 0x01000193)
    }
    return false
  }

  /**
   * Goes on behind {@link line} to the end of the head.
   *
   * @param length of the head, with nothing behind it
   * @returns false: it has no outline, though the parser might take it. A value in white space other than one space
   *   before it is such a case, so that all heads with an outline have one layout.
   */
  fields(bytes: Uint8Array, length: number): boolean {
    const spans = this.#spans
    const chars = CHARS
    const last = length - 2
    let { hash } = this
    let count = 0
    let at = this.lineEnd + 2
    while (at < last) {
      if (count === MAX_OUTLINED) return false
      const name = at
      while (at < last && bytes[at] !== COLON) at++
      const colon = at++
      if (bytes[at] === SP) at++
      const value = at
      if (bytes[at] === SP || bytes[at] === HTAB) return false
      while (at < last && (chars[bytes[at]!]! & FIELD) !== 0) at++
      if (bytes[at] !== CR || bytes[at + 1] !== LF) return false
      if (at > value && (bytes[at - 1] === SP || bytes[at - 1] === HTAB)) return false
      const span = count++ * STRIDE
      spans[span] = name
      spans[span + 1] = colon
      spans[span + 2] = at
      hash = Math.imul(hash ^ ((colon - name) | (bytes[name]! << 8) | (bytes[colon - 1]! << 16)), 0x01000193)
      if (colon - name === 4 && (bytes[name]! | 0x20) === 0x68 && (bytes[colon - 1]! | 0x20) === 0x74)
        for (let i = value; i < at; i++) hash = Math.imul(hash ^ bytes[i]!, 0x01000193)
      at += 2
    }
    this.count = count
    this.hash = hash ^ (hash >>> 15)
    return at === last && bytes[at] === CR && bytes[at + 1] === LF
  }

  nameStart(index: number): number {
    return this.#spans[index * STRIDE]!
  }

  /** Behind the name. */
  colon(index: number): number {
    return this.#spans[index * STRIDE + 1]!
  }

  /** The first byte of the value. @param bytes of which this is the outline */
  valueStart(bytes: Uint8Array, index: number): number {
    const at = this.colon(index) + 1
    return bytes[at] === SP ? at + 1 : at
  }

  /** Behind the value. */
  valueEnd(index: number): number {
    return this.#spans[index * STRIDE + 2]!
  }

  /** The offsets of all fields. */
  copySpans(): Int32Array {
    return this.#spans.slice(0, this.count * STRIDE)
  }

  /**
   * Whether a head is that of a pattern but for values that count for nothing.
   *
   * @param bytes of which this is the outline
   * @param head of the pattern, with its {@link copySpans}
   * @param compared for each of its fields: 0 where the value may be any other one
   */
  fits(bytes: Uint8Array, head: Uint8Array, spans: Int32Array, compared: Uint8Array): boolean {
    const own = this.#spans
    const { count } = this
    if (compared.length !== count) return false
    // Request line, and the line ends around it.
    let at = this.lineEnd + 2
    if (count > 0 && own[0] !== spans[0]) return false
    for (let i = 0; i < at; i++) if (bytes[i] !== head[i]) return false
    for (let field = 0; field < count; field++) {
      const span = field * STRIDE
      let theirs = spans[span]!
      const shift = theirs - at
      const valueEnd = own[span + 2]!
      // A name has no colon, so names are of one length where they are the same up to here.
      let to = own[span + 1]! + 1
      if (compared[field] !== 0) {
        to = valueEnd
        if (spans[span + 2]! - shift !== valueEnd) return false
      }
      for (; at < to; at++, theirs++) if (bytes[at] !== head[theirs]) return false
      at = valueEnd + 2
    }
    return true
  }
}
