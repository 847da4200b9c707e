/** How long a response of a provider is fresh (RFC 9111 §4.2), within bounds of our own. */
import type { Milliseconds } from '../../lib/clock.ts'

/** A provider that says 0 is not asked without pause. */
const LEAST: Milliseconds = 60_000
/** Keys that the provider takes back are used no longer than this, whatever it has said before. */
const MOST: Milliseconds = 3_600_000
/** Where the response says nothing. */
const USUAL: Milliseconds = 600_000

/** @param now milliseconds since the epoch */
export function freshness(headers: Readonly<Record<string, string>>, now: number): Milliseconds {
  return Math.min(MOST, Math.max(LEAST, stated(headers, now) ?? USUAL))
}

function stated({ 'cache-control': control, expires, date, age }: Readonly<Record<string, string>>, now: number) {
  const directives = (control ?? '').toLowerCase().split(',')
  if (directives.some((one) => /^\s*no-(store|cache)\s*$/.test(one))) return 0
  for (const directive of directives) {
    const seconds = /^\s*max-age\s*=\s*"?(\d{1,10})"?\s*$/.exec(directive)?.[1]
    if (seconds !== undefined) return (Number(seconds) - Number(/^\d{1,10}$/.exec(age ?? '')?.[0] ?? 0)) * 1_000
  }
  if (expires === undefined) return undefined
  const end = Date.parse(expires)
  const begin = date === undefined ? now : Date.parse(date)
  // `Expires: 0` has passed (RFC 9111 §5.3).
  return Number.isNaN(end) ? 0 : end - (Number.isNaN(begin) ? now : begin)
}
