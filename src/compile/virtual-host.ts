/** The rules of one hostname: who may put what there, in which order it is tried, and who has lost to whom. */

import type { PolicySet } from '../policy/policy-set.ts'
import { compareMatches } from '../snapshot/order.ts'
import type { Match, Rule, VirtualHost } from '../snapshot/snapshot.ts'
import type { Candidate, CompileState, Conflict, HostState, RouteMatches, RouteState } from './compile-state.ts'
import { nameOfRoute } from './ingress.ts'
import { merged, sorted } from './merge-sort.ts'
import { confine, EVERYWHERE, isBelowAny, type Ownership, type Permission, permissionOf } from './ownership.ts'
import type { Claim, MatchPlan } from './plan.ts'
import type { ResourceSet } from './resource-set.ts'
import { tenancyOf } from './tenancy.ts'
import { variantOf } from './variant.ts'
import type { WorkBudget } from './work-budget.ts'

/** What a hostname is made of now; nothing of the memo has changed yet. */
export interface Draft {
  readonly entries: Map<string, RouteMatches>
  readonly refused: readonly RouteState[]
  readonly order: readonly Candidate[]
  readonly segment: VirtualHost | undefined
  readonly policies: readonly PolicySet[]
  readonly lead: Claim | undefined
  readonly conflicts: ReadonlyMap<RouteState, readonly Conflict[]>
}

export function* draftVirtualHost(
  memo: CompileState,
  resources: ResourceSet,
  host: HostState,
  ownership: Ownership | undefined,
  base: HostState | undefined,
  budget: WorkBudget,
): Generator<void, Draft> {
  const entries = new Map<string, RouteMatches>()
  const refused: RouteState[] = []
  for (const [key, state] of host.routes) {
    const permission = permissionOn(host, state, ownership, resources)
    if (permission === undefined) refused.push(state)
    else entries.set(key, yield* entryOf(memo, host.entries.get(key), state, permission, budget))
    if (budget.spend(1)) yield
  }
  memo.working()
  const order = yield* arrange(host, entries, budget)
  const { rules, policies, matches, conflicts } = yield* assemble(memo, resources, order, ownership?.lead, budget)
  const owned = ownership?.exact === true
  // A delegate adds to what the owner serves by a wildcard; it must not take the rest of the name away from it.
  if (!owned && base?.segment !== undefined) yield* borrow(base, rules, policies, matches, budget)
  const segment = owned || matches.length > 0 ? { hostname: host.hostname, rules, matches } : undefined
  const same = segment !== undefined && host.segment !== undefined && sameVirtualHost(segment, host.segment)
  memo.counts.hosts++
  memo.counts.matches += matches.length
  return {
    entries,
    refused,
    order,
    segment: same ? host.segment : segment,
    policies: segment === undefined ? [] : policies,
    lead: ownership?.lead,
    conflicts,
  }
}

/** Nobody owns what no Route names; and in Strict what only those name to whom it was not granted. */
function permissionOn(
  host: HostState,
  state: RouteState,
  ownership: Ownership | undefined,
  resources: ResourceSet,
): Permission | undefined {
  if (ownership === undefined)
    return tenancyOf(resources).mayUse(state.plan.namespace, host.hostname) ? EVERYWHERE : undefined
  return permissionOf(ownership.lead, state.plan.namespace, resources.namespaces)
}

function* entryOf(
  memo: CompileState,
  before: RouteMatches | undefined,
  state: RouteState,
  permission: Permission,
  budget: WorkBudget,
): Generator<void, RouteMatches> {
  const plan = state.plan
  if (before !== undefined && before.plan === plan && samePermission(before.permission, permission)) return before
  memo.working(nameOfRoute(plan.resource.key))
  const candidates: Candidate[] = []
  const outside: MatchPlan[] = []
  for (const rule of plan.rules)
    for (const match of rule.matches) {
      const within = confine(match.match, permission)
      if (within === false) outside.push(match)
      else candidates.push({ ...match, state, within, made: undefined })
      if (budget.spend(1)) yield
    }
  return { state, plan, permission, candidates, outside }
}

function samePermission(a: Permission, b: Permission): boolean {
  return a === b || (a.length === b.length && a.every((prefix, i) => prefix === b[i]))
}

/** So many are sorted without a thought of turns. */
const FEW = 64

