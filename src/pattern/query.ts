/**
 * Finds single parameters of a query, without a map of all parameters, so that a query with thousands of them costs
 * little. The query itself is forwarded unchanged.
 */

/**
 * Whether a query may be passed on: every visible ASCII character except `#`. RFC 3986 §3.4 is narrower, but browsers
 * and scripts send `[`, `]`, `{`, `|`, `"`, `^`, a lone `%` and a backslash in queries every day, and nothing after the
 * first `?` is ever a path or a boundary of the message. Spaces, controls and bytes above 0x7E are refused.
 *
 * @param query without its `?`
 */
export function validateQuery(query: string): boolean {
  for (let i = 0; i < query.length; i++) {
    const code = query.charCodeAt(i)
    if (code <= 0x20 || code >= 0x7f || code === 0x23) return false
  }
  return true
}

/**
 * Returns the value of the first parameter of a name, as the Gateway API specifies; the only separator is `&`.
 * Names and values are compared after decoding as in WHATWG URL, application/x-www-form-urlencoded: `+` is a space,
 * `%XX` a byte, bytes read as UTF-8 (invalid ones as U+FFFD), an invalid escape stands for itself. A parameter without
 * `=` has an empty value.
 *
 * @param query without its `?`
 * @param name decoded
 */
export function findQueryParam(query: string, name: string): string | undefined {
  let start = 0
  while (start <= query.length) {
    let end = query.indexOf('&', start)
    if (end === -1) end = query.length
    let equals = query.indexOf('=', start)
    if (equals === -1 || equals > end) equals = end
    if (end > start && nameIs(query, start, equals, name))
      return equals === end ? '' : decodeFormText(query.slice(equals + 1, end))
    start = end + 1
  }
  return undefined
}

function nameIs(query: string, start: number, end: number, name: string): boolean {
  // Decoding never makes a text longer, and three characters are the most that one decoded character can stand for per
  // byte.
  if (end - start < name.length) return false
  if (end - start === name.length && query.startsWith(name, start))
    return !PLUS_OR_PERCENT.test(name) || decodeFormText(name) === name
  const text = query.slice(start, end)
  return PLUS_OR_PERCENT.test(text) && decodeFormText(text) === name
}

const PLUS_OR_PERCENT = /[+%]/

/** Form-decodes one name or value. */
export function decodeFormText(text: string): string {
  if (!PLUS_OR_PERCENT.test(text)) return text
  const spaced = text.replaceAll('+', ' ')
  if (!spaced.includes('%')) return spaced
  const bytes = Buffer.from(spaced, 'latin1')
  let length = 0
  for (let i = 0; i < bytes.length; i++) {
    let byte = bytes[i]!
    if (byte === 0x25 && i + 2 < bytes.length) {
      const value = Number.parseInt(spaced.slice(i + 1, i + 3), 16)
      if (HEX_PAIR.test(spaced.slice(i + 1, i + 3))) {
        byte = value
        i += 2
      }
    }
    bytes[length++] = byte
  }
  return bytes.toString('utf8', 0, length)
}

const HEX_PAIR = /^[0-9A-Fa-f]{2}$/
