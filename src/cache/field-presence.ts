/**
 * Which of the fields that the rules ask for a message has, found in one pass over its names: most are absent, and to
 * look for each of them costs as much as to read the few that are there.
 */
import type { Fields } from '../message/fields.ts'
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

const BITS: ReadonlyMap<string, number> = new Map([
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

interface KnownName {
  readonly name: string
  readonly bit: number
}

const BY_LENGTH: readonly (readonly KnownName[] | undefined)[] = (() => {
  const table: (KnownName[] | undefined)[] = Array.from({ length: 32 }, () => undefined)
  for (const [name, bit] of BITS) (table[name.length] ??= []).push({ name, bit })
  return table
})()

/** @returns the bits of the fields that are sent, removed ones left out */
export function presenceIn(fields: Fields): number {
  let bits = 0
  for (let i = 0; i < fields.count; i++) {
    const length = fields.nameLength(i)
    const names = length < BY_LENGTH.length ? BY_LENGTH[length] : undefined
    if (names !== undefined) bits |= bitOf(fields, i, names)
  }
  const { added } = fields
  if (added !== null) for (let i = 0; i < added.length; i += 2) bits |= BITS.get(added[i]!) ?? 0
  return bits
}

function bitOf(fields: Fields, index: number, names: readonly KnownName[]): number {
  for (let i = 0; i < names.length; i++) {
    const { name, bit } = names[i]!
    if (fields.nameIs(index, name)) return fields.isRemoved(index) ? 0 : bit
  }
  return 0
}
