/** What is different between two sets of resources, as work to be done. */
import { isDeepStrictEqual } from 'node:util'
import { isConfiguration } from '../api/kinds.ts'
import type { Namespace } from '../api/kubernetes.ts'
import type { SettingsObject } from '../api/settings.ts'
import { namespaceOf } from '../snapshot/backend-id.ts'
import type { CompileState } from './compile-state.ts'
import { ingressRoutes, statusName } from './ingress.ts'
import { keyOfNode, kindOfNode } from './reference-graph.ts'
import { type Resource, type ResourceSet, refusedKey } from './resource-set.ts'
import { hostOf } from './route-pass.ts'
import { grantsByLabels } from './tenancy.ts'
import type { WorkBudget } from './work-budget.ts'

/** May be given up at any point and begun again: everything is only added to work lists. */
export function* markDirty(memo: CompileState, resources: ResourceSet, budget: WorkBudget): Generator<void, void> {
  const before = memo.base(resources)
  const { work } = memo
  for (const { key } of before.routes.changesTo(resources.routes)) {
    work.routes.add(key)
    if (budget.spend(1)) yield
  }
  for (const change of before.ingresses.changesTo(resources.ingresses)) {
    // One without a rule becomes no Route.
    work.statuses.add(refusedKey('Ingress', change.key))
    for (const ingress of [change.before, change.after])
      for (const key of ingress === undefined ? [] : ingressRoutes(ingress).keys()) {
        work.routes.add(key)
        if (budget.spend(2)) yield
      }
  }
  for (const { key } of before.backends.changesTo(resources.backends)) {
    work.targets.add(key)
    if (budget.spend(1)) yield
  }
  for (const { key } of before.services.changesTo(resources.services)) {
    concern(memo, 'Service', key)
    if (budget.spend(1)) yield
  }
  for (const { key } of before.payloads.changesTo(resources.payloads)) {
    concern(memo, kindOfNode(key), keyOfNode(key))
    if (budget.spend(1)) yield
  }
  for (const { key } of before.endpointSlices.changesTo(resources.endpointSlices)) {
    for (const user of memo.graph.users('Service', key)) work.endpoints.add(keyOfNode(user))
    if (budget.spend(1)) yield
  }
  for (const { key } of before.unreachable.changesTo(resources.unreachable)) {
    for (const user of memo.graph.users('Backend', key)) work.statuses.add(statusName(keyOfNode(user)))
    if (budget.spend(1 + memo.graph.count('Backend', key) / 16)) yield
  }
  if (before.unopened !== resources.unopened) yield* markUnopened(memo, before, resources, budget)
  for (const { key, after } of before.reservations.changesTo(resources.reservations)) {
    // A name that no Route has any more has a place as long as it is kept.
    if (after !== undefined) hostOf(memo, key)
    work.claims.add(key)
    work.hosts.add(key)
    if (budget.spend(1)) yield
  }
  yield* markRefused(memo, before, resources, budget)
  yield* markNamespaces(memo, before, resources, budget)
  if (!sameForRoutes(before.settings, resources.settings)) {
    for (const key of memo.routes.keys()) {
      work.routes.add(key)
      if (budget.spend(1)) yield
    }
    for (const key of resources.ingresses.keys()) work.statuses.add(refusedKey('Ingress', key))
    yield* markReservations(memo, resources, budget)
  } else if (!sameFrontends(before.settings, resources.settings))
    for (const [key, { plan }] of memo.routes) {
      if (plan.resource.object.spec.listeners !== undefined) work.routes.add(key)
      if (budget.spend(1)) yield
    }
  if (!sameForTargets(before.settings, resources.settings))
    for (const id of targetsIn(memo, resources)) {
      work.targets.add(id)
      if (budget.spend(1)) yield
    }
}

/** Statuses of the Routes that name a listener which could not be opened, or is open now. */
function* markUnopened(
  memo: CompileState,
  before: ResourceSet,
  after: ResourceSet,
  budget: WorkBudget,
): Generator<void, void> {
  const names = new Set(Array.from(before.unopened.changesTo(after.unopened), ({ key }) => key))
  if (names.size === 0) return
  for (const [key, { plan }] of memo.routes) {
    if (plan.frontends?.names.some((name) => names.has(name)) === true) memo.work.statuses.add(statusName(key))
    if (budget.spend(1)) yield
  }
}

