/** Routes: plans each, indexes it by hostnames and backends, resolves its references. */
import { isDeepStrictEqual } from 'node:util'
import { objectCost } from '../api/cost.ts'
import type { Route } from '../api/route.ts'
import type { CompileState, HostState, RouteState } from './compile-state.ts'
import { nameOfRoute, routeAt, statusName } from './ingress.ts'
import { missingStores } from './missing-stores.ts'
import { claimedHostnames, isServedClass, planRoute, type RoutePlan } from './plan.ts'
import { keyOfNode, kindOfNode, nodeId } from './reference-graph.ts'
import {
  type BrokenReference,
  brokenContents,
  brokenPolicyTargets,
  resolveBackend,
  resolveTargets,
} from './references.ts'
import type { ResourceSet, ServedResource } from './resource-set.ts'
import type { WorkBudget } from './work-budget.ts'

export function* planRoutes(memo: CompileState, resources: ResourceSet, budget: WorkBudget): Generator<void, void> {
  yield* applyCostLimits(memo, resources, budget)
  for (const key of memo.work.routes) {
    memo.working(nameOfRoute(key))
    const before = memo.routes.get(key)
    const resource = routeAt(resources, key)
    const beyond = memo.costs.beyond(key) !== undefined
    const plan = resource === undefined ? undefined : planRoute(resource, resources.settings, before?.plan, beyond)
    const state = plan === undefined ? undefined : indexRoute(memo, key, plan, before)
    indexHostnames(
      memo,
      key,
      state,
      before === undefined ? [] : before.hostnames,
      plan === undefined ? [] : claimedHostnames(plan),
    )
    const targets = plan === undefined ? [] : targetsOf(plan)
    indexReferences(memo, key, plan)
    if (state !== undefined && plan !== undefined) {
      state.hostnames = claimedHostnames(plan)
      state.targets = targets
    } else memo.routes.delete(key)
    memo.work.statuses.add(statusName(key))
    memo.work.routes.delete(key)
    memo.counts.routes++
    if (budget.spend(plan === undefined ? 3 : 6 + 4 * plan.rules.length)) yield
  }
}

/** Runs before planning: a Route beyond its namespace's cost limit claims nothing. */
function* applyCostLimits(memo: CompileState, resources: ResourceSet, budget: WorkBudget): Generator<void, void> {
  for (const key of memo.work.routes) {
    const resource = routeAt(resources, key)
    const ours = resource !== undefined && isServedClass(resource.object.spec.ingressClassName, resources.settings)
    memo.working(nameOfRoute(key))
    memo.costs.set(key, resource?.created, ours ? costOf(resource) : undefined)
    if (budget.spend(2)) yield
  }
  for (const key of yield* memo.costs.applyLimit(resources.settings, budget)) memo.work.routes.add(key)
}

const COSTS = new WeakMap<ServedResource<Route>, number>()

function costOf(resource: ServedResource<Route>): number {
  let units = COSTS.get(resource)
  if (units === undefined) COSTS.set(resource, (units = objectCost('Route', resource.object).units))
  return units
}

function indexRoute(memo: CompileState, key: string, plan: RoutePlan, before: RouteState | undefined): RouteState {
  memo.work.references.add(key)
  if (before !== undefined) {
    before.plan = plan
    before.version++
    return before
  }
  const state: RouteState = {
    plan,
    hostnames: [],
    targets: [],
    references: [],
    broken: [],
    brokenTargets: [],
    variants: new Map(),
    version: 0,
    dropped: -1,
    outcomes: new Map(),
    tlsHosts: new Set(),
  }
  memo.routes.set(key, state)
  return state
}

/** Each id once. */
function targetsOf(plan: RoutePlan): readonly string[] {
  const ids = new Set<string>()
  if (plan.unserved === undefined) for (const rule of plan.rules) for (const { id } of rule.targets) ids.add(id)
  return [...ids]
}

function indexHostnames(
  memo: CompileState,
  key: string,
  state: RouteState | undefined,
  before: readonly string[],
  after: readonly string[],
): void {
  const still = new Set(after)
  for (const hostname of before) {
    if (still.has(hostname)) continue
    memo.hosts.get(hostname)?.routes.delete(key)
    state?.outcomes.delete(hostname)
  }
  for (const hostname of after) if (state !== undefined) hostOf(memo, hostname).routes.set(key, state)
  for (const hostname of [...before, ...after]) {
    memo.work.claims.add(hostname)
    memo.work.hosts.add(hostname)
  }
}

export function hostOf(memo: CompileState, hostname: string): HostState {
  const known = memo.hosts.get(hostname)
  if (known !== undefined) return known
  const host: HostState = {
    hostname,
    routes: new Map(),
    reservation: undefined,
    backdated: undefined,
    first: undefined,
    ownership: undefined,
    tls: undefined,
    entries: new Map(),
    order: [],
    served: undefined,
    policies: [],
  }
  memo.hosts.set(hostname, host)
  return host
}

/** Marks backends that became referenced or unreferenced. */
function indexReferences({ graph, work }: CompileState, key: string, plan: RoutePlan | undefined): void {
  const references = plan === undefined || plan.unserved !== undefined ? NONE : plan.references
  const { gained, lost } = graph.set(nodeId('Route', key), references)
  for (const node of [...gained, ...lost]) if (kindOfNode(node) === 'Backend') work.targets.add(keyOfNode(node))
}

const NONE: readonly never[] = Object.freeze([])

export function* resolveReferences(
  memo: CompileState,
  resources: ResourceSet,
  budget: WorkBudget,
): Generator<void, void> {
  const face = (id: string) => memo.backendReferences.get(id) ?? resolveBackend(resources, id)
  for (const key of memo.work.references) {
    const state = memo.routes.get(key)
    if (state !== undefined && state.plan.unserved === undefined) {
      const broken: BrokenReference[] = []
      const references = state.plan.rules.map((_, order) => resolveTargets(state.plan, order, face, broken))
      const brokenTargets = brokenPolicyTargets(state.plan, face)
      broken.push(...brokenTargets, ...brokenContents(resources, state.plan), ...missingStores(resources, state.plan))
      if (!isDeepStrictEqual(state.references, references) || !isDeepStrictEqual(state.brokenTargets, brokenTargets)) {
        state.references = references
        state.brokenTargets = brokenTargets
        state.version++
        for (const hostname of state.hostnames) memo.work.hosts.add(hostname)
      }
      if (!isDeepStrictEqual(state.broken, broken)) {
        state.broken = broken
        memo.work.statuses.add(statusName(key))
      }
    }
    memo.work.references.delete(key)
    if (budget.spend(4)) yield
  }
}
