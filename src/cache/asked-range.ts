/** A request for one range of bytes: how it is asked for, and which partial responses answer it (RFC 9110 §14). */
import type { Fields } from '../message/fields.ts'
import type { Part } from './partial-content.ts'

/** As it is asked for: of which length the representation is need not be known. */
export interface AskedRange {
  /** -1: the last bytes, as many as {@link last} says. */
  readonly first: number
  /** -1: up to the end. */
  readonly last: number
}

/** Numbers of more digits are no offsets of anything that is stored. */
const ONE_RANGE = /^bytes=(?:(\d{1,15})-(\d{1,15})?|-(\d{1,15}))$/i

/** @returns undefined: it asks for no range, for several, or for one that nothing can satisfy */
export function askedRange(request: Fields): AskedRange | undefined {
  const values = request.all('range')
  const match = values.length === 1 ? ONE_RANGE.exec(values[0]!) : null
  if (match === null) return undefined
  const [, from, to, suffix] = match
  if (suffix !== undefined) return Number(suffix) === 0 ? undefined : { first: -1, last: Number(suffix) }
  const first = Number(from)
  const last = to === undefined ? -1 : Number(to)
  return last !== -1 && last < first ? undefined : { first, last }
}

/** As a range-spec: `0-99`, `100-`, `-5`. */
export function rangeText({ first, last }: AskedRange): string {
  return first === -1 ? `-${last}` : last === -1 ? `${first}-` : `${first}-${last}`
}

/**
 * Whether a 206 with this part answers the request: it begins where that was to begin, and has nothing behind it. An
 * origin may send less than it was asked for (RFC 9110 §15.3.7).
 */
export function isAnswered({ first, last }: AskedRange, part: Part): boolean {
  if (first === -1) return part.first === Math.max(0, part.complete - last)
  return part.first === first && (last === -1 || part.last <= last)
}