function* markRefused(
  memo: CompileState,
  before: ResourceSet,
  after: ResourceSet,
  budget: WorkBudget,
): Generator<void, void> {
  const { work } = memo
  for (const change of before.refused.changesTo(after.refused)) {
    const { kind, key } = (change.after ?? change.before)!
    if (kind === 'Route' || kind === 'Backend' || kind === 'Ingress') work.statuses.add(refusedKey(kind, key))
    if (kind === 'Backend') work.targets.add(key)
    if (!isConfiguration(kind)) concern(memo, kind, key)
    if (budget.spend(1)) yield
  }
}

/**
 * Labels decide what a delegates entry with a selector lets in, and whom a grant with one is for. Only namespaces that
 * have others now.
 */
function* markNamespaces(
  memo: CompileState,
  before: ResourceSet,
  after: ResourceSet,
  budget: WorkBudget,
): Generator<void, void> {
  const { work } = memo
  const moved = new Set<string>()
  for (const { key, before: old, after: now } of before.namespaces.changesTo(after.namespaces))
    if (!sameLabels(old, now)) moved.add(key.slice(1))
  if (moved.size === 0) return
  for (const host of memo.hosts.values()) {
    const { routes, ownership } = host
    if (ownership?.owner.delegates.some(({ namespaces }) => namespaces.from === 'Selector'))
      for (const { plan } of routes.values()) if (moved.has(plan.namespace)) work.hosts.add(host.hostname)
    if (budget.spend(1 + routes.size / 16)) yield
  }
  if (!grantsByLabels(after.settings)) return
  for (const { plan, hostnames } of memo.routes.values()) {
    if (moved.has(plan.namespace)) {
      addAll(work.claims, hostnames)
      addAll(work.hosts, hostnames)
    }
    if (budget.spend(1)) yield
  }
  yield* markReservations(memo, after, budget)
  for (const id of targetsIn(memo, after)) {
    if (moved.has(namespaceOf(id))) work.targets.add(id)
    if (budget.spend(1)) yield
  }
}

/** Whether they count depends on grants, as claims do. */
function* markReservations(
  { work }: CompileState,
  { reservations }: ResourceSet,
  budget: WorkBudget,
): Generator<void, void> {
  for (const hostname of reservations.keys()) {
    work.claims.add(hostname)
    work.hosts.add(hostname)
    if (budget.spend(1)) yield
  }
}

/** One that is not known differs from one without labels. */
function sameLabels(a: Resource<Namespace> | undefined, b: Resource<Namespace> | undefined): boolean {
  if (a === undefined || b === undefined) return a === b
  return isDeepStrictEqual(a.object.metadata.labels ?? {}, b.object.metadata.labels ?? {})
}

function sameForRoutes(a: SettingsObject, b: SettingsObject): boolean {
  return (
    a === b ||
    (isDeepStrictEqual(a.ingressClass, b.ingressClass) &&
      isDeepStrictEqual(a.policies, b.policies) &&
      a.tenancy === b.tenancy &&
      a.limits.namespaceCost === b.limits.namespaceCost &&
      isDeepStrictEqual(a.hostnames, b.hostnames))
  )
}

/** Whether the same frontends have names; the order in the settings decides nothing. */
function sameFrontends(a: SettingsObject, b: SettingsObject): boolean {
  if (a.listeners === b.listeners) return true
  const names = new Set(a.listeners.map(({ name }) => name))
  return names.size === b.listeners.length && b.listeners.every(({ name }) => names.has(name))
}

/** Every Backend, and whatever else is referred to. */
function* targetsIn(memo: CompileState, resources: ResourceSet): Generator<string, void> {
  yield* resources.backends.keys()
  yield* memo.graph.targets('Backend')
}

function sameForTargets(a: SettingsObject, b: SettingsObject): boolean {
  return (
    a === b || (a.tenancy === b.tenancy && isDeepStrictEqual(a.upstreams.externalTargets, b.upstreams.externalTargets))
  )
}

/** Whoever refers to it may see something else now. */
function concern({ graph, work }: CompileState, kind: string, key: string): void {
  for (const user of graph.users(kind, key)) {
    const list = kindOfNode(user) === 'Backend' ? work.targets : work.references
    list.add(keyOfNode(user))
  }
}

function addAll(to: Set<string>, from: Iterable<string> | undefined): void {
  if (from !== undefined) for (const one of from) to.add(one)
}
