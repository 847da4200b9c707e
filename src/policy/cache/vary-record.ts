/** The names of fields that lead from a primary key to its variants, as they stand in the memory. */

/** Names are tokens in lower case, which have no space. */
export function encodeVary(names: readonly string[]): Buffer {
  return Buffer.from(names.join(' '), 'latin1')
}

/** Of the records that were read last: nearly all requests meet the same few. */
const KNOWN = new Map<string, readonly string[]>()
const MAX_KNOWN = 1_024

export function decodeVary(bytes: Buffer, start: number, length: number): readonly string[] {
  const text = bytes.latin1Slice(start, start + length)
  let names = KNOWN.get(text)
  if (names === undefined) {
    if (KNOWN.size >= MAX_KNOWN) KNOWN.clear()
    KNOWN.set(text, (names = text === '' ? [] : text.split(' ')))
  }
  return names
}
