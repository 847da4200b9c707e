/**
 * What a client gets of a stored response that may be served to it: the whole, a part, several parts, or that it has it
 * already (RFC 9110 §13.2.2: preconditions come before ranges).
 */
import type { Milliseconds } from '../lib/clock.ts'
import type { Fields } from '../message/fields.ts'
import type { CacheNumbers } from './cache-numbers.ts'
import type { Multipart } from './multipart.ts'
import { covers, type Part } from './partial-content.ts'
import { allowsRange, conditionsOf, judgePreconditions } from './preconditions.ts'
import { type ByteRange, contentRange, rangesOf, unsatisfiedRange } from './ranges.ts'
import type { StoredHead } from './stored-head.ts'
import { CONTENT_DIGESTS } from './unstored-fields.ts'

export type Answer =
  /** As it is stored, with its own status. */
  | { readonly type: 'Whole' }
  | { readonly type: 'NotModified' }
  /** 206: one range as it is, several as `multipart/byteranges`. */
  | { readonly type: 'Parts'; readonly ranges: readonly ByteRange[] }
  /** 416. */
  | { readonly type: 'Unsatisfiable' }
  /** The request is sent on as it is, since only the origin can decide. */
  | { readonly type: 'Forward' }
  /** What is stored is a part, and not all that is asked for: `fwd=partial`. */
  | { readonly type: 'Missing' }

const WHOLE: Answer = Object.freeze({ type: 'Whole' })
const NOT_MODIFIED: Answer = Object.freeze({ type: 'NotModified' })
const FORWARD: Answer = Object.freeze({ type: 'Forward' })
const MISSING: Answer = Object.freeze({ type: 'Missing' })

/** What is known of the stored response. */
export interface Stored {
  readonly head: StoredHead
  readonly numbers: CacheNumbers
  /** Of the whole representation; undefined while it is filled and nobody knows. */
  readonly length: number | undefined
  /** What is stored of it; null: all. */
  readonly part: Part | null
}

export function judgeAnswer(method: string, request: Fields, stored: Stored, now: Milliseconds): Answer {
  const { head, numbers, length, part } = stored
  if (part === null && conditionsOf(request) === 0) return WHOLE
  const verdict = judgePreconditions(method, request, head, numbers, now)
  if (verdict === 'Forward') return FORWARD
  if (verdict === 'NotModified') return NOT_MODIFIED
  const whole = part === null ? WHOLE : MISSING
  // Ranges are of GET alone (RFC 9110 §14.2), and of a 200.
  if (method !== 'GET' || length === undefined || (head.status !== 200 && part === null)) return whole
  if (!request.has('range') || !allowsRange(request, head, numbers, now)) return whole
  const asked = rangesOf(request, length)
  if (asked.type === 'Whole') return whole
  if (asked.type === 'Unsatisfiable') return asked
  return part === null || covers(part, asked.ranges) ? { type: 'Parts', ranges: asked.ranges } : MISSING
}

/**
 * Fields of a 304 (RFC 9110 §15.4.5) out of those of the stored response: what describes the representation is left
 * out, which the client has.
 */
export function toNotModified(head: StoredHead, fields: Fields): void {
  head.withoutRepresentation(fields)
}

/**
 * Fields of a 206 (RFC 9110 §15.3.7) out of those of the stored response.
 *
 * @param multipart null where it is one range
 * @param ifRange the request has it, so that the client knows the rest
 */
export function toParts(
  head: StoredHead,
  fields: Fields,
  ranges: readonly ByteRange[],
  length: number,
  multipart: Multipart | null,
  ifRange: boolean,
): void {
  fields.remove('content-range')
  if (ifRange) head.withoutRepresentation(fields)
  // §15.3.7.2: of several parts each says its own, and the whole must not.
  if (multipart !== null) fields.set('content-type', multipart.contentType)
  else fields.add('content-range', contentRange(ranges[0]!, length))
}

/** Digests of the stored bytes, from a response with others. */
export function withoutContentDigests(fields: Fields): void {
  for (const name of CONTENT_DIGESTS) fields.remove(name)
}

/** The field of a 416 that says how long the representation is (RFC 9110 §15.5.17). */
export function toUnsatisfiable(fields: Fields, length: number): void {
  fields.set('content-range', unsatisfiedRange(length))
}
