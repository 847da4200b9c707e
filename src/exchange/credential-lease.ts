/**
 * Ends what lasts with the credential that opened it: tunnels, event streams, calls of gRPC. It is looked at when its
 * time is over, and every few seconds, since its key may be withdrawn; other responses go on to their end.
 */
import { GatewayError } from '../lib/error.ts'
import type { Reason } from '../lib/reason.ts'
import type { ResponseHead } from '../message/head.ts'
import { type CredentialLease, LEASE, type LeaseState } from '../policy/auth/lease.ts'
import type { ProxyExchange } from './exchange.ts'

/** Milliseconds within which a key that was withdrawn ends what it has opened. */
const LOOK_EVERY = 5_000
/** Most calls are over before. */
const FIRST_LOOK = 1_000

const DETAIL = 'the credential that opened the stream is not good any more'

/** The response's head goes to the client. */
export function followResponse(x: ProxyExchange, head: ResponseHead): void {
  if (x.leaseAt > 0 || x.get(LEASE) === undefined) return
  if (x.call !== null || isEventStream(head)) follow(x)
}

/** Of few responses the length is not known, and those of a known length end by themselves. */
function isEventStream({ bodyLength, fields }: ResponseHead): boolean {
  return bodyLength === undefined && /^text\/event-stream *(;|$)/i.test(fields.get('content-type') ?? '')
}

/** The request has passed the filters: the client of a call may send for hours before anything comes back. */
export function followCall(x: ProxyExchange): void {
  if (x.get(LEASE) !== undefined && x.call !== null) follow(x)
}

function follow(x: ProxyExchange): void {
  x.leaseAt = x.context.timers.now + FIRST_LOOK
}

/** @returns when the credential of a tunnel is looked at first, monotonic milliseconds; infinity = never */
export function firstLook(x: ProxyExchange): number {
  return x.get(LEASE) === undefined ? Number.POSITIVE_INFINITY : x.context.timers.now + FIRST_LOOK
}

/** Its time has come. */
export function leaseDue(x: ProxyExchange): void {
  const lease = x.get(LEASE)
  if (lease !== undefined) lookAtLease(x, lease)
}

function lookAtLease(x: ProxyExchange, lease: CredentialLease): void {
  // Whatever is found out later, it is looked at again.
  x.leaseAt = x.context.timers.now + LOOK_EVERY
  look(lease, (state) => {
    if (x.ended) return
    if (typeof state === 'string') return x.fail(new GatewayError(state, DETAIL))
    x.leaseAt = x.context.timers.now + Math.min(LOOK_EVERY, state)
    x.watch()
  })
}

/** Of a tunnel. @param next when it has to be looked at again, monotonic milliseconds */
export function lookAtTunnel(x: ProxyExchange, next: (at: number) => void, ends: (reason: Reason) => void): void {
  const lease = x.get(LEASE)
  if (lease === undefined) return
  const { timers } = x.context
  look(lease, (state) => {
    if (typeof state === 'string') ends(state)
    else next(timers.now + Math.min(LOOK_EVERY, state))
  })
}

function look(lease: CredentialLease, seen: (state: LeaseState) => void): void {
  const state = lease.look()
  if (state instanceof Promise) state.then(seen, () => seen('AuthUnavailable'))
  else seen(state)
}
