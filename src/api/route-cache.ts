/** What `cache` cannot do where it is written. */
import { parseDuration } from '../lib/quantity.ts'
import type { FieldProblem } from './object.ts'
import type { Route } from './route.ts'

interface Cache {
  readonly maxTTL?: string
}

/** How a rule leaves the cache of its Route. */
const leaves = ({ maxTTL }: Cache): boolean => maxTTL !== undefined && parseDuration(maxTTL) === 0

/** Caches of rules that answer themselves: nothing of a Backend comes that could be stored. */
export function cacheWarnings({ spec }: Route): FieldProblem[] {
  return spec.rules.flatMap(({ name, backendRefs, policies }, i) => {
    const cache = policies?.cache as Cache | undefined
    if (cache === undefined || backendRefs !== undefined || leaves(cache)) return []
    return [
      {
        path: ['spec', 'rules', i, 'policies', 'cache'],
        reason: 'Invalid' as const,
        message: `does nothing: rule ${name} answers itself, and only responses of Backends are stored; leave it out`,
      },
    ]
  })
}
