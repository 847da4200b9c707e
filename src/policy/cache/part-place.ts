/** Where a part of a representation is stored: under the key of the whole, with the range behind it. */
import { type AskedRange, isAnswered, rangeText } from '../../cache/asked-range.ts'
import { CacheFlag, type CacheNumbers } from '../../cache/cache-numbers.ts'
import { KeyPart } from '../../cache/key.ts'
import type { Part } from '../../cache/partial-content.ts'
import { MAX_TAG } from '../../cache/parts-record.ts'
import { parseContentRange } from '../../cache/ranges.ts'
import { type EntryKey, EntryKind, type Fill } from '../../cache/response-memory.ts'
import { usefulUntil } from '../../cache/reuse.ts'
import type { StoredHead } from '../../cache/stored-head.ts'
import { writeVariant } from '../../cache/vary.ts'
import type { Milliseconds } from '../../lib/clock.ts'
import type { Fields } from '../../message/fields.ts'
import { FOREVER, fillOf, keyCopy, recordOf, type VariantPlace } from './claims.ts'
import { KEY, type KeyRule } from './request-key.ts'
import { encodeVary } from './vary-record.ts'

export interface PartPlace {
  /** Of the key, up to where it is that of the whole. */
  readonly wholeLength: number
  /** Serial of what is under the key of the whole, 0: nothing is. */
  readonly wholeSeen: number
  /** Of the request. */
  readonly asked: AskedRange
  /** In the key. */
  readonly named: AskedRange
}

/** Whose parts they are. */
export interface WholeKey {
  readonly rule: KeyRule
  /** Of the whole. */
  readonly key: EntryKey
}

export interface NewPart extends Part {
  readonly named: AskedRange
  readonly tag: string
  readonly sent: Milliseconds
  /** Of no use behind this time. */
  readonly until: Milliseconds
}

/** The key of a part, behind that of the whole in `KEY`. */
export function writePart(named: AskedRange): void {
  KEY.text(KeyPart.Part, rangeText(named))
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
  return isAnswered(asked, part) && fields.get('etag')!.length <= MAX_TAG ? part : null
}

/** What a stored 206 has; null: it is none. */
export function partOf(head: StoredHead): Part | null {
  const range = head.status === 206 ? parseContentRange(head.contentRange ?? '') : undefined
  return range?.complete === undefined ? null : { first: range.first, last: range.last, complete: range.complete }
}

/** @param place under the key of which it is stored. @param fields of the response */
export function newPart(
  { first, last, complete }: Part,
  { named }: PartPlace,
  fields: Fields,
  sent: Milliseconds,
  numbers: CacheNumbers,
): NewPart {
  return { first, last, complete, named, tag: fields.get('etag') ?? '', sent, until: usefulUntil(numbers) }
}

/** Of a 206 that has all bytes: it is stored as a 200. */
export function becomeWhole(numbers: CacheNumbers): void {
  numbers.status = 200
  numbers.flags &= ~CacheFlag.Partial
}

/**
 * As `toVariant`, of a part: the record of names goes under the primary key, and who waits looks again.
 *
 * @param fill the claim of the part without a variant
 */
export function toPartVariant(
  fill: Fill,
  { memory, rule, primary, names: known, recordSerial, began, fields }: VariantPlace,
  { named, wholeSeen }: PartPlace,
  names: readonly string[],
): { readonly fill: Fill | null; readonly whole: EntryKey } {
  KEY.begin(primary.bytes.subarray(0, primary.length))
  writeVariant(KEY, names, fields)
  const whole = keyCopy()
  writePart(named)
  const variant = KEY.tooLong ? null : fillOf(memory.begin(KEY, rule.namespace, 0))
  const record = recordOf(EntryKind.Vary, encodeVary(names), FOREVER, began)
  fillOf(memory.begin(primary, rule.namespace, known === null ? wholeSeen : recordSerial))?.record(record)
  fill.withdraw()
  return { fill: variant, whole }
}
