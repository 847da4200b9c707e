/**
 * Finds one cookie in a Cookie field (RFC 6265 §4.2), without a map of all cookies.
 * The first pair of the name applies: user agents send the one with the longest path first (RFC 6265 §5.4).
 *
 * Nothing is decoded: cookies have no common encoding, and quotes are part of the value (RFC 6265bis §4.1.1).
 *
 * @param field the value of one Cookie field
 * @param name compared exactly, case included
 */
export function findCookie(field: string, name: string): string | undefined {
  let start = 0
  while (start < field.length) {
    let end = field.indexOf(';', start)
    if (end === -1) end = field.length
    // Pairs are separated by "; ", but servers also accept a missing space or a tab.
    while (start < end && isBlank(field.charCodeAt(start))) start++
    const equals = start + name.length
    if (equals < end && field.charCodeAt(equals) === 0x3d && field.startsWith(name, start)) {
      let stop = end
      while (stop > equals + 1 && isBlank(field.charCodeAt(stop - 1))) stop--
      let from = equals + 1
      while (from < stop && isBlank(field.charCodeAt(from))) from++
      return field.slice(from, stop)
    }
    start = end + 1
  }
  return undefined
}

function isBlank(code: number): boolean {
  return code === 0x20 || code === 0x09
}
