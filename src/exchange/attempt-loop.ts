/** The attempt loop: selects an endpoint, and another one after a failed attempt. */
import { NO_KEY } from '../balance/balancer.ts'
import type { Endpoint } from '../balance/endpoint.ts'
import { GatewayError } from '../lib/error.ts'
import { hashKey } from '../lib/hash.ts'
import { REASONS, type Reason } from '../lib/reason.ts'
import type { NamespaceShare } from '../limit/upstream-budget.ts'
import type { LinkedBackend } from '../link/linked-tables.ts'
import { removeAddedFraming } from '../message/framing-fields.ts'
import type { ValueReader } from '../policy/variables.ts'
import { Attempt, type AttemptOwner } from './attempt.ts'
import { giveShare, leaveBackend } from './ending.ts'
import { admits, noEndpoint, pickEndpoint } from './endpoint-pick.ts'
import type { ProxyExchange } from './exchange.ts'
import { fail, refuse } from './failure.ts'
import { prepareCall } from './grpc-request.ts'
import { awaitHedge, hedge, losesRace, winsRace } from './hedge.ts'
import { respond } from './local-response.ts'
import { decideRetry, retriesResponse } from './retry-decision.ts'
import { pickForSession } from './session-affinity.ts'
import { chooseReference } from './split.ts'
import { checkOrigin } from './upgrade.ts'

const OVERDRAWN = 'the namespace of the Backend has its share of all requests at a time'

/** Selects a backend of the split, reserves a request at it and starts the first attempt. */
export function forward(x: ProxyExchange): void {
  if (x.finalResponse !== null) return respond(x, x.finalResponse, x.entered)
  const ref = chooseReference(x)
  if (ref === null) return void refuse(x, 'NoEndpoint')
  if (ref.refuse !== undefined) return void refuse(x, ref.refuse)
  const backend = x.tables!.backends[ref.backendIndex]
  if (backend == null) return void refuse(x, 'BackendNotFound')
  // Nothing is matched any more, and an exchange may last for days: the tables of its generation do not.
  x.tables = null
  forwardTo(x, backend)
}

/** As {@link forward}, to a backend that was selected before. */
export function forwardTo(x: ProxyExchange, backend: LinkedBackend): void {
  x.backend = backend
  if (x.upgrade !== null) checkOrigin(x)
  const entry = enter(x, backend)
  if (entry !== 'entered' && !enterOther(x)) return refuseEntry(x, backend, entry)
  if (x.chain !== null) removeAddedFraming(x.request)
  if (x.call !== null) prepareCall(x, x.call)
  if (x.body !== null) x.body.compose()
  if (!x.ended) tryEndpoint(x, null, false)
}

type Entry = 'entered' | 'ended' | 'overdrawn' | 'full'

/** Takes a place at a Backend, and then gives back the one at another. */
function enter(x: ProxyExchange, backend: LinkedBackend): Entry {
  const { share } = backend
  if (backend.ended) return 'ended'
  if (!takeShare(x, share)) return 'overdrawn'
  if (!backend.requestPlaces.take()) {
    giveShare(x, share)
    return 'full'
  }
  leaveBackend(x)
  x.backend = backend
  x.share = share
  x.counted = true
  backend.retries.request()
  x.hashKey = backend.keys.length > 0 ? keyOf(x, backend.keys) : NO_KEY
  return 'entered'
}

/** @returns false: no Backend of another level has a place, and nothing has changed */
function enterOther(x: ProxyExchange): boolean {
  if (x.split === null) return false
  for (let next = x.split.next(x.tried); next !== null; next = x.split.next(x.tried))
    if (enter(x, next) === 'entered') return true
  return false
}

function refuseEntry(x: ProxyExchange, backend: LinkedBackend, entry: Entry): void {
  if (entry === 'ended') return fail(x, new GatewayError('NoEndpoint', `${backend.id} was removed`))
  const full = `${backend.id} has maxConcurrentRequests (${backend.requestPlaces.limit}) in flight`
  fail(x, new GatewayError('Overloaded', entry === 'full' ? full : OVERDRAWN))
}

function keyOf(x: ProxyExchange, keys: readonly ValueReader[]): number {
  for (const read of keys) {
    const value = read(x)
    if (value !== undefined) return hashKey(value)
  }
  return NO_KEY
}

function takeShare({ context, incoming }: ProxyExchange, share: NamespaceShare): boolean {
  if (incoming.protocol === 'HTTP/2') return share.enterStream(context.streams - 1)
  return share.enter(context.active - context.streams - 1)
}

/** The wait before the next attempt is over. */
export function nextAttempt(x: ProxyExchange): void {
  x.retryAt = 0
  tryGuarded(x, null, false)
}

