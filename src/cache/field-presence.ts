/** Which of the fields that the rules ask for a message has. */
import type { Fields } from '../message/fields.ts'
import { FieldNumbers } from './field-numbers.ts'
import { DEFAULT_TARGETS } from './targeted-fields.ts'

/** Bits of {@link presenceIn}. */
export const Present = {
  CacheControl: 1 << 0,
  /** One of those that come before Cache-Control (RFC 9213), see `targeted-fields.ts`. */
  Targeted: 1 << 1,
  ContentRange: 1 << 2,
  /** Also the one of RFC 2965. */
  SetCookie: 1 << 3,
  Vary: 1 << 4,
  Date: 1 << 5,
  LastModified: 1 << 6,
  Age: 1 << 7,
  Expires: 1 << 8,
  ETag: 1 << 9,
  Connection: 1 << 10,
  CacheGroups: 1 << 11,
  /** Of requests. */
  Authorization: 1 << 12,
  Cookie: 1 << 13,
} as const

/** By name, in lower case. */
export const PRESENCE: ReadonlyMap<string, number> = new Map([
  ['cache-control', Present.CacheControl],
  ...DEFAULT_TARGETS.map((name) => [name, Present.Targeted] as const),
  ['content-range', Present.ContentRange],
  ['set-cookie', Present.SetCookie],
  ['set-cookie2', Present.SetCookie],
  ['vary', Present.Vary],
  ['date', Present.Date],
  ['last-modified', Present.LastModified],
  ['age', Present.Age],
  ['expires', Present.Expires],
  ['etag', Present.ETag],
  ['connection', Present.Connection],
  ['cache-groups', Present.CacheGroups],
  ['authorization', Present.Authorization],
  ['cookie', Present.Cookie],
])
const FIELDS = new FieldNumbers(PRESENCE)

/** @returns the bits of the fields that are sent, removed ones left out */
export function presenceIn(fields: Fields): number {
  return FIELDS.in(fields)
}
