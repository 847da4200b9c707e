/**
 * A second attempt beside the first, where the first is slow (Dean and Barroso, "The Tail at Scale", CACM 56(2), 2013,
 * "hedged requests"): the first response wins, and the other attempt is cancelled. One for each exchange, of requests
 * that may be processed twice and have no body; taken out of the shares of hedges and of retries.
 *
 * While two run, the older is `attempt` and the younger `rival`: what makes the exchange fail closes both, and where
 * one fails the other goes on alone.
 */
import { hasUntried } from '../balance/preference.ts'
import type { ResponseHead } from '../message/head.ts'
import type { HedgeConfig } from '../policy/policy-set.ts'
import { SLOT_STATE } from '../shared-memory/endpoint-table.ts'
import { Attempt, type AttemptOwner } from './attempt.ts'
import { pickEndpoint } from './endpoint-pick.ts'
import type { CurrentAttempt, ProxyExchange } from './exchange.ts'

/** Says when the attempt that begins now is slow. */
export function awaitHedge(x: ProxyExchange, { after }: HedgeConfig): void {
  const { method } = x
  const isRepeatable = (method === 'GET' || method === 'HEAD') && x.body === null && x.upgrade === null
  if (isRepeatable && !x.hedged) x.hedgeAt = x.context.timers.now + after
}

/** The attempt is slow: another endpoint is asked, if there is one and the budget allows. */
export function hedge(x: ProxyExchange, owner: AttemptOwner): void {
  x.hedgeAt = 0
  const first = x.attempt
  const backend = x.backend!
  const { context, policy } = x
  const { endpoints, observer, metrics } = context
  // A session is kept at its endpoint, and a client that has an interim response of one hears of no other.
  const isOpen = first !== null && !first.answered && !x.interim && x.sessionEndpoint === null
  if (!isOpen || !hasUntried(backend.endpoints, endpoints, x.tried, first.endpoint)) return x.watch()
  if (!backend.retries.spendHedge(policy.hedge!.maxPercent, policy.retry.budgetPercent)) return x.watch()
  if (!backend.requestPlaces.take()) return x.watch()
  x.rivalCounted = true
  const tried = x.tried === null ? [first.endpoint] : [...x.tried, first.endpoint]
  const endpoint = pickEndpoint(observer, backend, x.hashKey, tried)
  if (endpoint === undefined || tried.includes(endpoint)) {
    x.leaveRace()
    return x.watch()
  }
  const rival = new Attempt(x, backend, endpoint, owner)
  x.hedged = true
  x.rival = rival
  x.attempts++
  metrics.hedged()
  rival.start(false)
  if (!x.ended) x.watch()
}

/**
 * One of two attempts has failed: the other goes on.
 *
 * @returns false: there were not two, or this is none of them
 */
export function losesRace(x: ProxyExchange, attempt: CurrentAttempt): boolean {
  const { rival } = x
  if (rival === null || (attempt !== rival && attempt !== x.attempt)) return false
  goOnWith(x, attempt === rival ? x.attempt! : rival)
  ;(x.tried ??= []).push(attempt.endpoint)
  x.watch()
  return true
}

/**
 * One of two attempts has a response: it wins, unless the retry policy names its status.
 *
 * @returns false: the other goes on, and the response is discarded
 */
export function winsRace(x: ProxyExchange, attempt: CurrentAttempt, { status }: ResponseHead): boolean {
  const rival = x.rival!
  if (x.policy.retry.codes.includes(status)) {
    losesRace(x, attempt)
    return false
  }
  const other = attempt === rival ? x.attempt! : rival
  if (attempt === rival) x.context.metrics.hedgeWon()
  goOnWith(x, attempt)
  // Whoever is on trial and needs more time than another endpoint altogether has not shown that it is well.
  const isTrial = (x.context.endpoints.state(other.endpoint.slot) & SLOT_STATE.trying) !== 0
  other.close(isTrial ? 'ResponseHeadTimeout' : null)
  return true
}

/** With one of the two alone. */
function goOnWith(x: ProxyExchange, attempt: CurrentAttempt): void {
  x.attempt = attempt
  x.endpoint = attempt.endpoint
  x.upstreamStartedAt = attempt.sentAt
  x.leaveRace()
}
