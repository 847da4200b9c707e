import { mayRetry, type RetryDecision } from '../balance/retry.ts'
import type { Reason } from '../lib/reason.ts'
import type { ProxyExchange } from './exchange.ts'

/**
 * Decides whether and how to retry after an attempt; takes the retry out of the Backend's budget. To be asked
 * before any filter sees the response.
 * @param what kind of failure, or the status of the response
 * @param reused the connection had served an exchange before
 */
export function decideRetry(x: ProxyExchange, reused: boolean, what: Reason | number): RetryDecision {
  const { refreshed, refusals } = x
  const failure = { what, reused, refreshed, refusals, responseStarted: x.headSent || x.interim }
  const body = x.body === null ? 'none' : x.body.state
  const { retry } = x.policy
  const decision = mayRetry(failure, x.method, retry, x.retries, body)
  if (decision !== 'next-endpoint') return decision
  return x.backend!.retries.spend(retry.budgetPercent) ? decision : 'no'
}
