/** What kinds of fields there are to HPACK and HTTP/2, and the rules for their bytes (RFC 9113 §8.2, §8.3). */
import { CHARS, DIGIT, FIELD, TARGET, TOKEN } from './chars.ts'

export const REGULAR = 0
export const AUTHORITY = 1
export const METHOD = 2
export const PATH = 3
export const SCHEME = 4
export const STATUS = 5
export const PROTOCOL = 6
/** A pseudo-header field that is not defined (RFC 9113 §8.3). */
export const UNDEFINED_PSEUDO = 7
export const COOKIE = 8
/** Its name is no token, or not in lower case (RFC 9113 §8.2.1). */
export const BAD_NAME = 9

/** One of the constants above. */
export type NameKind = number

export function isPseudo(kind: NameKind): boolean {
  return kind >= AUTHORITY && kind <= UNDEFINED_PSEUDO
}

const PSEUDO_NAMES: readonly (readonly [string, NameKind])[] = [
  [':authority', AUTHORITY],
  [':method', METHOD],
  [':path', PATH],
  [':scheme', SCHEME],
  [':status', STATUS],
  [':protocol', PROTOCOL],
]

const COLON = 0x3a
const SP = 0x20
const HTAB = 0x09

export function kindOfName(bytes: Uint8Array, start: number, end: number): NameKind {
  if (start === end) return BAD_NAME
  if (bytes[start] === COLON) {
    for (const [name, kind] of PSEUDO_NAMES) if (spells(bytes, start, end, name)) return kind
    return UNDEFINED_PSEUDO
  }
  for (let at = start; at < end; at++) {
    const byte = bytes[at]!
    if (!(CHARS[byte]! & TOKEN) || (byte >= 0x41 && byte <= 0x5a)) return BAD_NAME
  }
  return end - start === 6 && spells(bytes, start, end, 'cookie') ? COOKIE : REGULAR
}

function spells(bytes: Uint8Array, start: number, end: number, name: string): boolean {
  if (end - start !== name.length) return false
  for (let i = 0; i < name.length; i++) if (bytes[start + i] !== name.charCodeAt(i)) return false
  return true
}

/** Of the bytes of a value, by the kind of its name. */
const VALUE_BYTES: readonly number[] = [FIELD, TARGET, TOKEN, TARGET, TOKEN, DIGIT, TOKEN, FIELD, FIELD, FIELD]

/**
 * Whether a field of this kind may have the value: no control byte, and no white space around it (RFC 9113 §8.2.1). The
 * values of pseudo-header fields go into request lines, so they are held to what may stand there.
 */
export function isValueOf(kind: NameKind, bytes: Uint8Array, start: number, end: number): boolean {
  const allowed = VALUE_BYTES[kind]!
  for (let at = start; at < end; at++) if (!(CHARS[bytes[at]!]! & allowed)) return false
  if (start === end) return kind === AUTHORITY || !isPseudo(kind)
  if (kind === STATUS) return end - start === 3
  return !isBlank(bytes[start]!) && !isBlank(bytes[end - 1]!)
}

function isBlank(byte: number): boolean {
  return byte === SP || byte === HTAB
}
