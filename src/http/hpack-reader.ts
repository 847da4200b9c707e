/** Integers and strings of a field block (RFC 7541 §5). */
import { decodeHuffman } from './huffman.ts'

const NOTHING = Buffer.alloc(0)

export class BlockReader {
  #bytes: Buffer = NOTHING
  #at = 0
  #end = 0

  open(bytes: Buffer, start: number, end: number): void {
    this.#bytes = bytes
    this.#at = start
    this.#end = end
  }

  /** Lets go of the bytes. */
  close(): void {
    this.#bytes = NOTHING
    this.#at = 0
    this.#end = 0
  }

  get done(): boolean {
    return this.#at >= this.#end
  }

  /** The first byte of what comes next; not to be asked at the end. */
  get next(): number {
    return this.#bytes[this.#at]!
  }

  /**
   * @param mask of the bits that the first byte has for it
   * @returns -1: cut off, or 2^28 and more
   */
  integer(mask: number): number {
    const bytes = this.#bytes
    let value = bytes[this.#at++]! & mask
    if (value < mask) return value
    for (let shift = 0; shift < 28; shift += 7) {
      if (this.#at >= this.#end) return -1
      const byte = bytes[this.#at++]!
      value += (byte & 0x7f) << shift
      if (byte < 0x80) return value
    }
    return -1
  }

  /**
   * Writes a string to `out`.
   * @returns the offset behind it, -1: it is cut off or not in the Huffman code
   */
  string(out: Buffer, to: number): number {
    if (this.#at >= this.#end) return -1
    const bytes = this.#bytes
    const huffman = bytes[this.#at]! >= 0x80
    const length = this.integer(0x7f)
    const start = this.#at
    if (length < 0 || length > this.#end - start) return -1
    this.#at = start + length
    if (huffman) return decodeHuffman(bytes, start, start + length, out, to)
    copyBytes(bytes, start, start + length, out, to)
    return to + length
  }
}

/** A call of the runtime costs as much as a copy of some thirty bytes. */
export function copyBytes(source: Buffer, start: number, end: number, out: Buffer, to: number): void {
  if (end - start > 32) source.copy(out, to, start, end)
  else for (let from = start, at = to; from < end; ) out[at++] = source[from++]!
}
