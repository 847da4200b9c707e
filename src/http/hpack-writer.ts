/** Writes the representations of HPACK (RFC 7541 §5, §6). All return the offset behind what they wrote. */
import { copyBytes } from './hpack-reader.ts'
import { encodeHuffman, huffmanLength } from './huffman.ts'

/** First bytes of the representations, and the masks of their integers. */
export const INDEX = 0x80
export const WITH_INDEXING = 0x40
export const SIZE_UPDATE = 0x20
export const NEVER = 0x10
export const WITHOUT_INDEXING = 0x00

/** Bytes that a literal field may take besides its name and value, each below 2 MiB. */
export const LITERAL_OVERHEAD = 9

/** @param mask of the bits that the first byte has for the integer */
export function writeInteger(out: Buffer, to: number, first: number, mask: number, value: number): number {
  let at = to
  if (value < mask) {
    out[at++] = first | value
    return at
  }
  out[at++] = first | mask
  let rest = value - mask
  while (rest >= 0x80) {
    out[at++] = (rest & 0x7f) | 0x80
    rest >>>= 7
  }
  out[at++] = rest
  return at
}

/** The beginning of a literal field whose name has an index. */
export function writeNameIndex(out: Buffer, to: number, representation: number, index: number): number {
  return writeInteger(out, to, representation, representation === WITH_INDEXING ? 0x3f : 0x0f, index)
}

export function writeString(out: Buffer, to: number, bytes: Buffer, start: number, end: number): number {
  const at = writeInteger(out, to, 0, 0x7f, end - start)
  copyBytes(bytes, start, end, out, at)
  return at + end - start
}

/** @param text Latin-1 */
export function writeText(out: Buffer, to: number, text: string): number {
  const at = writeInteger(out, to, 0, 0x7f, text.length)
  return at + out.latin1Write(text, at)
}

/** In the Huffman code where that is shorter: for what is written once and sent often. */
export function writeShortest(out: Buffer, to: number, text: string): number {
  const bytes = Buffer.from(text, 'latin1')
  const length = huffmanLength(bytes, 0, bytes.length)
  if (length >= bytes.length) return writeText(out, to, text)
  return encodeHuffman(bytes, 0, bytes.length, out, writeInteger(out, to, 0x80, 0x7f, length))
}
