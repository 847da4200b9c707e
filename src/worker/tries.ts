/** From a rule to an endpoint, and to another one where the first did not do. */
import type { Endpoint } from '../balance/endpoint.ts'
import { backoffDelay } from '../balance/retry.ts'
import { GatewayError } from '../lib/error.ts'
import { Attempt } from './attempt.ts'
import type { ProxyExchange } from './exchange.ts'
import type { Flow } from './flow.ts'
import { decideRetry } from './retry.ts'

const OVERDRAWN = 'the namespace of the Backend has its share of all requests at a time'

/** Picks the share of the split, takes a place at its Backend and makes the first try. */
export function forward(flow: Flow, x: ProxyExchange): void {
  if (x.finalAnswer !== null) return flow.answer(x, x.finalAnswer, x.entered)
  const rule = x.ruleView!
  const at = flow.splits.pick(rule.key, rule.backends, x.tables!.backends)
  if (at < 0) return flow.refuse(x, 'NoEndpoint')
  const ref = rule.backends[at]!
  if (ref.refuse !== undefined) return flow.refuse(x, ref.refuse)
  const backend = x.tables!.backends[ref.backendIndex]
  if (backend == null) return flow.refuse(x, 'BackendNotFound')
  x.backend = backend
  if (!backend.share.enter(flow.active - 1)) return flow.fail(x, new GatewayError('Overloaded', OVERDRAWN))
  x.share = backend.share
  if (backend.slot >= 0) {
    if (!flow.endpoints.tryAcquire(flow.worker, backend.slot, backend.maxConcurrentRequests))
      return flow.refuse(x, 'Overloaded')
    x.counted = true
  }
  backend.retries.request()
  if (x.body !== null) x.body.compose()
  if (!x.ended) tryEndpoint(flow, x, null, false)
}

/** @param again the endpoint to be tried once more on a fresh connection, or null: the balancer picks */
function tryEndpoint(flow: Flow, x: ProxyExchange, again: Endpoint | null, fresh: boolean): void {
  const backend = x.backend!
  const endpoint = again ?? backend.balancer.pick(x.tried)
  if (endpoint === undefined) return flow.refuse(x, x.failure ?? 'NoEndpoint')
  const attempt = new Attempt(x, endpoint, backend.pool(endpoint))
  x.attempt = attempt
  x.endpoint = endpoint
  x.attempts++
  attempt.start(fresh)
  if (x.attempt === attempt && attempt.connecting) x.watch()
}

/** A try failed before its response went to the client, or within it. */
export function attemptFailed(flow: Flow, x: ProxyExchange, attempt: Attempt, error: GatewayError): void {
  if (x.ended || x.attempt !== attempt) return
  x.upstreamEndedAt = flow.timers.touch()
  const decision = decideRetry(x, attempt, error)
  if (decision === 'no') return flow.fail(x, error)
  x.attempt = null
  x.body?.close()
  flow.metrics.retried()
  if (decision === 'fresh-connection') {
    x.refreshed = true
    guarded(flow, x, () => tryEndpoint(flow, x, attempt.endpoint, true))
    return
  }
  ;(x.tried ??= []).push(attempt.endpoint)
  x.failure = error.reason
  x.retryAt = flow.timers.now + backoffDelay(x.policy.retry.backoff, x.retries++, flow.random)
  x.watch()
}

/** The wait before the next try is over. */
export function retry(flow: Flow, x: ProxyExchange): void {
  x.retryAt = 0
  guarded(flow, x, () => tryEndpoint(flow, x, null, false))
}

function guarded(flow: Flow, x: ProxyExchange, step: () => void): void {
  if (x.ended) return
  try {
    step()
  } catch (error) {
    flow.rescue(x, error)
  }
}
