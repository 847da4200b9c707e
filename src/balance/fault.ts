/** What of an attempt's outcome is a fault of its endpoint, as a number that fits in shared memory. */
import { REASONS, type Reason } from '../lib/reason.ts'

/** Failures of the endpoint: it cannot be connected, or what it sends is broken. */
const FAILURES: readonly Reason[] = [
  'ConnectFailure',
  'ConnectTimeout',
  'ResetBeforeResponse',
  'UpstreamProtocolError',
  'UpstreamHeadTooLarge',
  'UpstreamTruncated',
  'ResponseHeadTimeout',
  'BackendRequestTimeout',
  'RequestTimeout',
  'IdleTimeout',
]
/** From this one on: faults of the endpoint only where it had the whole request, and did not answer. */
const FIRST_TIMEOUT = FAILURES.indexOf('ResponseHeadTimeout')

/** Statuses of 500 and above that say what was asked for, and not how the endpoint is (RFC 9110 §15.6). */
const ASKED_FOR: readonly number[] = [501, 505]

/** Codes of failures begin behind the statuses. */
const FIRST_FAILURE = 1_000

/** The request is no evidence: its client or the gateway ended it. */
export const NO_EVIDENCE = -1
export const WELL = 0

/**
 * @param failure why the attempt ended early; null when it did not
 * @param status 0 when no response came
 * @param unanswered the endpoint had all of the request, and the head of its response was awaited
 * @returns {@link WELL}, {@link NO_EVIDENCE}, or a code for {@link describeFault}
 */
export function faultCode(failure: Reason | null, status: number, unanswered: boolean): number {
  if (failure !== null) {
    const at = FAILURES.indexOf(failure)
    // A client that sends its body slowly, or takes a response slowly, must not have an endpoint ejected.
    return at < 0 || (at >= FIRST_TIMEOUT && !unanswered) ? NO_EVIDENCE : FIRST_FAILURE + at
  }
  if (status < 500) return status === 0 ? NO_EVIDENCE : WELL
  return ASKED_FOR.includes(status) ? WELL : status
}

/** For people. */
export function describeFault(code: number): string {
  if (code >= FIRST_FAILURE) {
    const reason = FAILURES[code - FIRST_FAILURE]
    return reason === undefined ? 'a failure' : REASONS[reason].title.replace(/^The/, 'the')
  }
  return code >= 100 ? `status ${code}` : 'a failure'
}
