/** How long an upstream asks to be left alone. */
import type { Milliseconds } from '../lib/clock.ts'

const SECONDS = /^\d{1,9}$/
/** The form of a date that is to be sent (RFC 9110 §5.6.7); the obsolete ones are not read. */
const IMF_FIXDATE = /^[A-Z][a-z]{2}, \d{2} [A-Z][a-z]{2} \d{4} \d{2}:\d{2}:\d{2} GMT$/
const INTEGER = /^-?\d{1,10}$/

/**
 * RFC 9110 §10.2.3.
 *
 * @param now milliseconds since the Unix epoch
 * @returns 0 where the field is absent or not valid
 */
export function parseRetryAfter(value: string | undefined, now: Milliseconds): Milliseconds {
  if (value === undefined) return 0
  if (SECONDS.test(value)) return Number(value) * 1_000
  const date = IMF_FIXDATE.test(value) ? Date.parse(value) : Number.NaN
  return Number.isNaN(date) ? 0 : Math.max(date - now, 0)
}

/**
 * `grpc-retry-pushback-ms` (gRFC A6). A value that is negative, or no number, says that the call is not to be retried.
 *
 * @returns infinite in that case; 0 where the field is absent
 */
export function parseGrpcPushback(value: string | undefined): Milliseconds {
  if (value === undefined) return 0
  const wait = INTEGER.test(value) ? Number(value) : -1
  return wait < 0 ? Number.POSITIVE_INFINITY : wait
}
