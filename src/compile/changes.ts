/** Compares two sets of resources and marks what has to be compiled again. */
import { isDeepStrictEqual } from 'node:util'
import { isConfiguration } from '../api/kinds.ts'
import type { Namespace } from '../api/kubernetes.ts'
import type { SettingsObject } from '../api/settings.ts'
import { KEY_SET } from '../policy/auth/key-set.ts'
import { namespaceOf } from '../snapshot/backend-id.ts'
import type { CompileState } from './compile-state.ts'
import { ingressRoutes, statusName } from './ingress.ts'
import { mayNeedStores } from './missing-stores.ts'
import { keyOfNode, kindOfNode, nodeId } from './reference-graph.ts'
import { objectId, type ResourceSet, type ServedResource } from './resource-set.ts'
import { hostOf } from './route-pass.ts'
import { grantsByLabels } from './tenancy.ts'
import type { WorkBudget } from './work-budget.ts'

/** May be abandoned at any point and restarted: it only adds to work lists. */
export function* markDirty(memo: CompileState, resources: ResourceSet, budget: WorkBudget): Generator<void, void> {
  const before = memo.base(resources)
  const { work } = memo
  for (const { key } of before.routes.changesTo(resources.routes)) {
    work.routes.add(key)
    if (budget.spend(1)) yield
  }
  for (const change of before.ingresses.changesTo(resources.ingresses)) {
    // An Ingress without rules derives no Route.
    work.statuses.add(objectId('Ingress', change.key))
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
    markUsers(memo, 'Service', key)
    if (budget.spend(1)) yield
  }
  for (const { key } of before.payloads.changesTo(resources.payloads)) {
    markUsers(memo, kindOfNode(key), keyOfNode(key))
    yield* markCertificateUsers(memo, key, budget)
    if (budget.spend(1)) yield
  }
  yield* markDefaultCertificate(memo, before, resources, budget)
  for (const { key } of before.endpointSlices.changesTo(resources.endpointSlices)) {
    for (const user of memo.graph.users('Service', key)) work.endpoints.add(keyOfNode(user))
    if (budget.spend(1)) yield
  }
  for (const { key } of before.registered.changesTo(resources.registered)) {
    if (resources.backends.has(key)) work.endpoints.add(key)
    if (budget.spend(1)) yield
  }
  for (const { key } of before.unreachable.changesTo(resources.unreachable)) {
    for (const user of memo.graph.users('Backend', key)) work.statuses.add(statusName(keyOfNode(user)))
    if (budget.spend(1 + memo.graph.count('Backend', key) / 16)) yield
  }
  if (before.unopenedListeners !== resources.unopenedListeners)
    yield* markListenerChanges(memo, before, resources, budget)
  for (const { key, after } of before.reservations.changesTo(resources.reservations)) {
    // A hostname without Routes keeps its state while it is reserved.
    if (after !== undefined) hostOf(memo, key)
    work.claims.add(key)
    work.hosts.add(key)
    if (budget.spend(1)) yield
  }
  yield* markRefused(memo, before, resources, budget)
  yield* markNamespaceChanges(memo, before, resources, budget)
  if (!sameForRoutes(before.settings, resources.settings)) {
    for (const key of memo.routes.keys()) {
      work.routes.add(key)
      if (budget.spend(1)) yield
    }
    for (const key of resources.ingresses.keys()) work.statuses.add(objectId('Ingress', key))
    yield* markReservationChanges(memo, resources, budget)
  } else if (!sameFrontends(before.settings, resources.settings))
    for (const [key, { plan }] of memo.routes) {
      if (plan.resource.object.spec.listeners !== undefined) work.routes.add(key)
      if (budget.spend(1)) yield
    }
  if (!sameTlsListeners(before.settings, resources.settings))
    for (const [key, { plan }] of memo.routes) {
      if (plan.tls !== undefined) work.statuses.add(statusName(key))
      if (budget.spend(1)) yield
    }
  if (!sameStores(before.settings, resources.settings))
    for (const [key, { plan }] of memo.routes) {
      if (mayNeedStores(plan.resource.object)) work.references.add(key)
      if (budget.spend(1)) yield
    }
  if (!sameForTargets(before.settings, resources.settings)) yield* markTargets(memo, resources, budget)
}

/** Everything whose address a grant allows: Backends, and key sets of policies. */
function* markTargets(
  memo: CompileState,
  resources: ResourceSet,
  budget: WorkBudget,
  isMarked: (id: string) => boolean = () => true,
): Generator<void, void> {
  for (const id of targetsIn(memo, resources)) {
    if (isMarked(id)) memo.work.targets.add(id)
    if (budget.spend(1)) yield
  }
  for (const key of memo.graph.targets(KEY_SET)) {
    markUsers(memo, KEY_SET, key)
    if (budget.spend(1)) yield
  }
}