/** @param again the endpoint to be tried once more on a fresh connection, or null: the balancer picks */
function tryEndpoint(x: ProxyExchange, again: Endpoint | null, fresh: boolean): void {
  // One that is tried again takes up its trial again, if that is open.
  if (again !== null) admits(x.context.observer, x.backend!, again)
  const endpoint = again ?? pickFromSplit(x)
  if (endpoint === undefined) {
    if (x.failure !== null) return void refuse(x, x.failure)
    return fail(x, noEndpoint(x.context.endpoints, x.backend!))
  }
  const attempt = new Attempt(x, x.backend!, endpoint, LOOP)
  x.attempt = attempt
  x.endpoint = endpoint
  x.attempts++
  const { policy } = x
  if (policy.hedge !== undefined) awaitHedge(x, policy.hedge)
  attempt.start(fresh)
  if (x.attempt === attempt && attempt.connecting) x.watch()
}

/** An endpoint of the Backend, or of another level's where the Backend has none that is worth an attempt. */
function pickFromSplit(x: ProxyExchange): Endpoint | undefined {
  const { split } = x
  if (split === null) return pickFor(x, x.backend!)
  const { trial } = split
  split.trial = null
  if (trial !== null && admits(x.context.observer, x.backend!, trial)) return trial
  if (split.isSpent(x.backend!, x.tried) && enterOther(x)) return pickFor(x, x.backend!)
  const endpoint = pickFor(x, x.backend!)
  const isNew = endpoint !== undefined && x.tried?.includes(endpoint) !== true
  return isNew || !enterOther(x) ? endpoint : pickFor(x, x.backend!)
}

function pickFor(x: ProxyExchange, backend: LinkedBackend): Endpoint | undefined {
  const { affinity } = backend
  if (affinity !== null) return pickForSession(x, backend, affinity)
  return pickEndpoint(x.context.observer, backend, x.hashKey, x.tried)
}

function tryGuarded(x: ProxyExchange, again: Endpoint | null, fresh: boolean): void {
  if (x.ended) return
  try {
    tryEndpoint(x, again, fresh)
  } catch (error) {
    fail(x, error)
  }
}

/** A deadline of the attempt has passed. @param error which */
export function timedOut(x: ProxyExchange, error: GatewayError): void {
  const { attempt } = x
  // Deadlines of the exchange leave no time for another attempt, and a response that has begun cannot be taken back.
  if (!(attempt instanceof Attempt) || x.headSent || REASONS[error.reason].retry === 'never') return fail(x, error)
  attempt.close(error.reason)
  LOOP.failed(x, attempt, error)
}

/** The attempt is slow. */
export function slow(x: ProxyExchange): void {
  try {
    hedge(x, LOOP)
  } catch (error) {
    fail(x, error)
  }
}

/** Receives the outcomes of attempts. */
const LOOP: AttemptOwner = {
  failed(x, attempt, error) {
    if (x.ended || losesRace(x, attempt) || x.attempt !== attempt) return
    x.upstreamEndedAt = x.context.timers.touch()
    if (error.reason === 'Overloaded' && goesElsewhere(x)) return tryGuarded(x, null, false)
    const decision = decideRetry(x, attempt, error.reason)
    if (decision === 'no') return fail(x, error)
    giveUp(x)
    if (decision === 'fresh-connection') {
      x.refreshed = true
      return tryGuarded(x, attempt.endpoint, true)
    }
    ;(x.tried ??= []).push(attempt.endpoint)
    if (decision === 'again') {
      x.refusals++
      return tryGuarded(x, null, false)
    }
    waitForNext(x, error.reason)
  },

  answered(x, attempt, head) {
    if (x.rival !== null) {
      if (winsRace(x, attempt, head)) return false
      attempt.discard()
      return true
    }
    if (!retriesResponse(x, attempt, head)) return false
    ;(x.tried ??= []).push(attempt.endpoint)
    x.upstreamEndedAt = x.context.timers.now
    attempt.discard()
    giveUp(x)
    waitForNext(x, null)
    return true
  },
}

/** The Backend has no place for a request that was not sent: one of another level may have. */
function goesElsewhere(x: ProxyExchange): boolean {
  if (x.split === null || (x.body !== null && x.body.state === 'consumed') || !enterOther(x)) return false
  x.attempt = null
  x.body?.close()
  return true
}

/** Another attempt follows: the unsent part of the request is kept for it. */
function giveUp(x: ProxyExchange): void {
  x.attempt = null
  x.body?.close()
  x.context.metrics.retried()
}

/** Until `retryAt`. */
function waitForNext(x: ProxyExchange, failure: Reason | null): void {
  x.failure = failure
  x.retries++
  x.watch()
}
