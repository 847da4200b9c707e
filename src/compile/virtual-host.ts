/** Builds the virtual host of one hostname: permissions, matching order and conflicts. */

import type { PolicySet } from '../policy/policy-set.ts'
import { UNDIVIDED } from '../snapshot/frontend.ts'
import { divideHost, frontendSetsOf, type HostOptions } from '../snapshot/host.ts'
import { compareMatches } from '../snapshot/order.ts'
import type { Host, Match, MatchOrder, Rule, VirtualHost } from '../snapshot/snapshot.ts'
import type {
  Candidate,
  CompileState,
  Conflict,
  HostState,
  HostTlsState,
  RouteMatches,
  RouteState,
} from './compile-state.ts'
import type { IdentityUse } from './identity-headers.ts'
import { nameOfRoute } from './ingress.ts'
import { merged, sorted } from './merge-sort.ts'
import { confine, EVERYWHERE, type Ownership, type Permission, permissionOf } from './ownership.ts'
import type { HostnameClaim, MatchPlan } from './plan.ts'
import type { ResourceSet } from './resource-set.ts'
import { TakenMatches } from './taken-matches.ts'
import { tenancyOf } from './tenancy.ts'
import { variantOf } from './variant.ts'
import type { WorkBudget } from './work-budget.ts'

/** The new state of a hostname, before it is committed to the memo. */
export interface HostDraft {
  readonly entries: Map<string, RouteMatches>
  readonly refused: readonly RouteState[]
  readonly order: readonly Candidate[]
  readonly served: Host | undefined
  readonly policies: readonly PolicySet[]
  /** What its rules tell Backends about clients. */
  readonly identity: readonly IdentityUse[]
  readonly owner: HostnameClaim | undefined
  readonly conflicts: ReadonlyMap<RouteState, readonly Conflict[]>
}

/** What is known of a hostname before its rules are looked at. */
export interface HostFrame {
  readonly ownership: Ownership | undefined
  readonly extendsWildcard: boolean
  readonly tls: HostTlsState | undefined
}

export function* draftVirtualHost(
  memo: CompileState,
  resources: ResourceSet,
  host: HostState,
  { ownership, extendsWildcard, tls }: HostFrame,
  budget: WorkBudget,
): Generator<void, HostDraft> {
  const entries = new Map<string, RouteMatches>()
  const refused: RouteState[] = []
  for (const [key, state] of host.routes) {
    const permission = permissionOn(host, state, ownership, resources)
    if (permission === undefined) refused.push(state)
    else entries.set(key, yield* entryOf(memo, host.entries.get(key), state, permission, budget))
    if (budget.spend(1)) yield
  }
  memo.working()
  const order = yield* sortCandidates(host, entries, budget)
  const { policies, identity, matches, conflicts } = yield* assemble(memo, resources, order, ownership?.owner, budget)
  const owned = ownership?.exact === true
  const passed = passthroughOf(memo, resources, tls)
  if (passed !== undefined) policies.push(passed.policy)
  memo.counts.hosts++
  memo.counts.matches += matches.length
  return {
    entries,
    refused,
    order,
    served:
      owned || matches.length > 0
        ? yield* partitionByFrontend(
            memo,
            host,
            matches,
            { extendsWildcard, tls: tls?.tls, passthrough: passed },
            budget,
          )
        : undefined,
    policies: owned || matches.length > 0 ? policies : [],
    identity,
    owner: ownership?.owner,
    conflicts,
  }
}

/** The rule that gets the connections to a hostname that is passed through: the first of the Route that says so. */
function passthroughOf(memo: CompileState, resources: ResourceSet, effective: HostTlsState | undefined) {
  if (effective?.tls.mode !== 'Passthrough') return undefined
  const { route } = effective
  const { rules, policies } = variantOf(memo, resources, route, undefined)
  const [rule] = rules
  const [policy] = policies
  return rule && policy && { rule, policy, frontends: route.plan.frontends }
}

/** Reuses unchanged layers and an unchanged whole. */
function* partitionByFrontend(
  memo: CompileState,
  { hostname, served: before }: HostState,
  matches: readonly Match[],
  options: HostOptions,
  budget: WorkBudget,
): Generator<void, Host> {
  const sets = frontendSetsOf(matches, options.passthrough?.frontends)
  const partition = memo.partitions.of(sets, before?.partition ?? UNDIVIDED)
  const steps = divideHost(hostname, matches, partition, options)
  let step = steps.next()
  for (; step.done !== true; step = steps.next()) if (budget.spend(8)) yield
  const host = step.value
  if (before === undefined) return host
  const groups = new Map(before.partition.groups.map(({ key }, i) => [key, before.own[i]]))
  const own = host.own.map((layer, i) => reuseLayer(layer, groups.get(partition.groups[i]!.key)))
  const common = reuseLayer(host.common!, before.common)
  const same =
    partition === before.partition &&
    host.extendsWildcard === before.extendsWildcard &&
    host.tls?.key === before.tls?.key &&
    common === before.common &&
    own.every((layer, i) => layer === before.own[i])
  return same && sameMatches(matches, before.matches) ? before : { ...host, common, own }
}

function reuseLayer(layer: VirtualHost, before: VirtualHost | undefined): VirtualHost {
  return before !== undefined && sameVirtualHost(layer, before) ? before : layer
}

/** The catch-all has no owner; in Strict tenancy, neither has a hostname that only namespaces without a grant name. */
function permissionOn(
  host: HostState,
  state: RouteState,
  ownership: Ownership | undefined,
  resources: ResourceSet,
): Permission | undefined {
  if (ownership === undefined)
    return tenancyOf(resources).isHostnameGranted(state.plan.namespace, host.hostname) ? EVERYWHERE : undefined
  return permissionOf(ownership.owner, state.plan.namespace, resources.namespaces)
}

