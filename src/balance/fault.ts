/** What of an attempt's outcome is a fault of its endpoint, as a number that fits in shared memory. */
import { GRPC_STATUS_NAMES, NO_GRPC_STATUS } from '../lib/grpc-status.ts'
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
/** What a server does that has deadlines of its own for requests and responses, too. */
const BREAKS: readonly Reason[] = ['ResetBeforeResponse', 'UpstreamTruncated']

/** Statuses of 500 and above that say what was asked for, and not how the endpoint is (RFC 9110 §15.6). */
const ASKED_FOR: readonly number[] = [501, 505]

/**
 * Of `grpc-status`: those that stand for 500 and 503 (envoy/source/common/grpc/status.cc). DEADLINE_EXCEEDED is none:
 * the deadline is the client's, and one of a millisecond would have every endpoint ejected.
 */
const GRPC_FAULTS: ReadonlySet<number> = new Set(
  (['UNKNOWN', 'INTERNAL', 'UNAVAILABLE', 'DATA_LOSS'] as const).map((name) => GRPC_STATUS_NAMES.indexOf(name)),
)
/** A quick failure must not make an endpoint look fast. @returns the status of HTTP that a response stands for */
export function statusOf(status: number, grpcStatus: number): number {
  return grpcStatus > 0 && GRPC_FAULTS.has(grpcStatus) ? 503 : status
}

/** Codes of gRPC begin behind the statuses, those of failures behind them. */
const FIRST_GRPC = 700
const FIRST_FAILURE = 1_000
/** Behind all of them: success rates, as the percentages that failed of its requests and of those to the others. */
const FIRST_RATE = 1_000_000
const PERCENTS = 1_000

/** The request is no evidence: its client or the gateway ended it. */
export const NO_EVIDENCE = -1
export const WELL = 0

/**
 * @param failure why the attempt ended early; null when it did not
 * @param status 0 when no response came
 * @param unanswered the endpoint had all of the request and time enough, and the head of its response was awaited
 * @param grpcStatus of the response to a call of gRPC; -1 where there is none
 * @param slowClient the endpoint waited for the client before it broke off, if it did
 * @returns {@link WELL}, {@link NO_EVIDENCE}, or a code for {@link describeFault}
 */
export function faultCode(
  failure: Reason | null,
  status: number,
  unanswered: boolean,
  grpcStatus: number = NO_GRPC_STATUS,
  slowClient = false,
): number {
  if (failure !== null) {
    const at = FAILURES.indexOf(failure)
    // A client that sends its body slowly, or takes a response slowly, must not have an endpoint ejected.
    const isOfClient = at >= FIRST_TIMEOUT ? !unanswered : slowClient && BREAKS.includes(failure)
    return at < 0 || isOfClient ? NO_EVIDENCE : FIRST_FAILURE + at
  }
  if (grpcStatus > 0 && GRPC_FAULTS.has(grpcStatus)) return FIRST_GRPC + grpcStatus
  if (status < 500) return status === 0 ? NO_EVIDENCE : WELL
  return ASKED_FOR.includes(status) ? WELL : status
}

/** @param share of its requests that failed, 0 … 1 @param others of those to all others of its Backend */
export function rateCode(share: number, others: number): number {
  return FIRST_RATE + Math.round(share * 100) * PERCENTS + Math.round(others * 100)
}

/** Why an endpoint was ejected for its success rate; undefined where it was not for that. */
export function describeRate(code: number): string | undefined {
  if (code < FIRST_RATE) return undefined
  const [share, others] = [Math.floor((code - FIRST_RATE) / PERCENTS), (code - FIRST_RATE) % PERCENTS]
  return `${share} % of its requests failed, and ${others} % of those to the other endpoints`
}

/** For people. */
export function describeFault(code: number): string {
  if (code >= FIRST_FAILURE) {
    const reason = FAILURES[code - FIRST_FAILURE]
    return reason === undefined ? 'a failure' : REASONS[reason].title.replace(/^The/, 'the')
  }
  if (code >= FIRST_GRPC) {
    const name = GRPC_STATUS_NAMES[code - FIRST_GRPC]
    return `grpc-status ${code - FIRST_GRPC}${name === undefined ? '' : ` (${name})`}`
  }
  return code >= 100 ? `status ${code}` : 'a failure'
}
