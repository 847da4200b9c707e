/** What `cache` cannot do where it is written. */
import type { FieldProblem } from './object.ts'
import type { Route } from './route.ts'

/** Rules that answer themselves: nothing of a Backend comes that could be stored. */
export function cacheWarnings({ spec }: Route): FieldProblem[] {
  return spec.rules.flatMap(({ name, backendRefs, policies }, i) => {
    const { cache } = policies ?? {}
    if (cache === undefined || backendRefs !== undefined) return []
    // How a rule leaves the cache of its Route.
    if ((cache as { readonly maxTTL?: unknown }).maxTTL === '0s') return []
    return [
      {
        path: ['spec', 'rules', i, 'policies', 'cache'],
        reason: 'Invalid' as const,
        message: `does nothing: rule ${name} answers itself, and only responses of Backends are stored; leave it out`,
      },
    ]
  })
}
