/**
 * Normalizes request paths (RFC 3986 §6.2.2 and api.md, "Paths"). Matching, filters and the upstream request use the
 * same normal form, so that the authorized path is the forwarded one. An ambiguous path, which two servers could
 * interpret differently, has no normal form and is rejected.
 */

export type PathMode = 'Strict' | 'KeepEncodedSlash'

const OK = 1
const SLASH = 2
const DOT = 4
const PERCENT = 8
/**
 * Characters that are not allowed in a path (RFC 3986 §2), yet sent by browsers and tools; they are escaped, which is
 * unambiguous.
 */
const UNWISE = 16

/**
 * Class of each ASCII character in a path: `pchar` of RFC 3986 §3.3, the slash and what is escaped; 0 = not allowed.
 */
const CLASS = new Uint8Array(128)
/** Characters that mean the same written out and percent-encoded (RFC 3986 §2.3), the dot included. */
const UNRESERVED = new Uint8Array(128)
for (const char of "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_~!$&'()*+,;=:@")
  CLASS[char.charCodeAt(0)] = OK
for (const char of '"<>[]^`{|}') CLASS[char.charCodeAt(0)] = UNWISE
CLASS[0x2f] = SLASH
CLASS[0x2e] = DOT
CLASS[0x25] = PERCENT
for (const char of 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~')
  UNRESERVED[char.charCodeAt(0)] = 1

/** Value of a hexadecimal digit, -1 for anything else (NaN included, which is what reading past the end gives). */
function hex(code: number): number {
  if (code >= 0x30 && code <= 0x39) return code - 0x30
  if (code >= 0x41 && code <= 0x46) return code - 0x37
  if (code >= 0x61 && code <= 0x66) return code - 0x57
  return -1
}

/**
 * @param path the target's path: from its first slash up to `?` or its end
 * @returns the normal form, the same string when there was nothing to do, or undefined when the path must be refused
 *   (400 `BadPath`)
 */
export function normalizePath(path: string, mode: PathMode): string | undefined {
  const length = path.length
  if (length === 0 || path.charCodeAt(0) !== 0x2f) return undefined
  let before = OK
  for (let i = 0; i < length; i++) {
    const code = path.charCodeAt(i)
    const kind = code < 128 ? CLASS[code]! : 0
    if (kind === OK) before = OK
    else if (kind === 0) return undefined
    // A percent sign, what must be escaped, two slashes, or a dot that begins a segment: only these can need work.
    else if (kind === PERCENT || kind === UNWISE || (kind !== OK && before === SLASH)) return rebuild(path, mode)
    else before = kind
  }
  return path
}

/**
 * The slow path of {@link normalizePath}. Segments are appended to a list, so that the cost is linear.
 */
function rebuild(path: string, mode: PathMode): string | undefined {
  const segments: string[] = []
  let start = 1
  while (true) {
    let end = path.indexOf('/', start)
    const last = end === -1
    if (last) end = path.length
    const segment = normalizeSegment(path, start, end, mode)
    if (segment === undefined) return undefined
    // `..` after a segment with an escaped slash is ambiguous: the slash may or may not be a boundary.
    if (segment === '..' && segments.pop()?.includes('%2F')) return undefined
    if (segment === '.' || segment === '..' || segment === '') {
      // Removing the last segment keeps the slash before it (RFC 3986 §5.2.4).
      if (last) return segments.length === 0 ? '/' : `/${segments.join('/')}/`
    } else {
      segments.push(segment)
      if (last) return `/${segments.join('/')}`
    }
    start = end + 1
  }
}

/** One segment with its escapes in normal form; undefined when it must be refused. */
function normalizeSegment(path: string, start: number, end: number, mode: PathMode): string | undefined {
  let text = ''
  let copied = start
  let escaped = false
  for (let i = start; i < end; i++) {
    const code = path.charCodeAt(i)
    const kind = code < 128 ? CLASS[code]! : 0
    if (kind === 0) return undefined
    if (kind === UNWISE) {
      text += `${path.slice(copied, i)}%${code.toString(16).toUpperCase()}`
      escaped = true
      copied = i + 1
      continue
    }
    if (kind !== PERCENT) continue
    const high = i + 2 < end ? hex(path.charCodeAt(i + 1)) : -1
    const low = i + 2 < end ? hex(path.charCodeAt(i + 2)) : -1
    if (high < 0 || low < 0) return undefined
    const byte = high * 16 + low
    if (byte === 0 || byte === 0x5c || (byte === 0x2f && mode === 'Strict')) return undefined
    text += path.slice(copied, i)
    if (byte < 128 && UNRESERVED[byte] === 1) text += String.fromCharCode(byte)
    else {
      text += path.slice(i, i + 3).toUpperCase()
      escaped = true
    }
    i += 2
    copied = i + 1
  }
  const segment = copied === start ? path.slice(start, end) : text + path.slice(copied, end)
  return mayStand(segment, escaped) ? segment : undefined
}

/**
 * A dot segment with parameters: `/..;a=1/` is `..` to servers that cut the parameters off before they resolve dots.
 */
const DOTS_WITH_PARAMETERS = /^\.\.?;/
/**
 * An escape of an escape, however deep, of a character that would be refused, or be a boundary, if a server decoded it
 * again.
 */
const ENCODED_AGAIN = /%25(?:25)*(?:2[Ff]|5[Cc]|00)/
const DEEP_ESCAPE = /%(?:25)+(?=[0-9A-Fa-f]{2})/g
const ESCAPE = /%(2[Ee]|2[Ff]|3[Bb])/g
/** A dot segment between the boundaries that a decoder would see. */
const DOT_SEGMENT = /(?:^|\/)\.\.?(?:[/;]|$)/

/**
 * Whether further decoding by a server cannot turn the segment into one that is rejected here.
 *
 * @param segment with escapes in normal form
 */
function mayStand(segment: string, escaped: boolean): boolean {
  if (segment.charCodeAt(0) === 0x2e && DOTS_WITH_PARAMETERS.test(segment)) return false
  if (!escaped) return true
  if (ENCODED_AGAIN.test(segment)) return false
  // Everything decoded that a server behind us could still decode: escaped slashes (KeepEncodedSlash), `%3B`, dots
  // escaped twice.
  const decoded = segment.replace(DEEP_ESCAPE, '%').replace(ESCAPE, (_, code: string) => DECODED[code.toUpperCase()]!)
  return decoded === segment || !DOT_SEGMENT.test(decoded)
}

const DECODED: Readonly<Record<string, string>> = { '2E': '.', '2F': '/', '3B': ';' }

/** Whether a path in normal form holds an escaped slash, which rules with `pathEncoding: Strict` must refuse. */
export function hasEncodedSlash(path: string): boolean {
  return path.includes('%2F')
}
