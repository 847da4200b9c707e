/** Where a part of a representation is stored: under the key of the whole, with the range behind it. */
import { type AskedRange, isAnswered, rangeText } from '../../cache/asked-range.ts'
import { KeyPart } from '../../cache/key.ts'
import type { Part } from '../../cache/partial-content.ts'
import { MAX_TAG } from '../../cache/parts-record.ts'
import { parseContentRange } from '../../cache/ranges.ts'
import type { EntryKey } from '../../cache/response-memory.ts'
import type { StoredHead } from '../../cache/stored-head.ts'
import type { Fields } from '../../message/fields.ts'
import { beginKey, KEY } from './request-key.ts'

export interface PartPlace {
  /** Of the key, up to where it is that of the whole. */
  readonly wholeLength: number
  /** Serial of what is under the key of the whole, 0: nothing is. */
  readonly wholeSeen: number
  /** Of the request. */
  readonly asked: AskedRange
  /** In the key. */
  readonly named: AskedRange
  /** ETag without which the part is of no use; absent: any version is. */
  readonly tag?: string
}

/** The key of a part, behind that of the whole in `KEY`. */
export function writePart(named: AskedRange): void {
  KEY.text(KeyPart.Part, rangeText(named))
}

/** The key of a part, whatever `KEY` was. @param named null: of the whole */
export function beginPart(whole: EntryKey, named: AskedRange | null): void {
  beginKey(whole)
  if (named !== null) writePart(named)
}

/** The key of the record of parts, behind that of the whole in `KEY`. */
export function writeParts(): void {
  KEY.text(KeyPart.Part, '')
}

/**
 * What a 206 has, that may be stored by its fields (`judgeStoring`).
 *
 * @param bodyLength undefined: nobody knows yet
 * @returns null: it is not what was asked for, does not say how long the whole is, or contradicts itself
 */
export function partIn({ asked }: PartPlace, fields: Fields, bodyLength: number | undefined): Part | null {
  const range = parseContentRange(fields.get('content-range') ?? '')
  if (range?.complete === undefined) return null
  const { first, last, complete } = range
  const part = { first, last, complete }
  if (bodyLength !== undefined && bodyLength !== last - first + 1) return null
  return isAnswered(asked, part) && (fields.get('etag')?.length ?? 0) <= MAX_TAG ? part : null
}

/** What a stored 206 has; null: it is none. */
export function partOf(head: StoredHead): Part | null {
  const range = head.status === 206 ? parseContentRange(head.contentRange ?? '') : undefined
  return range?.complete === undefined ? null : { first: range.first, last: range.last, complete: range.complete }
}
