/**
 * Bytes of plain data on a heap of 64 bits with compact strings, about. Without recursion: what is read may be nested
 * as deep as its text is long.
 */
export function heapSize(value: unknown): number {
  if (typeof value === 'string') return 24 + value.length
  if (typeof value !== 'object' || value === null) return 8
  let bytes = 0
  const open: object[] = [value]
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    bytes += 48
    for (const part of Object.values(next)) {
      bytes += 16
      if (typeof part === 'string') bytes += 24 + part.length
      else if (typeof part === 'object' && part !== null) open.push(part)
      else bytes += 8
    }
  }
  return bytes
}
