/** What a policy states of responses, as the rules of RFC 9111 take it. */
import { DEFAULT_TARGETS } from '../../cache/targeted-fields.ts'
import type { CacheRules } from '../../cache/verdicts.ts'
import type { Milliseconds } from '../../lib/clock.ts'
import type { CachePlan } from './plan.ts'

export function rulesOf(plan: CachePlan): CacheRules {
  const { mode, defaultTtl, maxTtl, ttlByCode, staleWhileRevalidate, staleIfError } = plan
  return {
    mode,
    targets: DEFAULT_TARGETS,
    ...(defaultTtl === undefined ? {} : { defaultTtl }),
    ...(maxTtl === undefined ? {} : { maxTtl }),
    ...(ttlByCode.length === 0 ? {} : { ttlByCode: new TtlByCode(ttlByCode) }),
    ...(staleWhileRevalidate === undefined ? {} : { staleWhileRevalidate }),
    ...(staleIfError === undefined ? {} : { staleIfError }),
  }
}

/**
 * Looks through the ranges, 256 at most, when a response is stored. A table of statuses takes 20 KiB in each worker for
 * a rule that states `100-599`, which is 30 bytes of a Route.
 */
class TtlByCode {
  readonly #ranges: CachePlan['ttlByCode']

  constructor(ranges: CachePlan['ttlByCode']) {
    this.#ranges = ranges
  }

  /** @returns the lifetime of the first range that has the status */
  get(status: number): Milliseconds | undefined {
    for (const [first, last, ttl] of this.#ranges) if (status >= first && status <= last) return ttl
    return undefined
  }
}
