/** Converts paths of manifests to the normal form of request paths. */
import { normalizePath } from './path.ts'

export type ManifestPath = { readonly path: string } | { readonly fault: string }

/** Characters that clients percent-encode in a path, as UTF-8 (WHATWG URL, "path percent-encode set"). */
const ENCODED_BY_CLIENTS = /[ \x7f-\u{10ffff}]+/gu
const CONTROL = /[\x00-\x1f]/
const LONE_PERCENT = /%(?![0-9A-Fa-f]{2})/

/**
 * Returns the normal form of the requests for a path, which may contain blanks and non-ASCII characters.
 *
 * @returns or why no request can have this path, as a clause
 */
export function requestPath(written: string): ManifestPath {
  const fault = faultOf(written)
  if (fault !== undefined) return { fault }
  const path = normalizePath(written.replace(ENCODED_BY_CLIENTS, encodeURIComponent), 'KeepEncodedSlash')
  if (path !== undefined) return { path }
  return {
    fault:
      'requests with an escaped backslash or NUL, a dot segment with parameters, or one of these escaped twice are refused',
  }
}

function faultOf(written: string): string | undefined {
  if (!written.startsWith('/')) return 'a path begins with a slash'
  if (written.includes('?'))
    return 'a "?" begins the query, which is not part of the path (the character itself is %3F)'
  if (written.includes('#')) return 'a "#" begins the fragment, which clients do not send (the character itself is %23)'
  if (written.includes('\\')) return 'requests with a backslash are refused'
  if (LONE_PERCENT.test(written))
    return 'a "%" is followed by two hexadecimal digits in every request (the character itself is %25)'
  if (CONTROL.test(written) || !written.isWellFormed()) return 'it holds a character that no client can send'
  return undefined
}

/**
 * Characters that a path in normal form never contains: clients or the normalization encode them, or they end the path.
 */
const NEVER = /[\x00-\x20"#<>?[\\\]^`{|}\x7f-\uffff]/

/**
 * Finds a character that a regular expression requires and that no path in normal form contains. Character classes are
 * skipped, because classes that exclude such a character are common.
 *
 * @param pattern RE2, valid
 * @returns why it cannot match a path, as a clause
 */
export function unmatchablePattern(pattern: string): string | undefined {
  for (let i = 0; i < pattern.length; i++) {
    const char = pattern[i]!
    if (char === '[') {
      i = endOfClass(pattern, i)
      continue
    }
    if (char === '(') {
      // Skips the name of a group, or its flags.
      i += GROUP.exec(pattern.slice(i))![0].length - 1
      continue
    }
    const escaped = char === '\\'
    if (escaped && pattern.startsWith('\\Q', i)) return undefined
    const literal = escaped ? (pattern[++i] ?? '') : char
    // An escaped letter or digit is a class, an assertion or a code.
    if (escaped ? /[0-9A-Za-z]/.test(literal) : META.has(literal)) {
      if (escaped && /[pPx]/.test(literal) && pattern[i + 1] === '{') i = pattern.indexOf('}', i)
      continue
    }
    if (char === '{' || !NEVER.test(literal)) continue
    return `no path holds ${JSON.stringify(literal)} as it stands: ${insteadOf(literal, pattern, i)}`
  }
  return undefined
}

/** Unescaped, these are metacharacters. */
const META: ReadonlySet<string> = new Set('[]{}()|^$.*+?')

const GROUP = /^\((?:\?(?:P?<[^>]*>|[A-Za-z-]*:?))?/

function endOfClass(pattern: string, start: number): number {
  // A leading bracket is a member.
  let i = pattern[start + 1] === '^' ? start + 2 : start + 1
  if (pattern[i] === ']') i++
  for (; i < pattern.length && pattern[i] !== ']'; i++)
    if (pattern[i] === '\\') i++
    else if (pattern.startsWith('[:', i)) i = Math.max(i, pattern.indexOf(':]', i) + 1)
  return i
}

function insteadOf(literal: string, pattern: string, at: number): string {
  if (literal === '?') return 'it begins the query, which queryParams match'
  if (literal === '#') return 'it begins the fragment, which clients do not send'
  const whole = String.fromCodePoint(pattern.codePointAt(at) ?? 0)
  const encoded = whole.isWellFormed() ? encodeURIComponent(whole) : ''
  return encoded.startsWith('%') ? `requests arrive percent-encoded, so write ${encoded}` : 'no client can send it'
}
