/**
 * JSON whose objects have each member name once, as RFC 7515 §4 and RFC 7519 §4 want it of tokens: of two members with
 * one name two parsers may take a different one each, so one would check what the other does not use.
 */

/** Levels of objects and lists in one text. */
const MAX_DEPTH = 32

const QUOTE = 0x22
const BACKSLASH = 0x5c
const COLON = 0x3a
const OPEN_OBJECT = 0x7b
const CLOSE_OBJECT = 0x7d
const OPEN_LIST = 0x5b
const CLOSE_LIST = 0x5d

/** @returns undefined when the text is no JSON object, nested too deep, or names a member twice */
export function parseUniqueObject(text: string): Readonly<Record<string, unknown>> | undefined {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return undefined
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined
  return hasUniqueMembers(text) ? (value as Record<string, unknown>) : undefined
}

/** Of numbers of these names the size counts, not the digits. */
const TIMES: ReadonlySet<string> = new Set(['exp', 'nbf', 'iat', 'auth_time'])
/** Texts with numbers that may not be exact. */
const LONG_NUMBER = /[:[,]\s*-?\d(?:\d{15}|[\d.]*[eE])/
const INTEGER = /^-?\d+$/

/**
 * The claims of a token, as {@link parseUniqueObject}. Integers that a number of JavaScript does not hold, and what is
 * larger than all of them, are texts as they are written: rounded, two users would be one.
 */
export function parseClaims(text: string): Readonly<Record<string, unknown>> | undefined {
  const claims = parseUniqueObject(text)
  if (claims === undefined || !LONG_NUMBER.test(text)) return claims
  return JSON.parse(text, exactly as (name: string, value: unknown) => unknown) as Record<string, unknown>
}

function exactly(name: string, value: unknown, { source }: { readonly source?: string }): unknown {
  if (typeof value !== 'number' || Number.isSafeInteger(value) || TIMES.has(name)) return value
  return !Number.isFinite(value) || INTEGER.test(source!) ? source : value
}

/** @param text valid JSON */
function hasUniqueMembers(text: string): boolean {
  /** Names of the objects around the position; null for a list. */
  const open: (Set<string> | null)[] = []
  for (let i = 0; i < text.length; i++) {
    switch (text.charCodeAt(i)) {
      case OPEN_OBJECT:
      case OPEN_LIST:
        if (open.length === MAX_DEPTH) return false
        open.push(text.charCodeAt(i) === OPEN_OBJECT ? new Set() : null)
        break
      case CLOSE_OBJECT:
      case CLOSE_LIST:
        open.pop()
        break
      case QUOTE: {
        const end = endOfString(text, i)
        // A text that a colon follows is a name, and only objects have those.
        if (nextIsColon(text, end + 1)) {
          const names = open.at(-1)!
          // Compared as they are read: "\u0061" is "a".
          const name = JSON.parse(text.slice(i, end + 1)) as string
          if (names!.has(name)) return false
          names!.add(name)
        }
        i = end
      }
    }
  }
  return true
}

function endOfString(text: string, start: number): number {
  let i = start + 1
  while (text.charCodeAt(i) !== QUOTE) i += text.charCodeAt(i) === BACKSLASH ? 2 : 1
  return i
}

function nextIsColon(text: string, from: number): boolean {
  let i = from
  while (text.charCodeAt(i) <= 0x20) i++
  return text.charCodeAt(i) === COLON
}
