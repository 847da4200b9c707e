/**
 * `cache`: answers from what is stored, and stores what the origin answers (RFC 9111). It stands behind everything that
 * may refuse a request and everything that changes it: what it looks up is what the origin would get.
 */
import type { Filter } from '../filter.ts'
import type { PolicySet } from '../policy-set.ts'
import type { FilterServices } from '../services.ts'
import { withEdits } from './edited-selectors.ts'
import { explainCache } from './explain.ts'
import { invalidate } from './invalidate.ts'
import { OriginResponses } from './origin-responses.ts'
import { type CachePlan, isUsed } from './plan.ts'
import { RequestKeys } from './request-key.ts'
import { ResponseCache } from './response-cache.ts'
import { rulesOf } from './rules.ts'

export function cacheFilter(stated: CachePlan, services: FilterServices, policy: PolicySet): Filter | undefined {
  if (!isUsed(stated, policy)) return undefined
  const plan = withEdits(stated, policy)
  const rules = rulesOf(plan)
  const keys = new RequestKeys(plan, policy)
  const requests = new ResponseCache(plan, keys, rules, services)
  const responses = new OriginResponses(services)
  return {
    name: 'cache',
    forgetsHeads: true,
    onRequest: (x) => requests.onRequest(x),
    onResponse: (x, head, local) => responses.onResponse(x, head, local),
    responseBody: (x) => responses.bodyTee(x),
    onUnsafeResponse: (x, head, request) => invalidate(x, head, services, request),
    onClientGone: (x) => responses.onClientGone(x),
    onEnd: (x) => responses.onEnd(x),
    explain: (x) => explainCache(x, { plan, keys, services }),
  }
}
