/** What is stored for a request, by the key that is its own alone. */
import type { FilterServices } from '../services.ts'
import type { Asking } from './claims.ts'
import type { Lookup, Lookups } from './lookup.ts'
import { KEY, type RequestKeys } from './request-key.ts'
import { tell } from './words.ts'

/**
 * @returns to be read in this turn, and the memory to be left then; null: the key is too long, also that of a variant,
 *   which is the key of others as far as it was written, so the request passes by
 */
export function lookUp(
  asking: Asking,
  keys: RequestKeys,
  lookups: Lookups,
  { cache, clock }: Pick<FilterServices, 'cache' | 'clock'>,
): Lookup | null {
  const { x, rule, content } = asking
  const found = keys.write(x, rule, content) ? lookups.find(x, clock.wall()) : null
  if (!KEY.tooLong) return found
  cache.memory.leave()
  asking.claim?.fill.withdraw()
  asking.claim = null
  tell(x, 'bypass KeyTooLong', cache)
  return null
}
