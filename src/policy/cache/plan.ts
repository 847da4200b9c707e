/** What a worker gets of `cache`. */
import type { QueryKeyPlan } from '../../cache/query-key.ts'
import type { Milliseconds } from '../../lib/clock.ts'
import type { PolicySet } from '../policy-set.ts'

export interface CachePlan {
  readonly mode: 'Standard' | 'Override'
  readonly defaultTtl?: Milliseconds
  readonly maxTtl?: Milliseconds
  /** First and last status of a range, and the lifetime; of several that fit the first. */
  readonly ttlByCode: readonly (readonly [number, number, Milliseconds])[]
  readonly staleWhileRevalidate?: Milliseconds
  readonly staleIfError?: Milliseconds
  readonly version: string
  /** Absent: all parameters count, as they are. */
  readonly query?: QueryKeyPlan
  /** Selectors whose values are part of the key. */
  readonly by: readonly string[]
  /** Selectors; where one has a value the cache is passed by. */
  readonly bypass: readonly string[]
  readonly maxObjectBytes: number
  readonly store: 'Memory' | 'Redis' | 'Tiered' | 'File'
  /** Field of responses with their tags, in lower case. */
  readonly tags?: string
}

/**
 * Only responses of Backends are stored. A rule leaves an inherited cache by a greatest lifetime of 0: nothing is
 * stored, to be validated or served stale.
 */
export function isUsed({ maxTtl }: CachePlan, { action }: PolicySet): boolean {
  return action.type === 'forward' && maxTtl !== 0
}

export function hasCache(policy: PolicySet): boolean {
  const plan = policy.policies?.cache as CachePlan | undefined
  return plan !== undefined && isUsed(plan, policy)
}
