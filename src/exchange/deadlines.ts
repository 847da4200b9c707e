/** Computes the next deadline of an exchange, and the one that has passed. */
import { GatewayError } from '../lib/error.ts'
import type { ExchangeLimits } from '../policy/exchange.ts'

/** The starting points of the deadlines; monotonic milliseconds. */
export interface Progress {
  /** In force; null before a rule is found. */
  readonly limits: Readonly<ExchangeLimits> | null
  readonly startedAt: number
  readonly lastActivity: number
  /** When the next attempt begins; 0 = none is waited for. */
  readonly retryAt: number
  /** When the attempt is slow; 0 = never. */
  readonly hedgeAt: number
  /** When it is over without a client; 0 = there is one. */
  readonly unattendedUntil: number
  /** When the credential of a stream is looked at; 0 = never. */
  readonly leaseAt: number
  readonly attempt: {
    readonly startedAt: number
    readonly waitingSince: number
    readonly awaitingHead: boolean
    readonly answered: boolean
  } | null
  readonly body: { readonly complete: boolean; readonly blocked: boolean } | null
}

/** @returns when the next one is due; 0 = none */
export function nextDeadline(x: Progress): number {
  const { limits, attempt } = x
  if (limits === null) return 0
  let next = Number.POSITIVE_INFINITY
  if (limits.request > 0) next = x.startedAt + limits.request
  if (x.unattendedUntil > 0) next = Math.min(next, x.unattendedUntil)
  if (x.leaseAt > 0) next = Math.min(next, x.leaseAt)
  if (attempt !== null) {
    if (x.hedgeAt > 0 && !attempt.answered) next = Math.min(next, x.hedgeAt)
    if (limits.backendRequest > 0) next = Math.min(next, attempt.startedAt + limits.backendRequest)
    if (attempt.awaitingHead) {
      if (limits.responseHead > 0) next = Math.min(next, attempt.waitingSince + limits.responseHead)
    } else if (limits.idle > 0) next = Math.min(next, x.lastActivity + limits.idle)
  } else if (x.retryAt > 0) next = Math.min(next, x.retryAt)
  else if (limits.idle > 0) next = Math.min(next, x.lastActivity + limits.idle)
  return next === Number.POSITIVE_INFINITY ? 0 : next
}

/** @returns how the exchange fails because of a deadline that has passed; null when none has */
export function overdue(x: Progress, now: number): GatewayError | null {
  const { limits, attempt, body } = x
  if (limits === null) return null
  if (limits.request > 0 && now >= x.startedAt + limits.request) return new GatewayError('RequestTimeout')
  if (x.unattendedUntil > 0 && now >= x.unattendedUntil) return new GatewayError('RequestTimeout', 'without a client')
  const idle = limits.idle > 0 && now >= x.lastActivity + limits.idle
  if (attempt === null)
    return x.retryAt === 0 && idle ? new GatewayError('RequestTimeout', 'a filter took too long') : null
  if (limits.backendRequest > 0 && now >= attempt.startedAt + limits.backendRequest)
    return new GatewayError('BackendRequestTimeout')
  if (attempt.awaitingHead)
    return limits.responseHead > 0 && now >= attempt.waitingSince + limits.responseHead
      ? new GatewayError('ResponseHeadTimeout')
      : null
  if (!idle) return null
  return new GatewayError(body !== null && !body.complete && !body.blocked ? 'RequestBodyTimeout' : 'IdleTimeout')
}
