/**
 * Decides whether a failed attempt may be retried. The first rule: a request that may have been processed is
 * repeated only if its method is safe (RFC 9110 §9.2.1), or the policy names it, and never after a byte of the response
 * was sent to the client.
 */
import type { Milliseconds, Random } from '../lib/clock.ts'
import { NO_GRPC_STATUS } from '../lib/grpc-status.ts'
import { REASONS, type Reason } from '../lib/reason.ts'

export type RetryReason = 'ConnectFailure' | 'ResetBeforeResponse' | 'ResponseHeadTimeout' | 'BackendRequestTimeout'

/** `retry` of a policy set. */
export interface RetryConfig {
  /** Besides the first attempt. */
  readonly attempts: number
  readonly reasons: readonly RetryReason[]
  /** Upstream status codes. */
  readonly codes: readonly number[]
  /** Status codes of gRPC calls, whatever `methods` says. */
  readonly grpcCodes: readonly number[]
  /** Of requests that may have been processed, those of these methods are repeated. */
  readonly methods: readonly string[]
  /** Milliseconds. */
  readonly backoff: number
  /** Percent. */
  readonly budgetPercent: number
}

/**
 * Of requests that the gateway makes itself: whether to call again is the caller's business; only a connection that
 * died of age is replaced.
 */
export const NO_RETRIES: RetryConfig = Object.freeze({
  attempts: 0,
  reasons: [],
  codes: [],
  grpcCodes: [],
  methods: [],
  backoff: 0,
  budgetPercent: 0,
})

/** How an attempt failed. */
export interface AttemptFailure {
  /** A reason, or the status code that the upstream answered with. */
  readonly what: Reason | number
  /** The status of a gRPC call, where the response tells it by its head; else {@link NO_GRPC_STATUS}. */
  readonly grpcStatus: number
  /** The connection had served an exchange before this one. */
  readonly reused: boolean
  /** A `fresh-connection` was already granted in this exchange. */
  readonly refreshed: boolean
  /** How often in this exchange an upstream has said that it did not process the request. */
  readonly refusals: number
  /** A byte of the response, its head included, has gone to the client. */
  readonly responseStarted: boolean
}

/** What can still be sent of the request's body: all of it, because there is none or it is still at hand, or not. */
export type BodyState = 'none' | 'untouched' | 'replayable' | 'consumed'

export type RetryDecision =
  | 'no'
  /**
   * Same endpoint, a new connection, at once: the old one had died of age, not of this request. Neither counted nor
   * budgeted, but once only.
   */
  | 'fresh-connection'
  /**
   * Another endpoint if there is one, at once: the upstream has said that it did not process the request (RFC 9113
   * §8.7). Neither counted nor budgeted, but {@link MAX_REFUSALS} times only.
   */
  | 'again'
  /** Another endpoint after {@link backoffDelay}, if the budget allows. */
  | 'next-endpoint'

/** An upstream that refuses all requests gets each of them so often more, whatever the policy says. */
export const MAX_REFUSALS = 2

/** RFC 9110 §9.2.2. */
const IDEMPOTENT: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS', 'TRACE', 'PUT', 'DELETE'])

/**
 * @param attempt counted retries that were made in this exchange
 */
export function mayRetry(
  failure: AttemptFailure,
  method: string,
  policy: RetryConfig,
  attempt: number,
  body: BodyState,
): RetryDecision {
  const { what, reused, refreshed, refusals, responseStarted } = failure
  if (responseStarted || body === 'consumed') return 'no'
  if (what === 'StreamRefused' && refusals < MAX_REFUSALS) return 'again'
  // An idle connection may be closed by the server at any moment, also while a request is on its way to it: RFC 9112
  // §9.3.1 allows to repeat an idempotent one unasked.
  if (what === 'ResetBeforeResponse' && reused && !refreshed && IDEMPOTENT.has(method)) return 'fresh-connection'
  return attempt < policy.attempts && isCovered(failure, method, policy) ? 'next-endpoint' : 'no'
}

function isCovered({ what, grpcStatus }: AttemptFailure, method: string, policy: RetryConfig): boolean {
  if (typeof what === 'number')
    return (
      (policy.codes.includes(what) && policy.methods.includes(method)) ||
      (grpcStatus !== NO_GRPC_STATUS && policy.grpcCodes.includes(grpcStatus))
    )
  // The request never left, or was refused unread, so its method does not matter.
  if (REASONS[what].retry === 'never-sent') return policy.reasons.includes('ConnectFailure')
  return (policy.reasons as readonly Reason[]).includes(what) && policy.methods.includes(method)
}

/** Doublings of the back-off: with the default of 25 ms the longest wait is 800 ms. */
const MAX_DOUBLINGS = 5

/**
 * Exponential with equal jitter: between half of the delay and all of it, so that clients that failed together do not
 * come back together.
 *
 * @param base of the policy, for the first retry
 * @param attempt 0 for the first retry
 */
export function backoffDelay(base: Milliseconds, attempt: number, random: Random): Milliseconds {
  const delay = base * 2 ** Math.min(attempt, MAX_DOUBLINGS)
  return delay / 2 + (random() * delay) / 2
}
