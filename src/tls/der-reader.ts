/** Reads ASN.1 values in their distinguished encoding (X.690), as far as certificates and revocation lists need it. */

export interface DerValue {
  readonly tag: number
  readonly content: Uint8Array
  /** With tag and length. */
  readonly whole: Uint8Array
}

export const INTEGER = 0x02
export const UTC_TIME = 0x17
export const GENERALIZED_TIME = 0x18
export const SEQUENCE = 0x30

/** Values one after the other. Any step throws a RangeError where the bytes are no such value. */
export class DerReader {
  readonly #bytes: Uint8Array
  #at = 0

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes
  }

  get atEnd(): boolean {
    return this.#at === this.#bytes.length
  }

  /** The tag of the next value; undefined at the end. */
  peek(): number | undefined {
    return this.#bytes[this.#at]
  }

  next(tag?: number): DerValue {
    const bytes = this.#bytes
    const start = this.#at
    const found = bytes[start]
    if (found === undefined || (tag !== undefined && found !== tag)) throw new RangeError('another value is expected')
    // Numbers of tags above 30 stand in bytes that follow: none of them is read here.
    if ((found & 0x1f) === 0x1f) throw new RangeError('not a tag that is read here')
    let at = start + 1
    let length = bytes[at++]
    if (length === undefined || length === 0x80) throw new RangeError('no length')
    if (length > 0x80) {
      const digits = length & 0x7f
      if (digits > 4) throw new RangeError('too long')
      length = 0
      for (let i = 0; i < digits; i++) length = length * 256 + (bytes[at++] ?? Number.NaN)
    }
    const end = at + length
    if (!(end <= bytes.length)) throw new RangeError('longer than what is there')
    this.#at = end
    return { tag: found, content: bytes.subarray(at, end), whole: bytes.subarray(start, end) }
  }

  /** The values inside of the next one. */
  enter(tag: number): DerReader {
    return new DerReader(this.next(tag).content)
  }

  /** @returns milliseconds since the epoch (RFC 5280 §4.1.2.5) */
  time(): number {
    const { tag, content } = this.next()
    const text = Buffer.from(content).toString('latin1')
    const parts = (tag === UTC_TIME ? TWO_DIGITS : tag === GENERALIZED_TIME ? FOUR_DIGITS : NEVER).exec(text)
    if (parts === null) throw new RangeError('not a time')
    const [year, month, day, hour, minute, second] = parts.slice(1).map(Number)
    const century = tag === UTC_TIME ? (year! >= 50 ? 1900 : 2000) : 0
    return Date.UTC(century + year!, month! - 1, day, hour, minute, second)
  }
}

const TWO_DIGITS = /^(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/
const FOUR_DIGITS = /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/
const NEVER = /$^/
