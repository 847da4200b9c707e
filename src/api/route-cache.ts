/** What `cache` cannot do where it is written. */
import type { FieldProblem } from './object.ts'
import type { Route } from './route.ts'

/** What of `cache` has no effect, or takes that of another field away. */
export function cacheWarnings(route: Route): FieldProblem[] {
  return [...idleCaches(route), ...lostAffinities(route)]
}

interface Cache {
  readonly maxTTL?: unknown
  readonly key?: { readonly by?: readonly string[] }
}

/** Rules that answer themselves: nothing of a Backend comes that could be stored. */
function idleCaches({ spec }: Route): FieldProblem[] {
  return spec.rules.flatMap(({ name, backendRefs, policies }, i) => {
    const { cache } = policies ?? {}
    if (cache === undefined || backendRefs !== undefined) return []
    // How a rule leaves the cache of its Route.
    if ((cache as Cache).maxTTL === '0s') return []
    return [
      {
        path: ['spec', 'rules', i, 'policies', 'cache'],
        reason: 'Invalid' as const,
        message: `does nothing: rule ${name} answers itself, and only responses of Backends are stored; leave it out`,
      },
    ]
  })
}

/** Users stay in their part of the split only as far as they are apart in the key. */
function lostAffinities({ spec }: Route): FieldProblem[] {
  return spec.rules.flatMap(({ splitAffinity, policies }, i) => {
    const cache = (policies?.cache ?? spec.policies?.cache) as Cache | undefined
    if (splitAffinity === undefined || cache === undefined || cache.maxTTL === '0s') return []
    const { by, cookie } = splitAffinity
    const users = [...by, ...(cookie === undefined ? [] : [`cookie:${cookie.name}`])]
    const missing = users.filter((selector) => !cache.key?.by?.includes(selector))
    if (missing.length === 0) return []
    const message =
      'holds for what is fetched only: users of all parts get one stored response, of whichever part it is; ' +
      `name ${missing.join(', ')} in cache.key.by, or leave the cache by maxTTL: 0s`
    return [{ path: ['spec', 'rules', i, 'splitAffinity'], reason: 'Invalid' as const, message }]
  })
}