/** All candidates in matching order: what stays is merged with what is new, so that only new ones are sorted. */
function* arrange(
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
  if (gone.size === 0 && host.order.length === 0 && fresh.length <= FEW) return fresh.sort(compareMatches)
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
  lead: Claim | undefined,
  budget: WorkBudget,
) {
  const rules: Rule[] = []
  const policies: PolicySet[] = []
  const matches: Match[] = []
  const indexes = new Map<Rule, number>()
  const taken = new Map<string, Candidate | Candidate[]>()
  const conflicts = new Map<RouteState, Conflict[]>()
  for (const candidate of order) {
    const winner = take(taken, candidate)
    if (winner !== undefined) append(conflicts, candidate.state, { loser: candidate, winner })
    else {
      const { state, ruleOrder } = candidate
      const foreign = lead !== undefined && lead.namespace !== state.plan.namespace
      const variant = variantOf(memo, resources, state, foreign ? lead : undefined)
      const rule = variant.rules[ruleOrder]!
      let index = indexes.get(rule)
      if (index === undefined) {
        index = rules.push(rule) - 1
        policies.push(variant.policies[ruleOrder]!)
        indexes.set(rule, index)
        // Its policies may just have been merged.
        if (budget.spend(20)) yield
      }
      matches.push(matchOf(candidate, index))
    }
    if (budget.spend(2)) yield
  }
  return { rules, policies, matches, conflicts }
}

/**
 * Enters a match among those of the same identity that come before it.
 *
 * @returns the one that leaves nothing to it: on every listener, and wherever it may be, an earlier one is tried first
 */
function take(taken: Map<string, Candidate | Candidate[]>, candidate: Candidate): Candidate | undefined {
  const earlier = taken.get(candidate.identity)
  if (earlier === undefined) {
    taken.set(candidate.identity, candidate)
    return undefined
  }
  const list = Array.isArray(earlier) ? earlier : [earlier]
  let left = candidate.match.listeners
  for (const other of list)
    if (isWithin(candidate.within, other.within)) {
      left &= ~other.match.listeners
      if (left === 0) return other
    }
  list.push(candidate)
  taken.set(candidate.identity, list)
  return undefined
}

/** Asked again for each pair of equal matches, while there are few pairs of lists. */
const WITHIN = new WeakMap<readonly string[], WeakMap<readonly string[], boolean>>()

/** Whether all that stays below `inner` stays below `outer` too; an empty list is everywhere. */
function isWithin(inner: readonly string[], outer: readonly string[]): boolean {
  if (outer.length === 0 || inner === outer) return true
  if (inner.length === 0) return false
  let known = WITHIN.get(inner)
  if (known === undefined) WITHIN.set(inner, (known = new WeakMap()))
  let within = known.get(outer)
  if (within === undefined) known.set(outer, (within = inner.every((prefix) => isBelowAny(prefix, outer))))
  return within
}

function append(conflicts: Map<RouteState, Conflict[]>, state: RouteState, conflict: Conflict): void {
  const list = conflicts.get(state)
  if (list === undefined) conflicts.set(state, [conflict])
  else list.push(conflict)
}

function matchOf(candidate: Candidate, rule: number): Match {
  if (candidate.made?.rule !== rule) candidate.made = { ...candidate.match, within: candidate.within, rule }
  return candidate.made
}

/** Appends the rules of the wildcard that covers the name: the name itself is more specific, so its own come first. */
function* borrow(
  base: HostState,
  rules: Rule[],
  policies: PolicySet[],
  matches: Match[],
  budget: WorkBudget,
): Generator<void, void> {
  const { segment } = base
  if (segment === undefined || matches.length === 0) return
  const shift = rules.length
  for (const rule of segment.rules) rules.push(rule)
  for (const set of base.policies) policies.push(set)
  for (const match of segment.matches) {
    matches.push({ ...match, rule: match.rule + shift })
    if (budget.spend(1)) yield
  }
}

function sameVirtualHost(a: VirtualHost, b: VirtualHost): boolean {
  return (
    a.rules.length === b.rules.length &&
    a.matches.length === b.matches.length &&
    a.rules.every((rule, i) => rule === b.rules[i]) &&
    a.matches.every((match, i) => sameMatch(match, b.matches[i]!))
  )
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
      a.listeners === b.listeners &&
      a.within === b.within)
  )
}
