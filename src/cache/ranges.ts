/**
 * Range requests (RFC 9110 §14) on a stored response: which bytes a client asks for, whether it gets them, and what the
 * stored bytes are a part of.
 */
import { withoutOws } from '../message/field-value.ts'
import type { Fields } from '../message/fields.ts'

/** Both ends belong to it. */
export interface ByteRange {
  readonly first: number
  readonly last: number
}

export type RangeAnswer =
  /** The whole, with 200: no range was asked for, or none that is served. */
  | { readonly type: 'Whole' }
  /** 416, with `Content-Range: bytes *\/length`. */
  | { readonly type: 'Unsatisfiable' }
  /** 206: in the order in which they were asked for, none overlapping another. */
  | { readonly type: 'Ranges'; readonly ranges: readonly ByteRange[] }

const WHOLE: RangeAnswer = Object.freeze({ type: 'Whole' })
const UNSATISFIABLE: RangeAnswer = Object.freeze({ type: 'Unsatisfiable' })

/** Whoever asks for more at once gets the whole (RFC 9110 §14.2: such requests are broken or an attack). */
export const MAX_RANGES = 32
/**
 * What a part of a multipart response takes besides its bytes: ranges with less between them are joined (§15.3.7.2).
 */
const PART_OVERHEAD = 160

const UNIT = /^bytes=/i
/** int-range or suffix-range. */
const SPEC = /^(?:(\d+)-(\d*)|-(\d+))$/

/** @param length of the whole representation. @param request of a GET whose `If-Range` allows a part */
export function rangesOf(request: Fields, length: number): RangeAnswer {
  const values = request.all('range')
  // Several Range fields contradict each other.
  return values.length === 1 ? parseRanges(values[0]!, length) : WHOLE
}

export function parseRanges(value: string, length: number): RangeAnswer {
  const unit = UNIT.exec(value)
  // RFC 9110 §14.2: a unit that is not understood is ignored.
  if (unit === null) return WHOLE
  const specs = value.slice(unit[0].length).split(',', 4 * MAX_RANGES)
  const ranges: ByteRange[] = []
  let asked = 0
  for (const spec of specs) {
    const text = withoutOws(spec)
    if (text === '') continue
    if (++asked > MAX_RANGES) return WHOLE
    const match = SPEC.exec(text)
    if (match === null) return WHOLE
    const range = resolve(match, length)
    if (range === undefined) return WHOLE
    if (range !== null) ranges.push(range)
  }
  if (asked === 0 || specs.length === 4 * MAX_RANGES) return WHOLE
  return ranges.length === 0 ? UNSATISFIABLE : { type: 'Ranges', ranges: joinNear(ranges) }
}

/**
 * @returns null: it cannot be satisfied; undefined: the whole is the answer, since the range is not valid (RFC 9110
 *   §14.1.1), or is all of nothing, which no Content-Range can say
 */
function resolve(match: RegExpExecArray, length: number): ByteRange | null | undefined {
  const [, from, to, suffix] = match
  if (suffix !== undefined) {
    const size = whole(suffix)
    if (size === 0) return null
    return length === 0 ? undefined : { first: Math.max(0, length - size), last: length - 1 }
  }
  if (to !== '' && isLess(to!, from!)) return undefined
  const first = whole(from!)
  const last = to === '' ? Number.MAX_SAFE_INTEGER : whole(to!)
  return first >= length ? null : { first, last: Math.min(last, length - 1) }
}

/** Numbers of any length: those beyond all lengths are the same to us. */
function whole(digits: string): number {
  return Math.min(Number(digits), Number.MAX_SAFE_INTEGER)
}

/** Of numbers of any length, exactly. */
function isLess(a: string, b: string): boolean {
  const [one, other] = [a.replace(/^0+/, ''), b.replace(/^0+/, '')]
  return one.length === other.length ? one < other : one.length < other.length
}

/** Joins those that overlap or are near each other, each at the place of the first of them (RFC 9110 §15.3.7.2). */
function joinNear(ranges: readonly ByteRange[]): readonly ByteRange[] {
  if (ranges.length === 1) return ranges
  const order = ranges.map((range, at) => ({ first: range.first, last: range.last, at }))
  order.sort((a, b) => a.first - b.first)
  const joined = [order[0]!]
  for (const range of order.slice(1)) {
    const before = joined.at(-1)!
    if (range.first > before.last + PART_OVERHEAD) joined.push(range)
    else {
      before.last = Math.max(before.last, range.last)
      before.at = Math.min(before.at, range.at)
    }
  }
  return joined.sort((a, b) => a.at - b.at).map(({ first, last }) => ({ first, last }))
}

/** What a `Content-Range` says (RFC 9110 §14.4). */
export interface ContentRange {
  readonly first: number
  readonly last: number
  /** Undefined where the sender does not know it. */
  readonly complete: number | undefined
}

const CONTENT_RANGE = /^bytes (\d{1,15})-(\d{1,15})\/(?:(\d{1,15})|\*)$/i

/** @returns undefined where it is none, or not one of a part */
export function parseContentRange(value: string): ContentRange | undefined {
  const match = CONTENT_RANGE.exec(value)
  if (match === null) return undefined
  const first = Number(match[1])
  const last = Number(match[2])
  const complete = match[3] === undefined ? undefined : Number(match[3])
  return last < first || (complete !== undefined && complete <= last) ? undefined : { first, last, complete }
}

export function contentRange({ first, last }: ByteRange, length: number): string {
  return `bytes ${first}-${last}/${length}`
}

/** Of a 416. */
export function unsatisfiedRange(length: number): string {
  return `bytes */${length}`
}
