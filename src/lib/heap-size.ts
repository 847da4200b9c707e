/** What plain data takes on a heap of 64 bits. */

/**
 * Objects of the API have no more names than this, all of them the same ones. Further names, and longer ones, are those
 * of a map, such as annotations: each is a text of its own.
 */
const SHARED_NAMES = 24
const SHARED_NAME = 32

const WIDE = /[^\x00-\xff]/

/**
 * Bytes of plain data, about. Without recursion: what is read may be nested as deep as its text is long. Reads each
 * text, of which one remains where it was put together of many.
 */
export function heapSize(value: unknown): number {
  if (typeof value === 'string') return textSize(value)
  if (typeof value !== 'object' || value === null) return 8
  let bytes = 0
  const open: object[] = [value]
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    bytes += 48
    if (!Array.isArray(next)) bytes += namesSize(next)
    for (const part of Object.values(next)) {
      bytes += 16
      if (typeof part === 'string') bytes += textSize(part)
      else if (typeof part === 'object' && part !== null) open.push(part)
      else bytes += 8
    }
  }
  return bytes
}

/** Bytes of a text, which takes two for each character where one is not in Latin-1. */
export function textSize(text: string): number {
  return 24 + (WIDE.test(text) ? 2 : 1) * text.length
}

function namesSize(object: object): number {
  let bytes = 0
  let left = SHARED_NAMES
  for (const name of Object.keys(object)) if (--left < 0 || name.length > SHARED_NAME) bytes += textSize(name)
  return bytes
}
