/** What a worker gets of `rateLimits`. */
import type { LimiterQuota, LimiterRate } from '../../limit/limiter.ts'

export interface RateLimitPlan {
  readonly name: string
  readonly rate: LimiterRate | LimiterQuota
  /** Selectors of the key. */
  readonly by: readonly string[]
  /** Counted over all replicas. */
  readonly cluster: boolean
  readonly afterAuth: boolean
  readonly missing: 'ByClientIP' | 'Deny' | 'Skip'
  readonly onStoreError: 'Allow' | 'Deny'
  readonly dryRun: boolean
  readonly when?: { readonly claim: readonly string[]; readonly in: readonly string[] }
}

export interface RateLimitsPlan {
  /** Whom the keys are counted to. */
  readonly owner: string
  /** Where they are stated: all that have it count together. */
  readonly origin: string
  readonly limits: readonly RateLimitPlan[]
}