function* entryOf(
  memo: CompileState,
  before: RouteMatches | undefined,
  state: RouteState,
  permission: Permission,
  budget: WorkBudget,
): Generator<void, RouteMatches> {
  const plan = state.plan
  if (before !== undefined && before.plan.rules === plan.rules && samePermission(before.permission, permission))
    return before
  memo.working(nameOfRoute(plan.resource.key))
  const candidates: Candidate[] = []
  const outside: MatchPlan[] = []
  for (const rule of plan.rules)
    for (const match of rule.matches) {
      const within = confine(match.match, permission)
      if (within !== false) candidates.push({ ...match, state, within, made: undefined })
      else if (match.implied === undefined) outside.push(match)
      if (budget.spend(1)) yield
    }
  return { state, plan, permission, candidates, outside }
}

function samePermission(a: Permission, b: Permission): boolean {
  return a === b || (a.length === b.length && a.every((prefix, i) => prefix === b[i]))
}

/** Up to this number, candidates are sorted without yielding. */
const SORT_AT_ONCE = 64

/** All candidates in matching order: sorts the new ones and merges them with the rest. */
function* sortCandidates(
  host: HostState,
  entries: ReadonlyMap<string, RouteMatches>,
  budget: WorkBudget,
): Generator<void, readonly Candidate[]> {
  const fresh: Candidate[] = []
  const gone = new Set<Candidate>()
  for (const [key, entry] of host.entries)
    if (entries.get(key) !== entry) for (const candidate of entry.candidates) gone.add(candidate)
  for (const [key, entry] of entries)
    if (host.entries.get(key) !== entry) for (const candidate of entry.candidates) fresh.push(candidate)
  if (budget.spend(entries.size / 16)) yield
  if (fresh.length === 0 && gone.size === 0) return host.order
  if (gone.size === 0 && host.order.length === 0 && fresh.length <= SORT_AT_ONCE) return fresh.sort(compareMatches)
  let kept = host.order
  if (gone.size > 0) {
    const rest: Candidate[] = []
    for (const candidate of host.order) {
      if (!gone.has(candidate)) rest.push(candidate)
      if ((rest.length & 255) === 0 && budget.spend(8)) yield
    }
    kept = rest
  }
  return yield* merged(kept, yield* sorted(fresh, compareMatches, budget), compareMatches, budget)
}

function* assemble(
  memo: CompileState,
  resources: ResourceSet,
  order: readonly Candidate[],
  owner: HostnameClaim | undefined,
  budget: WorkBudget,
) {
  const policies: PolicySet[] = []
  const identity: IdentityUse[] = []
  const matches: Match[] = []
  const known = new Set<Rule>()
  const taken = new TakenMatches()
  const conflicts = new Map<RouteState, Conflict[]>()
  for (const candidate of order) {
    const winner = taken.take(candidate)
    if (winner !== undefined) {
      if (candidate.implied === undefined) append(conflicts, candidate.state, { loser: candidate, winner })
    } else {
      const { state, ruleOrder } = candidate
      const foreign = owner !== undefined && owner.namespace !== state.plan.namespace
      const variant = variantOf(memo, resources, state, foreign ? owner : undefined)
      const rule = variant.rules[ruleOrder]!
      if (!known.has(rule)) {
        known.add(rule)
        policies.push(variant.policies[ruleOrder]!)
        const { backends, fields } = variant.receivers[ruleOrder]!
        if (fields.stated.length > 0 && backends.length > 0)
          identity.push({ namespace: state.plan.namespace, backends, names: fields.stated })
        // Accounts for merging its policies.
        if (budget.spend(20)) yield
      }
      matches.push(matchOf(candidate, rule))
    }
    if (budget.spend(2 + (candidate.match.frontends?.names.length ?? 0) / 8)) yield
  }
  return { policies, identity, matches, conflicts }
}

function append(conflicts: Map<RouteState, Conflict[]>, state: RouteState, conflict: Conflict): void {
  const list = conflicts.get(state)
  if (list === undefined) conflicts.set(state, [conflict])
  else list.push(conflict)
}

function matchOf(candidate: Candidate, rule: Rule): Match {
  if (candidate.made?.rule !== rule) {
    const { match, within, created, ruleOrder, matchOrder } = candidate
    candidate.made = { ...match, within, rule, order: { created, rule: ruleOrder, match: matchOrder } }
  }
  return candidate.made
}

function sameVirtualHost(a: VirtualHost, b: VirtualHost): boolean {
  return (
    a.passthrough === b.passthrough &&
    a.rules.length === b.rules.length &&
    a.rules.every((rule, i) => rule === b.rules[i]) &&
    sameMatches(a.matches, b.matches)
  )
}

function sameMatches(a: readonly Match[], b: readonly Match[]): boolean {
  return a.length === b.length && a.every((match, i) => sameMatch(match, b[i]!))
}

function sameMatch(a: Match, b: Match): boolean {
  return (
    a === b ||
    (a.rule === b.rule &&
      a.path === b.path &&
      a.method === b.method &&
      a.headers === b.headers &&
      a.queryParams === b.queryParams &&
      a.cookies === b.cookies &&
      a.sourceCIDRs === b.sourceCIDRs &&
      a.frontends === b.frontends &&
      a.within === b.within &&
      sameOrder(a.order, b.order))
  )
}

function sameOrder(a: MatchOrder, b: MatchOrder): boolean {
  return a.created === b.created && a.rule === b.rule && a.match === b.match
}
