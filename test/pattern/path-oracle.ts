/**
 * The normal form of a path, slowly: one rule of security.md after the other over the whole text, every reading a
 * server behind us could make spelled out.
 */
import type { PathMode } from '../../src/pattern/path.ts'

export function normalizeSlowly(path: string, mode: PathMode): string | undefined {
  path = path.replace(/["<>[\]^`{|}]/g, (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`)
  if (!/^\/(?:[A-Za-z0-9\-._~!$&'()*+,;=:@/]|%[0-9A-Fa-f]{2})*$/.test(path)) return undefined
  const escaped = path.replace(/%[0-9A-Fa-f]{2}/g, (triplet) => {
    const char = String.fromCharCode(Number.parseInt(triplet.slice(1), 16))
    return /[A-Za-z0-9\-._~]/.test(char) ? char : triplet.toUpperCase()
  })
  if (/%5C|%00/.test(escaped) || (mode === 'Strict' && escaped.includes('%2F'))) return undefined
  const segments = escaped
    .replace(/\/{2,}/g, '/')
    .slice(1)
    .split('/')
  if (segments.some((segment) => segment !== '.' && segment !== '..' && isTreacherous(segment))) return undefined
  const kept: string[] = []
  let ambiguous = false
  segments.forEach((segment, i) => {
    const last = i === segments.length - 1
    if (segment === '..') ambiguous ||= kept.pop()?.includes('%2F') === true
    else if (segment !== '.') kept.push(segment)
    if (last && (segment === '.' || segment === '..')) kept.push('')
  })
  return ambiguous ? undefined : `/${kept.join('/')}`
}

/** Whether some reading of a segment, decoded any number of times, is what Strict refuses or moves a boundary. */
function isTreacherous(segment: string): boolean {
  for (let reading = segment, depth = 0; ; depth++) {
    if (depth > 0 && /%(?:2F|5C|00)/i.test(reading)) return true
    if (reading.split('/').some((part) => /^\.\.?(?:;|$)/.test(part))) return true
    const next = reading.replace(/%[0-9A-Fa-f]{2}/g, (triplet) =>
      String.fromCharCode(Number.parseInt(triplet.slice(1), 16)),
    )
    if (next === reading) return false
    reading = next
  }
}
