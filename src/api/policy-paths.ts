/** What a Route may not do with the paths that its policies serve themselves. */
import type { PolicyDefinition } from '../policy/definition.ts'
import type { FieldProblem } from './object.ts'
import { policyPlaces } from './policy-places.ts'
import { list, member } from './raw-object.ts'

/** @param route within its schema */
export function policyPathProblems(route: unknown, rows: readonly PolicyDefinition[]): FieldProblem[] {
  const problems: FieldProblem[] = []
  const servers = new Map<string, string>()
  for (const { path: place, policies } of policyPlaces('Route', route))
    for (const { key, paths } of rows)
      for (const { path, server } of paths?.(member(policies, key)) ?? []) {
        if ((servers.get(path) ?? server) !== server)
          problems.push({
            path: [...place, key],
            reason: 'Invalid',
            message: `serves ${path}, which another ${key} of this Route serves with other fields; give it another path, or the same fields`,
          })
        servers.set(path, server)
      }
  if (servers.size === 0) return problems
  for (const [i, rule] of list(member(member(route, 'spec'), 'rules')).entries())
    for (const [j, match] of list(member(rule, 'matches')).entries()) {
      const path = member(match, 'path')
      const value = member(path, 'value')
      if (member(path, 'type') === 'Exact' && typeof value === 'string' && servers.has(value))
        problems.push({
          path: ['spec', 'rules', i, 'matches', j, 'path', 'value'],
          reason: 'Invalid',
          message: `is a path that auth of this Route serves itself; give one of the two another path`,
        })
    }
  return problems
}
