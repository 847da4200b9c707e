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
