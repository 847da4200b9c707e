import { type PolicyDefinition, planOnce } from '../definition.ts'
import { cacheFilter } from './filter.ts'
import type { CachePlan } from './plan.ts'
import { type CacheValue, checkCache, planCache } from './value.ts'

/** `cache`: stores responses, and serves them (RFC 9111). */
export const cache: PolicyDefinition<CacheValue, CachePlan> = {
  key: 'cache',
  phase: 'cache',
  check: (value) => [...checkCache(value)],
  plan: planOnce(planCache),
  create: cacheFilter,
}
