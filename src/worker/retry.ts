import { mayRetry, type RetryDecision } from '../balance/retry.ts'
import type { GatewayError } from '../lib/error.ts'
import type { Attempt } from './attempt.ts'
import type { ProxyExchange } from './exchange.ts'

/** Whether, and how, an exchange goes on after a failed try; takes the retry out of the Backend's budget. */
export function decideRetry(x: ProxyExchange, attempt: Attempt, error: GatewayError): RetryDecision {
  const failure = {
    what: error.reason,
    reused: attempt.reused,
    refreshed: x.refreshed,
    responseStarted: x.headSent || x.interim,
  }
  const body = x.body === null ? 'none' : x.body.forwarded ? 'consumed' : 'untouched'
  const { retry } = x.policy
  const decision = mayRetry(failure, x.method, retry, x.retries, body)
  if (decision !== 'next-endpoint') return decision
  return x.backend!.retries.spend(retry.budgetPercent) ? decision : 'no'
}
