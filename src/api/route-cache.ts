/** What `cache` cannot do where it is written. */
import { parseDuration } from '../lib/quantity.ts'
import type { FieldProblem } from './object.ts'
import type { Route } from './route.ts'
import { statedBy } from './route-access.ts'

/** What of `cache` has no effect, or takes that of another field away. */
export function cacheWarnings(route: Route): FieldProblem[] {
  return [...idleCaches(route), ...lostAffinities(route)]
}

interface Cache {
  readonly maxTTL?: string
  readonly key?: { readonly by?: readonly string[] }
}

/** How a rule leaves the cache of its Route. */
const leaves = ({ maxTTL }: Cache): boolean => maxTTL !== undefined && parseDuration(maxTTL) === 0

/** Rules that answer themselves: nothing of a Backend comes that could be stored. */
function idleCaches({ spec }: Route): FieldProblem[] {
  const idle = spec.rules.flatMap(({ name, backendRefs, policies }, i) =>
    backendRefs === undefined && stores(policies)
      ? [idleAt(['spec', 'rules', i, 'policies', 'cache'], `rule ${name} answers itself`)]
      : [],
  )
  if (spec.rules.some(({ backendRefs }) => backendRefs !== undefined)) return idle
  const places = [
    ...(stores(spec.policies) ? [['cache']] : []),
    ...(stores(spec.policies?.enforced) ? [['enforced', 'cache']] : []),
  ]
  return [...places.map((steps) => idleAt(['spec', 'policies', ...steps], 'every rule answers itself')), ...idle]
}

function stores(policies: { readonly cache?: unknown } | undefined): boolean {
  const cache = policies?.cache as Cache | undefined
  return cache !== undefined && !leaves(cache)
}

function idleAt(path: FieldProblem['path'], why: string): FieldProblem {
  const message = `does nothing: ${why}, and only responses of Backends are stored; leave it out`
  return { path, reason: 'Invalid', message }
}

/** Users stay in their part of the split only as far as they are apart in the key. */
function lostAffinities({ spec }: Route): FieldProblem[] {
  return spec.rules.flatMap((rule, i) => {
    if (rule.splitAffinity === undefined) return []
    const cache = statedBy(spec, rule, i, 'cache')?.[1] as Cache | undefined
    if (cache === undefined || leaves(cache)) return []
    const { by, cookie } = rule.splitAffinity
    const users = [...by, ...(cookie === undefined ? [] : [`cookie:${cookie.name}`])]
    const missing = users.filter((selector) => !cache.key?.by?.includes(selector))
    if (missing.length === 0) return []
    const message =
      'holds for what is fetched only: users of all parts get one stored response, of whichever part it is; ' +
      `name ${missing.join(', ')} in cache.key.by, or leave the cache by maxTTL: 0s`
    return [{ path: ['spec', 'rules', i, 'splitAffinity'], reason: 'Invalid' as const, message }]
  })
}
