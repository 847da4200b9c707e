/** Compiles resources into a snapshot for the data plane and a status for every object. */
import { isDeepStrictEqual } from 'node:util'
import type { ObjectStatus } from '../api/condition.ts'
import type { SettingsObject } from '../api/settings.ts'
import type { FrozenMap } from '../snapshot/frozen-map.ts'
import type { EndpointAddress, Snapshot } from '../snapshot/snapshot.ts'
import { updateBackends, updateEndpoints } from './backend-pass.ts'
import { certificateFindings } from './certificate-findings.ts'
import { markDirty } from './changes.ts'
import type { CompileState } from './compile-state.ts'
import { backendConditions, type ConditionFault, refusedConditions } from './conditions.ts'
import { buildHosts, resolveOwners } from './host-pass.ts'
import { ingressRoutes } from './ingress.ts'
import { ingressStatus } from './ingress-status.ts'
import type { HostnameOwner } from './ownership.ts'
import { objectId, type ResourceSet } from './resource-set.ts'
import { planRoutes, resolveReferences } from './route-pass.ts'
import { routeStatus, type StatusContext } from './route-status.ts'
import { tenancyOf } from './tenancy.ts'
import { WorkBudget } from './work-budget.ts'

export interface Compiled {
  readonly snapshot: Snapshot
  /**
   * The status of every Route and Backend, see `objectId`; an unchanged status is the same object (`===`) as before.
   */
  readonly statuses: FrozenMap<ObjectStatus>
  /** The endpoints of every backend of the snapshot, by backend id, before DNS names are resolved. */
  readonly endpoints: ReadonlyMap<string, readonly EndpointAddress[]>
  /** The DNS names among the endpoints' addresses, each with the ids of the backends that have it. */
  readonly names: ReadonlyMap<string, readonly string[]>
  /** The owners of hostnames that Routes name or that are reserved. */
  readonly owners: FrozenMap<HostnameOwner>
}

/**
 * Pure: the result depends on `resources` alone. The memo makes it incremental: only changes since the last compile
 * with the same memo are computed, and equal parts are the same objects.
 *
 * Yields after about a millisecond of work. It may be abandoned at any `yield`, and another compile started with the
 * same memo.
 */
export function* compile(resources: ResourceSet, memo: CompileState): Generator<void, Compiled, void> {
  const run = ++memo.run
  memo.policySets.clearInputs()
  const passes = work(resources, memo)
  for (let next = passes.next(); next.done !== true; next = passes.next()) {
    yield
    if (memo.run !== run) throw new TypeError('a newer compile has begun with this memo')
  }
  return result(memo, resources)
}

function* work(resources: ResourceSet, memo: CompileState): Generator<void, void> {
  const budget = new WorkBudget()
  yield* applyChanges(resources, memo, budget)
  yield* planRoutes(memo, resources, budget)
  yield* updateBackends(memo, resources, budget)
  yield* resolveReferences(memo, resources, budget)
  yield* resolveOwners(memo, resources, budget)
  yield* buildHosts(memo, resources, budget)
  yield* updateEndpoints(memo, resources, budget)
  yield* buildStatuses(memo, resources, budget)
  memo.working()
}

/**
 * If an abandoned compile was still marking changes, its marking is completed first: the marks made so far cannot be
 * told apart.
 */
function* applyChanges(resources: ResourceSet, memo: CompileState, budget: WorkBudget): Generator<void, void> {
  for (const target of memo.target === undefined || memo.target === resources
    ? [resources]
    : [memo.target, resources]) {
    memo.target = target
    yield* markDirty(memo, target, budget)
    memo.seen = target
    memo.target = undefined
  }
}

function* buildStatuses(memo: CompileState, resources: ResourceSet, budget: WorkBudget): Generator<void, void> {
  for (const name of memo.work.statuses) {
    memo.working(name)
    const status = statusOf(memo, resources, name)
    if (status === undefined) memo.statuses.delete(name)
    else if (!isDeepStrictEqual(memo.statuses.get(name), status)) memo.statuses.set(name, status)
    memo.work.statuses.delete(name)
    memo.counts.statuses++
    if (budget.spend(6 + derivedRouteCount(resources, name))) yield
  }
}

