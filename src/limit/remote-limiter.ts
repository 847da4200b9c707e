/** How often something may happen by key, over all replicas of an installation. */
import type { Admission, LimiterQuota, LimiterRate, LimiterScope } from './limiter.ts'

export interface RemoteLimiter {
  /**
   * @throws rejects where it cannot be known, in a bounded time that is short for a request
   */
  take(key: string): Promise<Admission>
  /** What was taken has not happened; nobody waits for it. */
  giveBack(key: string): void
}

export interface RemoteLimiters {
  open(scope: LimiterScope, rate: LimiterRate | LimiterQuota): RemoteLimiter
}
