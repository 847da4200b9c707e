/**
 * Which parts of a representation are stored: a record of them stands under a key of its own, each part under another
 * (RFC 9111 §3.3). All of them have one strong ETag and are of one length, or there is only one.
 */
import type { Milliseconds } from '../lib/clock.ts'
import type { AskedRange } from './asked-range.ts'
import { isStrongTag } from './entity-tag.ts'
import { covers } from './partial-content.ts'
import type { ByteRange } from './ranges.ts'

export interface ListedPart extends ByteRange {
  /** Names its key. */
  readonly asked: AskedRange
}

export interface PartsRecord {
  /** Bytes of the whole. */
  readonly complete: number
  /** ETag; one that is not strong, or empty where there is none, is of one part alone. */
  readonly tag: string
  /** When the newest of them was asked for: what was asked for before says nothing against it. */
  readonly sent: Milliseconds
  /** In the order in which they were stored. */
  readonly parts: readonly ListedPart[]
}

/** Of one representation; the first goes for another one. */
export const MAX_PARTS = 32
/** Longer ETags are not listed. */
export const MAX_TAG = 512

const HEAD_BYTES = 18
const PART_BYTES = 32

export function encodeParts({ complete, tag, sent, parts }: PartsRecord): Buffer {
  const bytes = Buffer.alloc(HEAD_BYTES + tag.length + parts.length * PART_BYTES)
  bytes.writeDoubleLE(complete, 0)
  bytes.writeDoubleLE(sent, 8)
  bytes.writeUInt16LE(tag.length, 16)
  bytes.latin1Write(tag, HEAD_BYTES)
  let at = HEAD_BYTES + tag.length
  for (const { first, last, asked } of parts) {
    at = bytes.writeDoubleLE(first, at)
    at = bytes.writeDoubleLE(last, at)
    at = bytes.writeDoubleLE(asked.first, at)
    at = bytes.writeDoubleLE(asked.last, at)
  }
  return bytes
}

/** @param start of what {@link encodeParts} wrote. @param length of all of it */
export function decodeParts(bytes: Buffer, start: number, length: number): PartsRecord {
  const rows = start + HEAD_BYTES + bytes.readUInt16LE(start + 16)
  const parts: ListedPart[] = []
  for (let at = rows; at + PART_BYTES <= start + length; at += PART_BYTES)
    parts.push({
      first: bytes.readDoubleLE(at),
      last: bytes.readDoubleLE(at + 8),
      asked: { first: bytes.readDoubleLE(at + 16), last: bytes.readDoubleLE(at + 24) },
    })
  const tag = bytes.latin1Slice(start + HEAD_BYTES, rows)
  return { complete: bytes.readDoubleLE(start), tag, sent: bytes.readDoubleLE(start + 8), parts }
}

/** The last one that has all of the ranges. */
export function partWith({ parts }: PartsRecord, ranges: readonly ByteRange[]): ListedPart | undefined {
  return parts.findLast((part) => covers(part, ranges))
}

/** A range of which some is stored: what of it is before and behind what is missing. */
export interface Missing {
  readonly before: ListedPart | null
  readonly after: ListedPart | null
  /** Null: nothing, two parts that touch have all of it. */
  readonly hole: ByteRange | null
}

/** @returns null: neither end of the range is stored */
export function missingOf({ parts }: PartsRecord, { first, last }: ByteRange): Missing | null {
  let before: ListedPart | null = null
  let after: ListedPart | null = null
  for (const part of parts) {
    if (part.first <= first && first <= part.last && part.last > (before?.last ?? -1)) before = part
    if (part.first <= last && last <= part.last && part.first < (after?.first ?? Number.POSITIVE_INFINITY)) after = part
  }
  if (before === null && after === null) return null
  const hole = { first: before === null ? first : before.last + 1, last: after === null ? last : after.first - 1 }
  return { before, after, hole: hole.first > hole.last ? null : hole }
}

/** Whether two parts are of one representation, byte by byte (RFC 9111 §3.4). */
export function sameTag(one: string, other: string): boolean {
  return isStrongTag(one) && one === other
}

export function sameAsked(one: AskedRange, other: AskedRange): boolean {
  return one.first === other.first && one.last === other.last
}
