/**
 * What stands before the record in a file of the archive.
 *
 * ```
 * magic 4 · until 8 · length of the namespace 1 · namespace │ record
 * ```
 */

const MAGIC = Buffer.from('HGC1')
const UNTIL_AT = 4
/** Of the namespace. */
export const OWNER_AT = 13
export const MAX_OWNER_BYTES = 255

/** @param until milliseconds since 1970 */
export function headerBytes(owner: string, until: number): Buffer {
  const name = Buffer.from(owner)
  const header = Buffer.alloc(OWNER_AT + name.length)
  MAGIC.copy(header)
  header.writeDoubleBE(until, UNTIL_AT)
  header[OWNER_AT - 1] = name.length
  name.copy(header, OWNER_AT)
  return header
}

/** @returns undefined where it is none: cut, or of another version */
export function headerOf(
  bytes: Uint8Array,
): { readonly until: number; readonly owner: string; readonly length: number } | undefined {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
  if (buffer.length < OWNER_AT || !buffer.subarray(0, MAGIC.length).equals(MAGIC)) return undefined
  const length = OWNER_AT + buffer[OWNER_AT - 1]!
  const until = buffer.readDoubleBE(UNTIL_AT)
  if (buffer.length < length || !(until < 8.64e15)) return undefined
  return { until, owner: buffer.toString('utf8', OWNER_AT, length), length }
}
