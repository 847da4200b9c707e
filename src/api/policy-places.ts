/** Locates policies in an object, and validates the registered ones (src/policy/definition.ts). */
import type { PolicyDefinition, PolicyPlace } from '../policy/definition.ts'
import { TYPED_KEYS } from './merge.ts'
import type { FieldProblem } from './object.ts'
import { list, member } from './raw-object.ts'

/** What may stand beside the rows. */
const OTHERS: ReadonlySet<string> = new Set([...TYPED_KEYS, 'enforced'])

export interface StatedPolicies {
  readonly path: readonly (string | number)[]
  /** As it was read, or validated. */
  readonly policies: unknown
}

/** @param object a Route, or the settings; may not have been validated */
export function* policyPlaces(place: PolicyPlace, object: unknown): Generator<StatedPolicies> {
  if (place === 'Settings') {
    const policies = member(object, 'policies')
    for (const name of ['defaults', 'enforced'] as const)
      yield { path: ['policies', name], policies: member(policies, name) }
    return
  }
  const spec = member(object, 'spec')
  const policies = member(spec, 'policies')
  yield { path: ['spec', 'policies'], policies }
  yield { path: ['spec', 'policies', 'enforced'], policies: member(policies, 'enforced') }
  for (const [i, rule] of list(member(spec, 'rules')).entries())
    yield { path: ['spec', 'rules', i, 'policies'], policies: member(rule, 'policies') }
}

/** @param object within its schema; may have thousands of policies, of which one takes a millisecond at most */
export function* policyProblems(
  place: PolicyPlace,
  object: unknown,
  rows: readonly PolicyDefinition[],
): Generator<void, readonly FieldProblem[]> {
  const problems: FieldProblem[] = []
  for (const { path, policies } of policyPlaces(place, object)) {
    for (const key of Object.keys(policies ?? {}))
      if (!OTHERS.has(key) && rows.every((row) => row.key !== key))
        problems.push({ path: [...path, key], reason: 'NotImplemented', message: `${key} is not built; leave it out` })
    for (const { key, check } of rows) {
      const value = member(policies, key)
      if (value === undefined || check === undefined) continue
      for (const problem of check(value, place))
        problems.push({ path: [...path, key, ...problem.path], reason: 'Invalid', message: problem.message })
      yield
    }
  }
  return problems
}
