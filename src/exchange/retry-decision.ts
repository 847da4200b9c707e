import type { Endpoint } from '../balance/endpoint.ts'
import { hasUntried } from '../balance/preference.ts'
import { backoffDelay, mayRetry, type RetryDecision } from '../balance/retry.ts'
import { parseGrpcPushback, parseRetryAfter } from '../balance/retry-after.ts'
import { grpcContentType } from '../grpc/content-type.ts'
import type { Milliseconds } from '../lib/clock.ts'
import { grpcStatusOfHttp, NO_GRPC_STATUS, parseGrpcStatus } from '../lib/grpc-status.ts'
import type { Reason } from '../lib/reason.ts'
import type { ResponseHead } from '../message/head.ts'
import type { ProxyExchange } from './exchange.ts'

/** An upstream that asks for a longer wait gets no other attempt: its client is told, and may wait by itself. */
export const LONGEST_RETRY_AFTER: Milliseconds = 10_000

/** The attempt that is decided about. */
interface Tried {
  readonly endpoint: Endpoint
  /** Its connection had served an exchange before. */
  readonly reused: boolean
}

/**
 * Decides whether and how to retry after a failure; takes the retry out of the Backend's budget, and says in `retryAt`
 * when the next attempt begins.
 */
export function decideRetry(x: ProxyExchange, { reused, endpoint }: Tried, what: Reason): RetryDecision {
  // Whoever is too slow is not asked again: the client would only wait twice.
  if (isTooSlow(what) && !hasOther(x, endpoint)) return 'no'
  return decide(x, reused, what, NO_GRPC_STATUS, 0)
}

function isTooSlow(what: Reason): boolean {
  return what === 'ResponseHeadTimeout' || what === 'BackendRequestTimeout'
}

/** Whether an endpoint may be asked that has not failed in this exchange, also of another level of the split. */
function hasOther({ split, backend, context, tried }: ProxyExchange, failed: Endpoint): boolean {
  return split?.hasNext === true || hasUntried(backend!.endpoints, context.endpoints, tried, failed)
}

/** The same after a response, to be asked before any filter sees it. @returns whether another attempt follows */
export function retriesResponse(x: ProxyExchange, { reused, endpoint }: Tried, head: ResponseHead): boolean {
  // Nearly all of them.
  if (head.status < 400 && x.call === null) return false
  const grpcStatus = grpcStatusOf(x, head)
  return decide(x, reused, head.status, grpcStatus, waitOf(x, endpoint, head)) === 'next-endpoint'
}

function decide(x: ProxyExchange, reused: boolean, what: Reason | number, grpcStatus: number, wait: Milliseconds) {
  const { refreshed, refusals, context } = x
  const { retry } = x.policy
  const failure = { what, grpcStatus, reused, refreshed, refusals, responseStarted: x.headSent || x.interim }
  const body = x.body === null ? 'none' : x.body.state
  const decision = mayRetry(failure, x.method, retry, x.retries, body)
  if (decision !== 'next-endpoint') return decision
  if (wait > LONGEST_RETRY_AFTER) return 'no'
  const at = context.timers.now + Math.max(backoffDelay(retry.backoff, x.retries, context.random), wait)
  const { request } = x.limits!
  // What has failed is told at once where the time would be over before another attempt.
  if (request > 0 && at >= x.startedAt + request) return 'no'
  if (!x.backend!.retries.spend(retry.budgetPercent)) return 'no'
  x.retryAt = at
  return decision
}

/** What the client of the call would be told; a status in trailers comes too late. */
function grpcStatusOf({ call, policy }: ProxyExchange, { status, fields }: ResponseHead): number {
  if (call?.spoken !== true || policy.retry.grpcCodes.length === 0) return NO_GRPC_STATUS
  const stated = fields.get('grpc-status')
  if (stated !== undefined) return parseGrpcStatus(stated)
  const isGrpc = status === 200 && grpcContentType(fields.get('content-type'))?.form === 'grpc'
  return isGrpc ? NO_GRPC_STATUS : grpcStatusOfHttp(status)
}

/**
 * How long the response asks to wait. A 503 speaks of the endpoint that sends it, and another may be asked meanwhile,
 * also of another level of the split; whatever else is to come again later (429) concerns the client, which would meet
 * the same limit there.
 */
function waitOf(x: ProxyExchange, endpoint: Endpoint, { status, fields }: ResponseHead): Milliseconds {
  if (x.call?.spoken === true) return parseGrpcPushback(fields.get('grpc-retry-pushback-ms'))
  const wait = parseRetryAfter(fields.get('retry-after'), x.context.clock.wall())
  if (wait === 0 || status !== 503) return wait
  return hasOther(x, endpoint) ? 0 : wait
}
