/**
 * Rules for the paths that policies of a Route serve themselves, such as the one that a provider sends browsers back
 * to. They stand on its hostnames with their exact paths, so they come before its own rules, and whoever else claims a
 * path is in conflict like any rule.
 */
import type { Policies } from '../api/policies.ts'
import type { Route, RouteRule } from '../api/route.ts'
import { POLICIES } from '../policy/built-in.ts'
import type { PolicyDefinition } from '../policy/definition.ts'

/** No rule of a user can be called so. */
export const POLICY_RULE = '~auth'

export function policyRules({ spec }: Route, rows: readonly PolicyDefinition[] = POLICIES): readonly RouteRule[] {
  const taken = new Set<string>()
  const rules: RouteRule[] = []
  const add = (name: string, stated: readonly (Policies | undefined)[], rule: Partial<RouteRule>): void => {
    const paths = stated.flatMap((policies) => pathsOf(policies, rows)).filter((path) => !taken.has(path))
    if (paths.length === 0) return
    for (const path of paths) taken.add(path)
    const matches = [...new Set(paths)].map((value) => ({ path: { type: 'Exact' as const, value } }))
    // Where another policy is enforced instead, nothing is there.
    rules.push({ ...rule, name, matches, respond: { statusCode: 404 } })
  }
  add(POLICY_RULE, [spec.policies, spec.policies?.enforced], {})
  for (const { name, policies, http } of spec.rules)
    if (policies !== undefined)
      add(`${POLICY_RULE}-${name}`, [policies], { policies, ...(http === undefined ? {} : { http }) })
  return rules
}

function pathsOf(policies: Policies | undefined, rows: readonly PolicyDefinition[]): string[] {
  if (policies === undefined) return []
  const values = policies as Readonly<Record<string, unknown>>
  return rows.flatMap(({ key, paths }) => [...(paths?.(values[key]) ?? [])].map(({ path }) => path))
}
