/** What the cache would do with a request, by which key, and why. */
import { requestDirectives } from '../../cache/cache-control.ts'
import { describeKey } from '../../cache/key-text.ts'
import type { CacheResult } from '../../cache/results.ts'
import { judgeMissing, judgeReuse, reuseVerdict } from '../../cache/reuse.ts'
import { StoredHead } from '../../cache/stored-head.ts'
import type { DryExchange } from '../exchange.ts'
import type { Explanation } from '../filter.ts'
import type { FilterServices } from '../services.ts'
import { bypassOf } from './bypass.ts'
import { Lookups } from './lookup.ts'
import type { CachePlan } from './plan.ts'
import { KEY, type RequestKeys } from './request-key.ts'
import { resultOf } from './words.ts'

/** Without an effect: the request and what is stored stay as they are. */
export function explainCache(
  x: DryExchange,
  plan: CachePlan,
  keys: RequestKeys,
  { cache, clock }: Pick<FilterServices, 'cache' | 'clock'>,
): Explanation {
  const bypass = bypassOf(plan.bypass)(x)
  if (bypass !== null) return passes(bypass)
  const { method, origin, originalPath, path, query, upstreamHost } = x
  const target = { method, origin, originalPath, path, query, upstreamHost }
  if (!keys.selectQuery(target)) return passes('bypass Query')
  if (method === 'QUERY') return { filter: 'cache', effect: 'has the content of the request in its key' }
  if (!keys.write(x, keys.rule(x), null, target)) return passes('bypass KeyTooLong')
  const now = clock.wall()
  const found = new Lookups(cache.memory, cache.purges).find(x, now)
  try {
    const key = describeKey(KEY.copy())
    const directives = requestDirectives(x.request)
    const { entry } = found
    const verdict =
      entry === null
        ? judgeMissing(directives, reuseVerdict())
        : judgeReuse(found.numbers, directives, now, reuseVerdict())
    const { outcome, reason, age, ttl } = verdict
    if (outcome === 'GatewayTimeout') return { filter: 'cache', effect: `has nothing usable under ${key}`, status: 504 }
    if (entry === null || outcome === 'Validate') {
      const why = resultOf(found, reason)
      const how = entry === null ? 'asks the origin' : `asks the origin whether what is ${age} s old is current`
      return { filter: 'cache', effect: `${how} (${why}): ${key}` }
    }
    const { status } = new StoredHead().at(entry.bytes, entry.headAt)
    return {
      filter: 'cache',
      effect: `answers by what is stored (${reason}), ${age} s old, ${ttl} s left: ${key}`,
      status,
    }
  } finally {
    cache.memory.leave()
  }
}

function passes(why: CacheResult): Explanation {
  return { filter: 'cache', effect: `lets the request pass (${why})` }
}