/** Number of Routes derived from an Ingress, all of which its status covers; 0 otherwise. @param name see `objectId` */
function derivedRouteCount({ ingresses }: ResourceSet, name: string): number {
  const ingress = name.startsWith('Ingress ') ? ingresses.get(name.slice('Ingress '.length)) : undefined
  return ingress === undefined ? 0 : ingressRoutes(ingress).size
}

/** @param name see `objectId` */
function statusOf(memo: CompileState, resources: ResourceSet, name: string): ObjectStatus | undefined {
  const space = name.indexOf(' ')
  const kind = name.slice(0, space) as ObjectStatus['kind']
  const key = name.slice(space + 1)
  const known = kind === 'Backend' ? backendStatus(memo, resources, key) : routedStatus(memo, resources, kind, key)
  if (known !== undefined) return known
  const refused = resources.rejected.get(objectId(kind, key))
  if (refused === undefined) return undefined
  const conditions = refusedConditions(refused.problems, refused.generation, kind !== 'Backend')
  return { kind, key, conditions, ...(kind === 'Backend' ? {} : { rules: 0 }) }
}

function routedStatus(memo: CompileState, resources: ResourceSet, kind: 'Route' | 'Ingress', key: string) {
  const context: StatusContext = {
    tenancy: tenancyOf(resources),
    faultsOf: (id) => faultsOf(memo, resources, id),
    unopened: resources.unopenedListeners,
    certificatesOf: (state) => certificateFindings(state, memo.hosts, resources),
  }
  const ingress = kind === 'Ingress' ? resources.ingresses.get(key) : undefined
  if (ingress !== undefined) return ingressStatus(ingress, (route) => memo.routes.get(route), context)
  const state = kind === 'Route' ? memo.routes.get(key) : undefined
  return state && routeStatus(state, context)
}

/** The faults that keep users of a backend from serving. */
function faultsOf(memo: CompileState, resources: ResourceSet, id: string): readonly ConditionFault[] {
  const known = memo.targetFaults.get(id) ?? NONE
  const unreachable = resources.unreachable.get(id)
  return unreachable === undefined ? known : [...known, unreachable]
}

const NONE: readonly ConditionFault[] = Object.freeze([])

function backendStatus(memo: CompileState, resources: ResourceSet, key: string): ObjectStatus | undefined {
  const backend = resources.backends.get(key)
  if (backend === undefined) return undefined
  const { object, stale } = backend
  const generation = stale?.generation ?? object.metadata.generation
  const references = memo.targetFaults.get(key) ?? NONE
  const conditions = backendConditions({ generation, notAccepted: undefined, partial: [], references, stale })
  return { kind: 'Backend', key, conditions }
}

function result(memo: CompileState, { settings }: ResourceSet): Compiled {
  const hosts = memo.served.freeze()
  const policies = memo.policySets.freeze()
  const backends = memo.backends.freeze()
  const frontends = frontendsOf(memo, settings)
  const last = memo.snapshot
  if (
    last === undefined ||
    last.hosts !== hosts ||
    last.policies !== policies ||
    last.backends !== backends ||
    last.frontends !== frontends
  )
    memo.snapshot = { frontends, hosts, policies, backends }
  return {
    snapshot: memo.snapshot!,
    statuses: memo.statuses.freeze(),
    endpoints: memo.endpoints.freeze(),
    names: memo.names.freeze(),
    owners: memo.owners.freeze(),
  }
}

/** The same map while the names are equal; their order has no meaning. */
function frontendsOf(memo: CompileState, { listeners }: SettingsObject): Snapshot['frontends'] {
  const { frontends } = memo
  if (listeners.length !== frontends.size || listeners.some(({ name }) => !frontends.has(name)))
    memo.frontends = new Map(listeners.map(({ name }) => [name, { name }]))
  return memo.frontends
}
