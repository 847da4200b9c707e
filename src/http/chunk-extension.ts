/**
 * Chunk extensions (RFC 9112 §7.1.1), byte by byte: `*( BWS ";" BWS name [ BWS "=" BWS ( token / quoted-string ) ] )`.
 * They mean nothing here and are not passed on; they are read by their grammar so that whoever reads the same bytes
 * elsewhere finds the same end of the line.
 */
import { CHARS, FIELD, TOKEN } from './chars.ts'

/** White space stands behind a size or an extension: only another one may follow. */
const BEFORE = 0
const NAME_START = 1
const NAME = 2
const NAME_END = 3
const VALUE_START = 4
const VALUE = 5
const QUOTED = 6
const ESCAPED = 7
const QUOTED_END = 8

/** The line may not go on like this. */
export const MALFORMED = -1
/** A CR ends the extensions here. */
export const LINE_END = -2

/** The state behind the first byte after a chunk size, or {@link MALFORMED}. */
export function beginExtension(byte: number): number {
  return step(BEFORE, byte)
}

/** @returns the next state, {@link LINE_END} or {@link MALFORMED} */
export function nextExtension(state: number, byte: number): number {
  switch (state) {
    case QUOTED:
      if (byte === 0x22) return QUOTED_END
      if (byte === 0x5c) return ESCAPED
      return CHARS[byte]! & FIELD ? QUOTED : MALFORMED
    case ESCAPED:
      return CHARS[byte]! & FIELD ? QUOTED : MALFORMED
    case NAME:
    case VALUE:
      return CHARS[byte]! & TOKEN ? state : step(state, byte)
    case NAME_START:
    case VALUE_START:
      if (CHARS[byte]! & TOKEN) return state + 1
      if (byte === 0x22 && state === VALUE_START) return QUOTED
      return isBlank(byte) ? state : MALFORMED
    default:
      return step(state, byte)
  }
}

/** What may follow a size, a name or a value. */
function step(state: number, byte: number): number {
  const named = state === NAME || state === NAME_END
  if (byte === 0x3b) return NAME_START
  if (byte === 0x3d) return named ? VALUE_START : MALFORMED
  if (isBlank(byte)) return named ? NAME_END : BEFORE
  return byte === 0x0d && (state === NAME || state === VALUE || state === QUOTED_END) ? LINE_END : MALFORMED
}

function isBlank(byte: number): boolean {
  return byte === 0x20 || byte === 0x09
}
