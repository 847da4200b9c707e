/** Hostnames: the owner of each, and its virtual host. */
import { isDeepStrictEqual } from 'node:util'
import { coveringWildcards } from '../pattern/host.ts'
import type {
  Candidate,
  CompileState,
  HostnameOutcome,
  HostState,
  HostTlsState,
  RouteMatches,
  RouteState,
} from './compile-state.ts'
import { tlsOfHost } from './host-tls.ts'
import { statusName } from './ingress.ts'
import { ageOf, EVERYWHERE, type HostnameOwner, type Ownership, oldestOf, ownershipOf } from './ownership.ts'
import { CATCH_ALL, type HostnameClaim } from './plan.ts'
import { keyOfNode, kindOfNode } from './reference-graph.ts'
import type { Age, ResourceSet } from './resource-set.ts'
import { type Tenancy, tenancyOf } from './tenancy.ts'
import { withholdsEnough } from './variant.ts'
import { draftVirtualHost, type HostDraft } from './virtual-host.ts'
import type { WorkBudget } from './work-budget.ts'

/** A claim on a wildcard affects every hostname below it. */
export function* resolveOwners(memo: CompileState, resources: ResourceSet, budget: WorkBudget): Generator<void, void> {
  const { work } = memo
  for (const hostname of work.claims) {
    const host = memo.hosts.get(hostname)
    const first = host === undefined || hostname === CATCH_ALL ? undefined : oldestOf(claimsOn(host, resources))
    if (host !== undefined && host.first !== first) {
      host.first = first
      if (hostname.startsWith('*.')) work.wildcards.add(hostname)
    }
    work.claims.delete(hostname)
    if (budget.spend(1 + (host?.routes.size ?? 0) / 16)) yield
  }
  if (work.wildcards.size === 0) return
  for (const hostname of memo.hosts.keys()) {
    if (!work.hosts.has(hostname) && coveringWildcards(hostname).some((wildcard) => work.wildcards.has(wildcard)))
      work.hosts.add(hostname)
    if (budget.spend(1)) yield
  }
  work.wildcards.clear()
}

/** The effective claims: Strict tenancy ignores claims and reservations of namespaces without a grant. */
function claimsOn(host: HostState, resources: ResourceSet): HostnameClaim[] {
  const tenancy = tenancyOf(resources)
  const claims: HostnameClaim[] = []
  for (const { plan } of host.routes.values())
    if (tenancy.isHostnameGranted(plan.namespace, host.hostname)) claims.push(plan.claim)
  const reservation = tenancy.strict ? reservationOf(host, resources) : undefined
  if (reservation === undefined || !tenancy.isHostnameGranted(reservation.namespace, host.hostname)) return claims
  // The namespace has Routes again: the owning Route takes over the reservation's age.
  const own = oldestOf(claims.filter(({ namespace }) => namespace === reservation.namespace))
  claims.push(own === undefined ? reservation : backdatedClaim(host, reservation, own))
  return claims
}

/** The same object while the reservation is unchanged. */
function reservationOf(host: HostState, { reservations }: ResourceSet): HostnameClaim | undefined {
  const reservation = reservations.get(host.hostname)
  if (host.reservation?.reservation !== reservation)
    host.reservation = reservation && {
      ...reservation,
      delegates: NONE,
      enforced: undefined,
      closed: false,
      reservation,
      created: reservation.created,
    }
  return host.reservation
}

function backdatedClaim(host: HostState, reservation: HostnameClaim, of: HostnameClaim): HostnameClaim {
  if (host.backdated?.reservation !== reservation || host.backdated.of !== of)
    host.backdated = { reservation, of, claim: { ...of, age: { created: reservation.created, key: reservation.key } } }
  return host.backdated.claim
}

const NONE: readonly never[] = Object.freeze([])

export function* buildHosts(memo: CompileState, resources: ResourceSet, budget: WorkBudget): Generator<void, void> {
  const { work } = memo
  while (work.hosts.size > 0 || work.wildcards.size > 0 || memo.identityHeaders.changed.size > 0) {
    for (const hostname of work.hosts) yield* buildHost(memo, resources, hostname, budget)
    // A wildcard that starts or stops serving is extended, or no longer, by the hostnames below it.
    if (work.wildcards.size > 0) yield* resolveOwners(memo, resources, budget)
    yield* markReceivers(memo, resources, budget)
  }
}

/**
 * Marks the hostnames of Routes to Backends that are told other things about clients than before. What a rule states
 * does not depend on what it takes out, so the next round changes nothing any more.
 */
