/** What the schema leaves open in values of `requestHeaders` and `responseHeaders`: whether each can be compiled. */
import type { PolicyPlace } from '../policy/definition.ts'
import { checkTemplate } from '../policy/variables.ts'
import type { FieldProblem } from './object.ts'
import type { Policies } from './policies.ts'
import { policyPlaces } from './policy-places.ts'

const SIDES = [
  ['requestHeaders', 'request'],
  ['responseHeaders', 'response'],
] as const

/** @param object within its schema */
export function* headerValueProblems(place: PolicyPlace, object: unknown): Generator<void, FieldProblem[]> {
  const problems: FieldProblem[] = []
  for (const { path, policies } of policyPlaces(place, object)) {
    for (const [field, side] of SIDES)
      for (const edit of ['set', 'add'] as const)
        for (const [i, { value }] of ((policies as Policies | undefined)?.[field]?.[edit] ?? []).entries()) {
          const message = value.includes('%') ? checkTemplate(value, side) : undefined
          if (message !== undefined)
            problems.push({ path: [...path, field, edit, i, 'value'], reason: 'Invalid', message })
        }
    yield
  }
  return problems
}
