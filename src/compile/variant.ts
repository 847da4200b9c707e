/** The rules of a Route as the snapshot holds them, with what is enforced on them where they are served. */
import { mergePolicies, type PolicyLayers } from '../api/merge.ts'
import type { PolicySet } from '../policy/policy-set.ts'
import type { BackendRef, Rule } from '../snapshot/snapshot.ts'
import type { CompileState, RouteState, Variant } from './compile-state.ts'
import type { Claim } from './plan.ts'
import { namesObjects, planPolicies, policyContent } from './policies.ts'
import type { ResourceSet } from './resource-set.ts'

const MAX_VARIANTS = 8

/**
 * @param owner of the hostname, where the Route is a delegate's
 * @returns rules and policies by position in the Route; rules that are as before are the same objects
 */
export function variantOf(
  memo: CompileState,
  resources: ResourceSet,
  state: RouteState,
  owner: Pick<Claim, 'enforced' | 'namespace'> | undefined,
): Variant {
  const enforced = owner?.enforced
  const before = state.variants.get(enforced)
  if (before?.version === state.version) return before
  const policies = state.plan.rules.map((_, order) => policySet(memo, resources, state, order, owner))
  // An Ingress has one for each of its paths, up to some 17,000.
  const known = new Map(before?.rules.map((rule) => [rule.rule, rule]))
  const rules = policies.map((set, order) => {
    const rule = ruleOf(state, order, set)
    const same = known.get(rule.rule)
    return same !== undefined && sameRule(same, rule) ? same : rule
  })
  const variant = { version: state.version, rules, policies }
  // Every edit of an owner's enforced policies leaves one behind.
  if (state.variants.size >= MAX_VARIANTS) state.variants.clear()
  state.variants.set(enforced, variant)
  return variant
}

function ruleOf(state: RouteState, order: number, set: PolicySet): Rule {
  const { rule, closed } = state.plan.rules[order]!
  return {
    route: state.plan.resource.key,
    rule: rule.name,
    policy: set.digest,
    backends: state.references[order] ?? [],
    ...(closed ? { refuse: 'RuleClosed' } : {}),
  }
}

function policySet(
  memo: CompileState,
  resources: ResourceSet,
  state: RouteState,
  order: number,
  owner: Pick<Claim, 'enforced' | 'namespace'> | undefined,
): PolicySet {
  memo.counts.policies++
  const { rule } = state.plan.rules[order]!
  const route = state.plan.resource.object.spec.policies
  const enforced = owner?.enforced
  const layers: PolicyLayers = { settings: resources.settings.policies, owner: enforced, route, rule: rule.policies }
  const namespaces = { route: state.plan.namespace, owner: owner?.namespace }
  const input = JSON.stringify([
    route,
    rule.policies,
    enforced,
    rule.redirect,
    rule.respond,
    namesObjects(layers, memo.policies) ? namespaces : 0,
  ])
  return memo.book.remember(input, () => {
    const plans = planPolicies(layers, namespaces, memo.policies)
    return policyContent(mergePolicies(layers, memo.policies), rule, plans)
  })
}

function sameRule(a: Rule, b: Rule): boolean {
  return (
    a.policy === b.policy &&
    a.refuse === b.refuse &&
    a.backends.length === b.backends.length &&
    a.backends.every((ref, i) => sameRef(ref, b.backends[i]!))
  )
}

function sameRef(a: BackendRef, b: BackendRef): boolean {
  return a.backend === b.backend && a.weight === b.weight && a.priority === b.priority && a.refuse === b.refuse
}