function* markReceivers(memo: CompileState, resources: ResourceSet, budget: WorkBudget): Generator<void, void> {
  const { graph, identityHeaders, routes, work } = memo
  // Each Route once, however many of its Backends are told other things.
  const users = new Set<RouteState>()
  for (const receiver of identityHeaders.changed)
    for (const id of identityHeaders.backendsOf(receiver))
      for (const user of graph.users('Backend', id)) {
        const state = kindOfNode(user) === 'Route' ? routes.get(keyOfNode(user)) : undefined
        if (state !== undefined) users.add(state)
        if (budget.spend(1)) yield
      }
  for (const state of users) {
    if (yield* withholdsEnough(memo, resources, state, budget)) continue
    state.version++
    for (const hostname of state.hostnames) work.hosts.add(hostname)
    if (budget.spend(1 + state.plan.rules.length / 4)) yield
  }
  // Not before all of them are marked: a compile that ends in between does them again.
  identityHeaders.changed.clear()
}

function* buildHost(
  memo: CompileState,
  resources: ResourceSet,
  hostname: string,
  budget: WorkBudget,
): Generator<void, void> {
  const host = memo.hosts.get(hostname)
  if (host === undefined) {
    memo.work.hosts.delete(hostname)
    return
  }
  const above: HostState[] = []
  for (const wildcard of hostname === CATCH_ALL ? [] : coveringWildcards(hostname)) {
    // This hostname may extend it, if it is served.
    if (memo.work.hosts.has(wildcard)) yield* buildHost(memo, resources, wildcard, budget)
    const covering = memo.hosts.get(wildcard)
    if (covering !== undefined) above.push(covering)
  }
  const owners = above.flatMap(({ first }) => (first === undefined ? [] : [first]))
  const claims = hostname === CATCH_ALL ? [] : claimsOn(host, resources)
  const ownership = withoutReservation(ownershipOf(claims, owners), above)
  // A delegate adds to the rules of the owner's wildcard; it must not remove them from the hostname.
  const extendsWildcard = ownership?.exact === false && above.some(({ served }) => served !== undefined)
  const tls = tlsOfHost(host, ownership, above)
  const draft = yield* draftVirtualHost(memo, resources, host, { ownership, extendsWildcard, tls }, budget)
  commit(memo, host, draft)
  commitTls(memo, host, tls)
  recordHandover(memo, resources, host, ownership, [...claims, ...owners])
  host.ownership = ownership
  if (tenancyOf(resources).strict) recordOwner(memo, hostname, ownership, claims, owners)
  else memo.owners.delete(hostname)
  yield* recordOutcomes(memo, host, draft, tenancyOf(resources), budget)
  if (host.routes.size === 0 && !resources.reservations.has(hostname)) memo.hosts.delete(hostname)
  memo.work.hosts.delete(hostname)
  if (budget.spend(5)) yield
}

/**
 * A reserved hostname serves nothing, also not by other namespaces' wildcards or catch-all Routes, so that its
 * owner's traffic reaches nobody else. A wildcard of the owner itself still serves it.
 */
function withoutReservation(ownership: Ownership | undefined, above: readonly HostState[]): Ownership | undefined {
  if (ownership?.owner.reservation === undefined || !ownership.exact) return ownership
  const owner = above.find(({ served }) => served !== undefined)?.ownership?.owner
  const own = owner !== undefined && owner.reservation === undefined && owner.namespace === ownership.owner.namespace
  return own ? { owner, decider: owner, exact: false } : ownership
}

/** @param claims the effective claims on the hostname and on wildcards above it */
function recordHandover(
  { handovers }: CompileState,
  resources: ResourceSet,
  { hostname, ownership: before }: HostState,
  now: Ownership | undefined,
  claims: readonly HostnameClaim[],
): void {
  if (hostname === CATCH_ALL || before?.decider === now?.decider) return
  handovers.note(hostname, before?.decider, now?.decider, ({ namespace, reservation }) => ({
    reservation: reservation !== undefined,
    granted: tenancyOf(resources).isHostnameGranted(namespace, hostname),
    still: oldestOf(claims.filter((claim) => claim.namespace === namespace)),
  }))
}

function recordOwner(
  memo: CompileState,
  hostname: string,
  ownership: Ownership | undefined,
  claims: readonly HostnameClaim[],
  above: readonly HostnameClaim[],
): void {
  const before = memo.owners.get(hostname)
  const { owner } = ownership ?? {}
  const own = claims.filter(({ namespace }) => namespace === owner?.namespace)
  const first = oldestOf(own)
  if (owner === undefined || first === undefined) {
    if (before !== undefined) memo.owners.delete(hostname)
    return
  }
  const oldest = oldestOf(own.filter(({ age, reservation }) => age === undefined && reservation === undefined))
  const contested = [...claims, ...above].some(
    (claim) => claim.namespace !== owner.namespace && claim.reservation === undefined,
  )
  const age = plainAge(ageOf(first))
  const now: HostnameOwner = { namespace: owner.namespace, age, oldestRoute: oldest && plainAge(oldest), contested }
  if (!isDeepStrictEqual(before, now)) memo.owners.set(hostname, now)
}

