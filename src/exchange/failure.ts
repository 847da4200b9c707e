/**
 * The one door by which failures leave, from wherever they come: the client gets a response while that is possible,
 * and a cut connection after.
 */
import { GatewayError } from '../lib/error.ts'
import { NO_GRPC_STATUS } from '../lib/grpc-status.ts'
import type { Reason } from '../lib/reason.ts'
import { problemResponse } from '../policy/problem.ts'
import { endRest, finish } from './ending.ts'
import type { ProxyExchange } from './exchange.ts'
import { failureTrailers } from './grpc-response.ts'
import { respond } from './local-response.ts'

/** Milliseconds in which a client takes what is left of a call that has failed. */
const CALL_GRACE = 5_000

/**
 * Answers a request that goes no further, before anything was sent for it.
 * @returns false: the caller stops
 */
export function refuse(x: ProxyExchange, reason: Reason): false {
  // A filter that has not decided yet was not passed: it sees nothing of the way back.
  respond(x, problemResponse(reason, x), x.deciding ? x.entered - 1 : x.entered)
  return false
}

/** @param error a GatewayError; anything else is a fault of the gateway */
export function fail(x: ProxyExchange, error: unknown): void {
  const failure = error instanceof GatewayError ? error : unforeseen(x, error)
  if (x.ended) return
  if (x.restOnly) return endRest(x)
  x.reason = failure.reason
  x.detail = failure.detail
  // Whatever the filters made of a response of ours, they would make of this one: it is not tried again.
  if (x.localBody === null) retract(x)
  if (x.headSent && endCall(x, failure)) return
  x.closeAttempts(failure.reason)
  if (x.headSent || x.answering || failure.status === 0) return cut(x)
  try {
    refuse(x, failure.reason)
  } catch (unexpected) {
    x.context.unexpected(unexpected)
    cut(x)
  }
}

/**
 * A call of gRPC whose response has begun ends by the status of its failure (PROTOCOL-HTTP2.md, Responses): clients
 * learn from it what a reset does not say.
 *
 * @returns false: the client is cut off
 */
function endCall(x: ProxyExchange, failure: GatewayError): boolean {
  const { call, attempt } = x
  if (call?.spoken !== true || attempt === null || x.localBody !== null || failure.status === 0) return false
  x.attempt = null
  x.answering = true
  const { timers } = x.context
  timers.arm(x, timers.now + CALL_GRACE)
  return attempt.endCall(failure.reason, failureTrailers(x, call, failure.reason))
}

function unforeseen(x: ProxyExchange, error: unknown): GatewayError {
  x.context.unexpected(error)
  return new GatewayError('InternalError', error instanceof Error ? error.message : String(error), { cause: error })
}

/** Aborts an exchange: the client's connection is reset. */
export function cut(x: ProxyExchange): void {
  x.downstream.abort()
  retract(x)
  finish(x)
}

export function clientGone(x: ProxyExchange, detail: string): void {
  if (!x.restOnly || x.downstream.progress.lost > 0) {
    x.reason ??= 'ClientGone'
    x.detail ||= detail
    retract(x)
  }
  x.closeAttempts('ClientGone')
  finish(x)
}

/** Discards an unsent response: neither its status nor its bytes count. */
function retract(x: ProxyExchange): void {
  if (!x.headSent || !x.downstream.progress.retract()) return
  x.headSent = false
  x.status = 0
  if (x.call !== null) x.call.status = NO_GRPC_STATUS
}
