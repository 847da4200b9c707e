/** Stored parts of a representation (RFC 9111 §3.3, §3.4): what a part covers, and what two parts are together. */
import type { Fields } from '../message/fields.ts'
import { encodeLines, keptLines, type Line, updatingLines } from './encode-head.ts'
import { type ByteRange, contentRange } from './ranges.ts'
import type { StoredHead } from './stored-head.ts'
import { CONTENT_DIGESTS } from './unstored-fields.ts'

/** One run of bytes of a representation whose whole length is known. */
export interface Part extends ByteRange {
  readonly complete: number
}

export function isWhole({ first, last, complete }: Part): boolean {
  return first === 0 && last === complete - 1
}

/** Whether all ranges that are asked for are in the part. */
export function covers(part: ByteRange, ranges: readonly ByteRange[]): boolean {
  return ranges.every(({ first, last }) => part.first <= first && last <= part.last)
}

/** Two parts as one: its bytes from `first` on are of the stored part where `own` says so, else of the newer one. */
export interface Combined extends Part {
  /** Which bytes stay those of the stored part: before the newer one, and behind it. */
  readonly stored: readonly ByteRange[]
}

/**
 * A stored part and a newer one of the same representation (`isSameRepresentation`) together. Where they overlap, the
 * newer bytes are used.
 *
 * @returns undefined: there is a gap between them, or they disagree on the length of the whole
 */
export function combine(stored: Part, newer: Part): Combined | undefined {
  if (stored.complete !== newer.complete) return undefined
  if (newer.first > stored.last + 1 || stored.first > newer.last + 1) return undefined
  const kept: ByteRange[] = []
  if (stored.first < newer.first) kept.push({ first: stored.first, last: newer.first - 1 })
  if (newer.last < stored.last) kept.push({ first: newer.last + 1, last: stored.last })
  const first = Math.min(stored.first, newer.first)
  const last = Math.max(stored.last, newer.last)
  return { first, last, complete: stored.complete, stored: kept }
}

const OF_ONE_PART: ReadonlySet<string> = new Set(['content-range', ...CONTENT_DIGESTS])

/**
 * The head of what {@link combine} yields: 200 once it is the whole, else 206 with what it covers. The fields of the
 * newer one take the place of the stored ones (RFC 9111 §3.4), and neither one's digest is of all bytes.
 *
 * @returns null: it is too large to be stored
 */
export function combineHead(
  stored: StoredHead,
  newer: Fields,
  part: Part,
  excluded: readonly string[],
  date: string,
): Buffer | null {
  const updating = updatingLines(newer, excluded)
  const both: readonly Line[] = [...keptLines(stored, updating, excluded), ...updating]
  const lines: Line[] = both.filter(({ name }) => !OF_ONE_PART.has(name))
  if (!isWhole(part)) lines.push({ name: 'content-range', value: contentRange(part, part.complete) })
  return encodeLines(isWhole(part) ? 200 : 206, lines, date)
}
