/** The rules of a Route in the form of the snapshot, merged with the policies that a hostname's owner enforces. */
import { mergePolicies, type PolicyLayers } from '../api/merge.ts'
import type { RouteRule } from '../api/route.ts'
import type { PolicyDefinition } from '../policy/definition.ts'
import type { PolicySet } from '../policy/policy-set.ts'
import type { Rule, WeightedBackend } from '../snapshot/snapshot.ts'
import type { CompileState, RouteState, RuleReceivers, Variant } from './compile-state.ts'
import { identityFieldsOf } from './identity-headers.ts'
import type { HostnameClaim } from './plan.ts'
import { concurrencyOf, dependsOn, planPolicies, policyContent } from './policies.ts'
import { allowsNamespace } from './references.ts'
import type { ResourceSet } from './resource-set.ts'
import { tenancyOf } from './tenancy.ts'
import type { WorkBudget } from './work-budget.ts'

const MAX_VARIANTS = 8

/**
 * @param owner of the hostname, where the Route is a delegate's
 * @returns rules and policies by position in the Route; rules that are as before are the same objects
 */
export function variantOf(
  memo: CompileState,
  resources: ResourceSet,
  state: RouteState,
  owner: HostnameClaim | undefined,
): Variant {
  const closing = owner?.closed === true
  const of = closing ? owner : owner?.enforced
  const before = state.variants.get(of)
  if (before?.version === state.version) return before
  const stated = state.plan.rules.map((_, order) => policySet(memo, resources, state, order, owner))
  const receivers = stated.map((set, order) => receiversOf(memo, state, order, set))
  const policies = stated.map((set, order) => withholding(memo, resources, state, set, receivers[order]!))
  // An Ingress has one rule per path, up to some 17,000.
  const known = new Map(before?.rules.map((rule) => [rule.rule, rule]))
  const rules = policies.map((set, order) => {
    const rule = ruleOf(state, order, set, closing)
    const same = known.get(rule.rule)
    return same !== undefined && sameRule(same, rule) ? same : rule
  })
  const variant = { version: state.version, rules, policies, receivers }
  // Every edit of an owner's enforced policies leaves a stale variant.
  if (state.variants.size >= MAX_VARIANTS) {
    state.variants.clear()
    state.dropped = state.version
  }
  state.variants.set(of, variant)
  return variant
}

function ruleOf(state: RouteState, order: number, set: PolicySet, closing: boolean): Rule {
  const { rule, closed } = state.plan.rules[order]!
  return {
    route: state.plan.resource.key,
    rule: rule.name,
    policy: set.digest,
    backends: state.references[order] ?? [],
    ...(rule.http === undefined ? {} : { http: rule.http }),
    ...(closed || closing ? { refuse: 'RuleClosed' } : {}),
  }
}

function policySet(
  memo: CompileState,
  resources: ResourceSet,
  state: RouteState,
  order: number,
  owner: HostnameClaim | undefined,
): PolicySet {
  memo.counts.policies++
  const { rule } = state.plan.rules[order]!
  const route = state.plan.resource.object.spec.policies
  const enforced = owner?.enforced
  const layers: PolicyLayers = { settings: resources.settings.policies, owner: enforced, route, rule: rule.policies }
  const rows = rowsFor(rule, memo.policies)
  const { namespace, resource } = state.plan
  const authors = {
    route: { namespace, key: resource.key },
    owner: owner && { namespace: owner.namespace, key: owner.key },
    rule: rule.name,
  }
  const depends = dependsOn(layers, rows)
  const input = JSON.stringify([
    route,
    rule.policies,
    enforced,
    rule.redirect,
    rule.respond,
    rule.tokenIssuer,
    rule.splitAffinity,
    depends === 'rules' || depends === 'routes'
      ? { ...authors, rule: depends === 'rules' ? rule.name : '' }
      : depends === 'namespaces' || rule.tokenIssuer !== undefined
        ? [namespace, owner?.namespace]
        : 0,
  ])
  return memo.policySets.internInput(input, () => {
    const plans = planPolicies(layers, authors, rows)
    return policyContent(mergePolicies(layers, rows), rule, namespace, plans, concurrencyOf(layers, authors))
  })
}

/**
 * A token issuer proves clients itself: whoever has no token yet could have none of it. And what clients prove
 * themselves by is copied to nobody.
 */
const NOT_OF_ISSUERS: ReadonlySet<string> = new Set(['auth', 'authorization', 'mirror'])

const ISSUER_ROWS = new WeakMap<readonly PolicyDefinition[], readonly PolicyDefinition[]>()

function rowsFor({ tokenIssuer }: RouteRule, rows: readonly PolicyDefinition[]): readonly PolicyDefinition[] {
  if (tokenIssuer === undefined) return rows
  let left = ISSUER_ROWS.get(rows)
  if (left === undefined) ISSUER_ROWS.set(rows, (left = rows.filter(({ key }) => !NOT_OF_ISSUERS.has(key))))
  return left
}

function receiversOf(memo: CompileState, state: RouteState, order: number, set: PolicySet): RuleReceivers {
  const backends: string[] = []
  for (const { backend } of state.references[order] ?? []) if (backend !== undefined) backends.push(backend)
  for (const { key, receiver } of memo.policies) {
    const plan = set.policies?.[key]
    const copies = plan === undefined ? undefined : receiver?.(plan)
    const found = copies && memo.backendReferences.get(copies.backend)
    if (found?.found !== true) continue
    const { backend, from } = copies!
    if (from === undefined || allowsNamespace(found.allowed, backend, from)) backends.push(backend)
  }
  return { backends, fields: identityFieldsOf(set, memo.policies) }
}

/** With what other rules to its Backends tell them about their clients taken out. */
function withholding(
  memo: CompileState,
  resources: ResourceSet,
  state: RouteState,
  set: PolicySet,
  receivers: RuleReceivers,
): PolicySet {
  const withheld = withheldBy(memo, resources, state, receivers)
  if (withheld === undefined) return set
  const { digest: _, ...content } = set
  return memo.policySets.intern({ ...content, withheld })
}

function withheldBy(
  memo: CompileState,
  resources: ResourceSet,
  { plan }: RouteState,
  { backends, fields }: RuleReceivers,
): readonly string[] | undefined {
  const namespace = tenancyOf(resources).strict ? plan.namespace : undefined
  return memo.identityHeaders.withheldFrom(backends, namespace, fields.removed)
}

/** @returns whether what its variants take out is what they would take out now; an Ingress has 17,000 rules */
export function* withholdsEnough(
  memo: CompileState,
  resources: ResourceSet,
  state: RouteState,
  budget: WorkBudget,
): Generator<void, boolean> {
  if (state.dropped === state.version) return false
  for (const { version, policies, receivers } of state.variants.values()) {
    if (version !== state.version) continue
    for (const [order, set] of policies.entries()) {
      const { withheld } = set
      const now = withheldBy(memo, resources, state, receivers[order]!)
      if (withheld !== now && withheld?.join() !== now?.join()) return false
      if (budget.spend(1)) yield
    }
  }
  return true
}

function sameRule(a: Rule, b: Rule): boolean {
  return (
    a.policy === b.policy &&
    a.refuse === b.refuse &&
    a.http === b.http &&
    a.backends.length === b.backends.length &&
    a.backends.every((ref, i) => equalReference(ref, b.backends[i]!))
  )
}

function equalReference(a: WeightedBackend, b: WeightedBackend): boolean {
  return (
    a.backend === b.backend &&
    a.missing === b.missing &&
    a.weight === b.weight &&
    a.priority === b.priority &&
    a.refuse === b.refuse
  )
}
