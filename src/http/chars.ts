/** Byte classes of HTTP/1.1 as bit flags in one table, so that a parser's inner loop is one load and one mask. */

/** RFC 9110 §5.6.2 tchar. */
export const TOKEN = 1
/** RFC 9110 §5.5: VCHAR, obs-text, SP, HTAB. */
export const FIELD = 2
/** Visible ASCII but `#`: a fragment is never sent (RFC 9112 §3.2). The path's own grammar is stricter. */
export const TARGET = 4
export const DIGIT = 8
export const HEX = 16

export const CHARS = new Uint8Array(256)

for (const char of "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
  CHARS[char.charCodeAt(0)]! |= TOKEN
for (let byte = 0; byte < 256; byte++) {
  if (byte === 0x09 || (byte >= 0x20 && byte !== 0x7f)) CHARS[byte]! |= FIELD
  if (byte > 0x20 && byte < 0x7f && byte !== 0x23) CHARS[byte]! |= TARGET
  if (byte >= 0x30 && byte <= 0x39) CHARS[byte]! |= DIGIT | HEX
  if ((byte >= 0x41 && byte <= 0x46) || (byte >= 0x61 && byte <= 0x66)) CHARS[byte]! |= HEX
}

const TOKEN_TEXT = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/

export function isToken(text: string): boolean {
  return TOKEN_TEXT.test(text)
}
