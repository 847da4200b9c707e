/** What becomes of the response to a request for a part: as what it is stored, and under which claim. */
import type { AskedRange } from '../../cache/asked-range.ts'
import { CacheFlag, type CacheNumbers } from '../../cache/cache-numbers.ts'
import type { Part } from '../../cache/partial-content.ts'
import type { EntryKey, Fill } from '../../cache/response-memory.ts'
import { usefulUntil } from '../../cache/reuse.ts'
import type { Milliseconds } from '../../lib/clock.ts'
import type { Fields } from '../../message/fields.ts'
import { beginVariant, claimNew, keyCopy, type NoFill, recordNames, type VariantPlace } from './claims.ts'
import { type PartPlace, writePart } from './part-place.ts'
import type { KeyRule } from './request-key.ts'

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
  place: VariantPlace,
  { named, wholeSeen }: PartPlace,
  names: readonly string[],
): { readonly fill: Fill | NoFill; readonly whole: EntryKey } {
  beginVariant(place, names)
  const whole = keyCopy()
  writePart(named)
  const variant = claimNew(place)
  recordNames(place, names, place.names === null ? wholeSeen : place.recordSerial)
  fill.withdraw()
  return { fill: variant, whole }
}