/** Statuses tell the time and the names of certificates, also on hostnames that have them from a wildcard. */
function* markCertificateUsers(memo: CompileState, secret: string, budget: WorkBudget): Generator<void, void> {
  for (const user of memo.graph.users(kindOfNode(secret), keyOfNode(secret)))
    if (kindOfNode(user) === 'Route') yield* markTlsStatuses(memo, keyOfNode(user), budget)
}

function* markTlsStatuses(
  { routes, hosts, work }: CompileState,
  key: string,
  budget: WorkBudget,
): Generator<void, void> {
  work.statuses.add(statusName(key))
  for (const hostname of routes.get(key)?.tlsHosts ?? []) {
    for (const other of hosts.get(hostname)?.routes.keys() ?? []) {
      work.statuses.add(statusName(other))
      if (budget.spend(1)) yield
    }
  }
}

function* markDefaultCertificate(
  memo: CompileState,
  before: ResourceSet,
  after: ResourceSet,
  budget: WorkBudget,
): Generator<void, void> {
  const [was, is] = [before, after].map(defaultCertificateOf)
  if (was === is || isDeepStrictEqual(was, is)) return
  for (const [key, { plan }] of memo.routes) {
    if (plan.tls?.certificates.length === 0) yield* markTlsStatuses(memo, key, budget)
    if (budget.spend(1)) yield
  }
}

function defaultCertificateOf({ settings, payloads }: ResourceSet) {
  const named = settings.tls?.defaultCertificate
  return named && { summary: payloads.get(nodeId('Secret', `${named.namespace}/${named.secretName}`)) }
}

/** Marks the statuses of the Routes on listeners that failed to open, or opened again. */
function* markListenerChanges(
  memo: CompileState,
  before: ResourceSet,
  after: ResourceSet,
  budget: WorkBudget,
): Generator<void, void> {
  const names = new Set(Array.from(before.unopenedListeners.changesTo(after.unopenedListeners), ({ key }) => key))
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
  for (const change of before.rejected.changesTo(after.rejected)) {
    const { kind, key } = (change.after ?? change.before)!
    if (kind === 'Route' || kind === 'Backend' || kind === 'Ingress') work.statuses.add(objectId(kind, key))
    if (kind === 'Backend') work.targets.add(key)
    if (!isConfiguration(kind)) markUsers(memo, kind, key)
    if (budget.spend(1)) yield
  }
}

/**
 * Labels decide which namespaces a delegates entry or a grant with a selector covers. Marks namespaces whose labels
 * have changed.
 */
function* markNamespaceChanges(
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
  yield* markReservationChanges(memo, after, budget)
  yield* markTargets(memo, after, budget, (id) => moved.has(namespaceOf(id)))
}

/** Like claims, reservations count only where the hostname is granted. */
function* markReservationChanges(
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

/** An unknown Namespace differs from one without labels. */
function sameLabels(a: ServedResource<Namespace> | undefined, b: ServedResource<Namespace> | undefined): boolean {
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

/** Whether both settings have the same frontends, in any order. */
function sameFrontends(a: SettingsObject, b: SettingsObject): boolean {
  if (a.listeners === b.listeners) return true
  const names = new Set(a.listeners.map(({ name }) => name))
  return names.size === b.listeners.length && b.listeners.every(({ name }) => names.has(name))
}

function sameTlsListeners(a: SettingsObject, b: SettingsObject): boolean {
  const namesOf = ({ listeners }: SettingsObject): string[] =>
    listeners.flatMap(({ name, tls }) => (tls === undefined ? [] : name)).sort()
  return a.listeners === b.listeners || isDeepStrictEqual(namesOf(a), namesOf(b))
}

/** Those that Routes may need: see missing-stores.ts. */
function sameStores(a: SettingsObject, b: SettingsObject): boolean {
  const isSame = (name: 'redis' | 'stateDirectory'): boolean => (a[name] === undefined) === (b[name] === undefined)
  return isSame('redis') && isSame('stateDirectory')
}

/** Every Backend, and every other referenced target. */
function* targetsIn(memo: CompileState, resources: ResourceSet): Generator<string, void> {
  yield* resources.backends.keys()
  yield* memo.graph.targets('Backend')
}

function sameForTargets(a: SettingsObject, b: SettingsObject): boolean {
  return (
    a === b || (a.tenancy === b.tenancy && isDeepStrictEqual(a.upstreams.externalTargets, b.upstreams.externalTargets))
  )
}

/** Marks the users of an object, whose references may resolve differently now. */
function markUsers({ graph, work }: CompileState, kind: string, key: string): void {
  for (const user of graph.users(kind, key)) {
    const list = kindOfNode(user) === 'Backend' ? work.targets : work.references
    list.add(keyOfNode(user))
  }
}

function addAll(to: { add(one: string): unknown }, from: Iterable<string> | undefined): void {
  if (from !== undefined) for (const one of from) to.add(one)
}