function plainAge({ created, key }: Age): Age {
  return { created, key }
}

function commit(memo: CompileState, host: HostState, draft: HostDraft): void {
  const { hostname } = host
  // New ones first, so that sets that stay never reach zero users.
  if (host.policies !== draft.policies) {
    for (const set of draft.policies) memo.policySets.retain(set)
    for (const set of host.policies) memo.policySets.release(set)
  }
  const before = host.served
  host.entries = draft.entries
  host.order = draft.order
  host.served = draft.served
  host.policies = draft.policies
  memo.identityHeaders.use(hostname, draft.identity)
  if (before === draft.served) return
  if (draft.served !== undefined) memo.partitions.retain(draft.served.partition)
  if (before !== undefined) memo.partitions.release(before.partition)
  if (draft.served === undefined) memo.served.delete(hostname)
  else memo.served.set(hostname, draft.served)
  if (hostname.startsWith('*.') && (before === undefined) !== (draft.served === undefined))
    memo.work.wildcards.add(hostname)
}

function commitTls(memo: CompileState, host: HostState, now: HostTlsState | undefined): void {
  const { hostname, tls: before } = host
  host.tls = now
  if (before?.route !== now?.route) {
    before?.route.tlsHosts.delete(hostname)
    now?.route.tlsHosts.add(hostname)
  }
  const same = before?.route === now?.route && before?.tls.key === now?.tls.key
  // Hostnames below a wildcard may have its TLS, and the rule to which it passes connections.
  if (hostname.startsWith('*.') && (!same || now?.tls.mode === 'Passthrough')) memo.work.wildcards.add(hostname)
  if (!same) for (const key of host.routes.keys()) memo.work.statuses.add(statusName(key))
}

function* recordOutcomes(
  memo: CompileState,
  host: HostState,
  draft: HostDraft,
  tenancy: Tenancy,
  budget: WorkBudget,
): Generator<void, void> {
  const { owner } = draft
  const refusal = refusalOf(host, owner, tenancy)
  for (const state of draft.refused) {
    recordOutcome(memo, host, state, refusal)
    if (budget.spend(1)) yield
  }
  for (const { state, permission, candidates, outside } of draft.entries.values()) {
    const conflicts = draft.conflicts.get(state) ?? []
    const otherTls = otherTlsThan(state, host.tls)
    if (conflicts.length + outside.length === 0 && otherTls === undefined)
      recordOutcome(memo, host, state, FULLY_SERVED)
    else {
      const served = conflicts.length + outside.length === 0 ? 'all' : servedRules(candidates, conflicts)
      const tls = otherTls === undefined ? {} : { otherTls }
      recordOutcome(memo, host, state, { owner, permission, conflicts, outside, served, ...tls })
    }
    if (budget.spend(1)) yield
  }
}

/** Connections are passed through to the backends of one Route, so two that say so never agree. */
function otherTlsThan({ plan }: RouteState, inForce: HostTlsState | undefined): HostnameOutcome['otherTls'] {
  if (plan.tls === undefined || inForce?.route.plan === plan) return undefined
  if (inForce?.tls.key === plan.tls.key && plan.tls.mode === 'Terminate') return undefined
  return { by: inForce?.route }
}

/**
 * The same object while it is equal: thousands of Routes may ask for a hostname of another namespace, and an edit of
 * one must not change the statuses of the others.
 */
function refusalOf(host: HostState, owner: HostnameClaim | undefined, tenancy: Tenancy): HostnameOutcome {
  let { refusal } = host
  const decider = host.ownership?.decider
  const known = refusal?.outcome
  if (refusal === undefined || known?.owner !== owner || known?.decider !== decider || refusal.tenancy !== tenancy) {
    const why = decider === undefined ? {} : { decider }
    refusal = { tenancy, outcome: { owner, ...why, permission: undefined, conflicts: [], outside: [], served: [] } }
    host.refusal = refusal
  }
  return refusal.outcome
}

/** The outcome of most Routes, shared. */
const FULLY_SERVED: HostnameOutcome = {
  owner: undefined,
  permission: EVERYWHERE,
  conflicts: [],
  outside: [],
  served: 'all',
}

function servedRules(
  candidates: RouteMatches['candidates'],
  conflicts: HostnameOutcome['conflicts'],
): readonly number[] {
  const lost = new Set<unknown>(conflicts.map((conflict) => conflict.loser))
  return [...new Set(candidates.filter((one: Candidate) => !lost.has(one)).map((one) => one.ruleOrder))].sort(
    (a, b) => a - b,
  )
}

function recordOutcome(memo: CompileState, host: HostState, state: RouteState, outcome: HostnameOutcome): void {
  const before = state.outcomes.get(host.hostname)
  if (outcome === before) return
  state.outcomes.set(host.hostname, outcome)
  memo.work.statuses.add(statusName(state.plan.resource.key))
}
