/**
 * What a response to a validation says of a stored one (RFC 9111 §4.3.3-4.3.5), and whether parts are of one
 * representation (§3.4).
 */
import type { Milliseconds } from '../lib/clock.ts'
import type { Fields } from '../message/fields.ts'
import { CacheFlag, type CacheNumbers } from './cache-numbers.ts'
import { isEntityTag, isWeak, stronglyEqual, weaklyEqual } from './entity-tag.ts'
import { parseHttpDate } from './http-date.ts'
import type { StoredHead } from './stored-head.ts'

export type UpdateVerdict =
  /** It is about the stored response, which is updated by its fields (`updateHead`) and fresh again. */
  | 'Update'
  /** It is about another representation: the stored response is not used, and fetched anew without conditions. */
  | 'Mismatch'

/**
 * Whether a 304 is about the stored response by whose validators it was asked for (RFC 9111 §4.3.4). One that names no
 * validator is: nothing else was asked for.
 */
export function judgeNotModified(
  head: StoredHead,
  numbers: CacheNumbers,
  newer: Fields,
  now: Milliseconds,
): UpdateVerdict {
  const tags = newer.all('etag')
  if (tags.length > 0) return tags.every((tag) => selects(tag, head.etag)) ? 'Update' : 'Mismatch'
  const modified = newer.joined('last-modified')
  if (modified === undefined) return 'Update'
  const time = parseHttpDate(modified, now)
  return Number.isNaN(time) || time === numbers.lastModified ? 'Update' : 'Mismatch'
}

/**
 * Of several tags that a 304 states each has to be about the stored response, and one outside of the syntax, of which
 * nobody knows what it means, has to be that of the stored response byte by byte.
 */
function selects(tag: string, etag: string | undefined): boolean {
  if (etag === undefined || !isEntityTag(etag) || !isEntityTag(tag)) return tag === etag
  // A strong one selects what has the same strong one; a weak one what it weakly equals. The RFC lets a strong one
  // select nothing weak, but nginx answers so to the weak tag of what it has compressed: it means that response.
  return isWeak(tag) || isWeak(etag) ? weaklyEqual(etag, tag) : stronglyEqual(etag, tag)
}

/**
 * Whether a 304 that updates a stored response says a strong tag where that has a weak one: the bytes that are stored
 * are not what it identifies, so the tag stays weak.
 */
export function makesStrong({ etag }: StoredHead, newer: Fields): boolean {
  const tag = onlyTag(newer)
  return tag !== undefined && !isWeak(tag) && etag !== undefined && isWeak(etag)
}

/**
 * Whether a 200 to a HEAD is about the stored response to a GET (RFC 9111 §4.3.5): then it updates it; else the stored
 * one is stale from now on.
 *
 * @param length of the stored body
 */
export function judgeHead(
  head: StoredHead,
  numbers: CacheNumbers,
  length: number,
  newer: Fields,
  now: Milliseconds,
): UpdateVerdict {
  // What it announces, since it has no body: where that is no number, nothing.
  const announced = newer.joined('content-length')
  if (announced !== undefined && /^\d+$/.test(announced) && Number(announced) !== length) return 'Mismatch'
  const tags = newer.all('etag')
  if (tags.length > 1 || (tags.length === 1 && tags[0] !== head.etag)) return 'Mismatch'
  const modified = newer.joined('last-modified')
  return modified === undefined || parseHttpDate(modified, now) === numbers.lastModified ? 'Update' : 'Mismatch'
}

/**
 * Whether two responses are of one representation, byte by byte, so that their parts may be combined (RFC 9111 §3.4):
 * they share a strong validator.
 */
export function isSameRepresentation(
  head: StoredHead,
  numbers: CacheNumbers,
  newer: Fields,
  newerNumbers: CacheNumbers,
): boolean {
  const tag = onlyTag(newer)
  const { etag } = head
  // Where one has a tag and the other has none, or theirs differ, a date does not make them one.
  if (tag !== undefined || etag !== undefined)
    return tag !== undefined && etag !== undefined && isEntityTag(etag) && stronglyEqual(etag, tag)
  const strong = numbers.flags & newerNumbers.flags & CacheFlag.StrongLastModified
  return strong !== 0 && numbers.lastModified === newerNumbers.lastModified
}

/** Undefined where there is none, or several, or one outside of the syntax. */
function onlyTag(fields: Fields): string | undefined {
  const tags = fields.all('etag')
  return tags.length === 1 && isEntityTag(tags[0]!) ? tags[0] : undefined
}
