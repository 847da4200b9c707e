/**
 * The head of a stored response as bytes, and back. Its fields are lines of HTTP/1.1 one behind the other, names in
 * lower case, so that a hit sends them as one run; a table of their lengths stands before them, so that nothing is
 * parsed and no string is made. Memory, Redis and files keep the same bytes.
 *
 * Offsets, numbers little-endian: 0 version, 1 zero, 2 status, 4 number of fields, 6 ETag, 8 Last-Modified, 10 Date,
 * 12 Content-Range (indexes of fields, {@link NONE} where absent), 14 zero, 16 bytes of the lines, 20 the table (for
 * each field: length of the value, length of the name, flags), then the lines.
 */
import { type Fields, LINES } from '../message/fields.ts'

export const HEAD_VERSION = 1
export const FIXED = 20
export const ROW = 4
/** Where an index would be of a field that is absent. */
export const NONE = 0xffff
/** Flag of a field that describes the representation: not sent with a 304, nor a 206 after If-Range. */
export const REPRESENTATION = 1

/** A view of an encoded head, to be set to one after the other. It is valid for as long as the bytes are. */
export class StoredHead {
  #bytes: Buffer = Buffer.alloc(FIXED)
  #start = 0

  /** @param start of a whole head: what comes from outside is checked by {@link isStoredHead} first */
  at(bytes: Buffer, start: number): this {
    this.#bytes = bytes
    this.#start = start
    return this
  }

  get status(): number {
    return this.#u16(2)
  }

  /** Bytes of the whole. */
  get byteLength(): number {
    return FIXED + ROW * this.#u16(4) + this.#bytes.readUInt32LE(this.#start + 16)
  }

  get etag(): string | undefined {
    return this.#value(this.#u16(6))
  }

  get lastModified(): string | undefined {
    return this.#value(this.#u16(8))
  }

  get date(): string | undefined {
    return this.#value(this.#u16(10))
  }

  /** Of a stored 206. */
  get contentRange(): string | undefined {
    return this.#value(this.#u16(12))
  }

  /** @returns `into`, which reads the bytes of the head: call `detach` on it where they do not stay */
  fields(into: Fields): Fields {
    const bytes = this.#bytes
    const count = this.#u16(4)
    into.clear(bytes)
    let row = this.#start + FIXED
    let at = row + ROW * count
    for (let i = 0; i < count; i++, row += ROW) {
      const nameEnd = at + bytes[row + 2]!
      const valueEnd = nameEnd + 2 + (bytes[row]! | (bytes[row + 1]! << 8))
      into.push(at, nameEnd, nameEnd + 2, valueEnd)
      at = valueEnd + 2
    }
    into.end = at
    into.layout = LINES
    return into
  }

  /**
   * Takes those out of {@link fields} that describe the representation, except what a cache is guided by (RFC 9110
   * §15.4.5): the client has the rest with its copy.
   */
  withoutRepresentation(fields: Fields): Fields {
    const bytes = this.#bytes
    const count = this.#u16(4)
    for (let i = 0, row = this.#start + FIXED; i < count; i++, row += ROW)
      if ((bytes[row + 3]! & REPRESENTATION) !== 0) fields.removeAt(i)
    return fields
  }

  #value(index: number): string | undefined {
    if (index === NONE) return undefined
    const bytes = this.#bytes
    const table = this.#start + FIXED
    let at = table + ROW * this.#u16(4)
    for (let row = table; row < table + ROW * index; row += ROW)
      at += bytes[row + 2]! + (bytes[row]! | (bytes[row + 1]! << 8)) + 4
    const row = table + ROW * index
    const start = at + bytes[row + 2]! + 2
    return bytes.latin1Slice(start, start + (bytes[row]! | (bytes[row + 1]! << 8)))
  }

  #u16(offset: number): number {
    const at = this.#start + offset
    return this.#bytes[at]! | (this.#bytes[at + 1]! << 8)
  }
}
