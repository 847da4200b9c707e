/**
 * Conditional requests on a stored response (RFC 9110 §13, RFC 9111 §4.3.2): what a cache may decide itself, in the
 * order of §13.2.2. They are judged only once the response may be served at all: it is fresh, or validated, or may be
 * stale.
 */
import type { Milliseconds } from '../lib/clock.ts'
import type { Fields } from '../message/fields.ts'
import { CacheFlag, type CacheNumbers } from './cache-numbers.ts'
import { isEntityTag, listHasWeakly, stronglyEqual } from './entity-tag.ts'
import { FieldNumbers } from './field-numbers.ts'
import { parseHttpDate } from './http-date.ts'
import type { StoredHead } from './stored-head.ts'

export type PreconditionVerdict =
  /** There is none, or none holds the response back. */
  | 'Proceed'
  /** 304: the client has it. */
  | 'NotModified'
  /** Only the origin can decide: the request is sent on as it is, and what is stored is not used for it. */
  | 'Forward'

/** Bits of {@link conditionsOf}. */
export const Condition = {
  IfMatch: 1,
  IfUnmodifiedSince: 2,
  IfNoneMatch: 4,
  IfModifiedSince: 8,
  Range: 16,
  IfRange: 32,
} as const

/** Conditions that only the origin can judge (RFC 9111 §4.3.2). */
const FOR_ORIGIN = Condition.IfMatch | Condition.IfUnmodifiedSince

const CONDITIONS = new FieldNumbers(
  new Map([
    ['if-match', Condition.IfMatch],
    ['if-unmodified-since', Condition.IfUnmodifiedSince],
    ['if-none-match', Condition.IfNoneMatch],
    ['if-modified-since', Condition.IfModifiedSince],
    ['range', Condition.Range],
    ['if-range', Condition.IfRange],
  ]),
)

/** Which conditions a request has: nearly all have none. */
export function conditionsOf(request: Fields): number {
  return CONDITIONS.in(request)
}

/** Fields of conditional requests and ranges, which a request that validates or fills a store does not pass on. */
export const CONDITION_FIELDS: readonly string[] = ['if-none-match', 'if-modified-since', 'if-range', 'range']

/** Whether it has a condition that is for the origin alone: `If-Match`, `If-Unmodified-Since` (RFC 9111 §4.3.2). */
export function isForOrigin(request: Fields): boolean {
  return (conditionsOf(request) & FOR_ORIGIN) !== 0
}

export function judgePreconditions(
  method: string,
  request: Fields,
  head: StoredHead,
  numbers: CacheNumbers,
  now: Milliseconds,
): PreconditionVerdict {
  const conditions = conditionsOf(request)
  if (conditions === 0) return 'Proceed'
  if ((conditions & FOR_ORIGIN) !== 0) return 'Forward'
  // RFC 9110 §13.2.1: they are ignored where the response without them is neither 2xx nor 412.
  if (head.status < 200 || head.status > 299) return 'Proceed'
  if ((conditions & Condition.IfNoneMatch) !== 0)
    return hasTag(request.joined('if-none-match') ?? '', head) ? 'NotModified' : 'Proceed'
  // §13.1.3: of any other method it is ignored.
  if (method !== 'GET' && method !== 'HEAD') return 'Proceed'
  if ((conditions & Condition.IfModifiedSince) === 0) return 'Proceed'
  const time = parseHttpDate(request.joined('if-modified-since') ?? '', now)
  // What cannot be read is NaN, which nothing is earlier than.
  return lastChange(numbers) <= time ? 'NotModified' : 'Proceed'
}

/** @param tags of `If-None-Match`: `*` is any representation (§13.1.2) */
function hasTag(tags: string, head: StoredHead): boolean {
  if (tags === '*') return true
  const { etag } = head
  return etag !== undefined && isEntityTag(etag) && listHasWeakly(tags, etag)
}

/** RFC 9111 §4.3.2: its Last-Modified, else its Date, which is when it was received where it had none. */
function lastChange({ lastModified, date }: CacheNumbers): number {
  return Number.isNaN(lastModified) ? date : lastModified
}

/**
 * Whether a range of the stored response may be served (RFC 9110 §13.1.5): the client's part and ours have to be of one
 * representation, byte by byte. Where not, the whole is served.
 */
export function allowsRange(request: Fields, head: StoredHead, numbers: CacheNumbers, now: Milliseconds): boolean {
  const values = request.all('if-range')
  if (values.length === 0) return true
  const [validator] = values
  if (values.length > 1 || validator === undefined) return false
  if (isEntityTag(validator)) {
    const { etag } = head
    return etag !== undefined && stronglyEqual(etag, validator)
  }
  const strong = (numbers.flags & CacheFlag.StrongLastModified) !== 0
  // A date only matches exactly, not as a bound.
  return strong && parseHttpDate(validator, now) === numbers.lastModified
}

/** Takes the client's conditions and range out of a request, so that its response is a whole one. */
export function dropConditions(request: Fields): void {
  for (const name of CONDITION_FIELDS) request.remove(name)
}

/**
 * Makes a request one that validates a stored response (RFC 9111 §4.3.1). The conditions of the client are taken out:
 * they are judged on the stored response once it is validated.
 *
 * @returns false: it has no validator, and the request asks for a whole response
 */
export function addValidators(request: Fields, head: StoredHead, numbers: CacheNumbers): boolean {
  dropConditions(request)
  const { etag, lastModified } = head
  let some = false
  if (etag !== undefined && isEntityTag(etag)) {
    request.set('if-none-match', etag)
    some = true
  }
  if (lastModified !== undefined && !Number.isNaN(numbers.lastModified)) {
    request.set('if-modified-since', lastModified)
    some = true
  }
  return some
}
