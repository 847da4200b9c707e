/** The limits of an exchange, and the refusal of a body that says itself that it is too long. */
import type { PolicySet } from '../snapshot/policy.ts'
import type { Exchange, ExchangeLimits } from './exchange.ts'
import type { Filter, RequestDecision } from './filter.ts'
import { problemAnswer } from './problem.ts'
import type { FilterDefinition } from './registry.ts'

/** What a policy set allows an exchange: frozen, shared until a filter of the exchange lowers something. */
export function limitsOf(policy: PolicySet): Readonly<ExchangeLimits> {
  const { request, backendRequest, responseHead, idle } = policy.timeouts
  const { maxRequestBytes } = policy.limits
  return Object.freeze({ request, backendRequest, responseHead, idle, maxRequestBytes })
}

/** Says in `explain` which timeouts hold. It has no hook: an exchange begins with {@link limitsOf} its policy set. */
export const timeouts: FilterDefinition = {
  name: 'timeouts',
  phase: 'begin',
  create(policy) {
    const parts = Object.entries(policy.timeouts)
      .filter(([, value]) => value > 0)
      .map(([name, value]) => `${name} ${value} ms`)
    const effect = parts.length === 0 ? 'sets no timeout' : `sets the timeouts ${parts.join(', ')}`
    return { name: 'timeouts', explain: () => ({ filter: 'timeouts', effect }) }
  },
}

/**
 * Refuses with 413 by the Content-Length, before a byte of the body is read (RFC 9110 §15.5.14). A body of unknown
 * length is counted while it streams, by whoever relays it, against the same `deadline.maxRequestBytes`.
 */
export const bodyLimit: FilterDefinition = {
  name: 'body-limit',
  phase: 'body-limit',
  create(policy): Filter | undefined {
    const max = policy.limits.maxRequestBytes
    if (max < 0) return undefined
    return {
      name: 'body-limit',
      onRequest: refuseLongBody,
      explain: () => ({ filter: 'body-limit', effect: `refuses a request body of more than ${max} bytes with 413` }),
    }
  },
}

function refuseLongBody(x: Exchange): RequestDecision {
  const max = x.deadline.maxRequestBytes
  if (max < 0 || x.requestBodyLength === undefined || x.requestBodyLength <= max) return undefined
  return { type: 'answer', answer: problemAnswer('BodyTooLarge', x) }
}
