/** Sets the limits of an exchange, and refuses a request whose Content-Length exceeds them. */

import type { Exchange, ExchangeLimits } from '../exchange.ts'
import type { Filter, RequestDecision } from '../filter.ts'
import type { PolicySet } from '../policy-set.ts'
import { problemResponse } from '../problem.ts'
import type { FilterDefinition } from '../registry.ts'

/** What a policy set allows an exchange: frozen, shared until a filter of the exchange lowers something. */
export function limitsOf(policy: PolicySet): Readonly<ExchangeLimits> {
  const { request, backendRequest, responseHead, idle } = policy.timeouts
  const { maxRequestBytes } = policy.limits
  return Object.freeze({ request, backendRequest, responseHead, idle, maxRequestBytes })
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
  return { type: 'respond', response: problemResponse('BodyTooLarge', x) }
}
