/**
 * Backends, and Services named directly by rules: their options, whether references to them resolve, their endpoints.
 */
import { isDeepStrictEqual } from 'node:util'
import { KINDS, referencesOf } from '../api/kinds.ts'
import type { BackendConfig, EndpointAddress } from '../snapshot/snapshot.ts'
import { backendOf, defaultBackend } from './backend.ts'
import { backendService, inlineService } from './backend-service.ts'
import type { CompileState } from './compile-state.ts'
import type { ConditionFault } from './conditions.ts'
import { resolveEndpoints, sameEndpoints } from './endpoints.ts'
import { statusName } from './ingress.ts'
import { keyOfNode, nodeId } from './reference-graph.ts'
import { type BackendReference, resolveBackend, targetFaults } from './references.ts'
import { objectId, type ResourceSet } from './resource-set.ts'
import type { WorkBudget } from './work-budget.ts'

export function* updateBackends(memo: CompileState, resources: ResourceSet, budget: WorkBudget): Generator<void, void> {
  const { work } = memo
  for (const id of work.targets) {
    const face = resolveBackend(resources, id)
    const used = memo.graph.has('Backend', id)
    if (!isDeepStrictEqual(face, memo.backendReferences.get(id)))
      for (const user of memo.graph.users('Backend', id)) work.references.add(keyOfNode(user))
    if (used) memo.backendReferences.set(id, face)
    else memo.backendReferences.delete(id)
    indexService(memo, resources, id)
    memo.identityHeaders.place(id, used ? { service: resources.backends.get(id)?.object.spec.service } : undefined)
    setBackend(memo, id, snapshotOf(resources, id, face, used))
    work.endpoints.add(id)
    if (inlineService(id) === undefined) work.statuses.add(objectId('Backend', id))
    work.targets.delete(id)
    memo.counts.targets++
    if (budget.spend(4 + memo.graph.count('Backend', id) / 16)) yield
  }
}

/** The snapshot has every Backend, and the Services that a rule names directly. */
function snapshotOf(
  resources: ResourceSet,
  id: string,
  face: BackendReference,
  used: boolean,
): BackendConfig | undefined {
  if (!face.found) return undefined
  const backend = resources.backends.get(id)
  const service = backendService(resources, id)
  if (backend !== undefined) return backendOf(id, backend.object.spec, service)
  return used ? defaultBackend(id, service) : undefined
}

function setBackend(memo: CompileState, id: string, backend: BackendConfig | undefined): void {
  const before = memo.backends.get(id)
  if (backend === undefined) memo.backends.delete(id)
  else if (!isDeepStrictEqual(before, backend)) memo.backends.set(id, backend)
}

/** Indexes the Service on which a backend's endpoints depend; references of Routes index Services named directly. */
function indexService(memo: CompileState, resources: ResourceSet, id: string): void {
  if (inlineService(id) !== undefined) return
  const backend = resources.backends.get(id)?.object
  const references = backend === undefined ? [] : referencesOf('Backend', backend.metadata.namespace, backend, KINDS)
  memo.graph.set(nodeId('Backend', id), references)
}

export function* updateEndpoints(
  memo: CompileState,
  resources: ResourceSet,
  budget: WorkBudget,
): Generator<void, void> {
  for (const id of memo.work.endpoints) {
    const before = memo.endpoints.get(id)
    const reached = memo.backends.has(id) ? resolveEndpoints(resources, id) : undefined
    const now = reached?.endpoints
    if (now === undefined) memo.endpoints.delete(id)
    else if (before === undefined || !sameEndpoints(before, now)) memo.endpoints.set(id, now)
    indexNames(memo, id, before ?? [], now ?? [])
    updateTargetFaults(memo, id, reached === undefined ? [] : targetFaults(resources, id, reached))
    memo.work.endpoints.delete(id)
    memo.counts.endpoints++
    if (budget.spend(3 + (now?.length ?? 0))) yield
  }
}

/** Marks the statuses of users as well: they report whether their backends can be reached. */
function updateTargetFaults(memo: CompileState, id: string, now: readonly ConditionFault[]): void {
  if (isDeepStrictEqual(memo.targetFaults.get(id) ?? [], now)) return
  if (now.length === 0) memo.targetFaults.delete(id)
  else memo.targetFaults.set(id, now)
  if (inlineService(id) === undefined) memo.work.statuses.add(objectId('Backend', id))
  for (const user of memo.graph.users('Backend', id)) memo.work.statuses.add(statusName(keyOfNode(user)))
}

function indexNames(
  memo: CompileState,
  id: string,
  before: readonly EndpointAddress[],
  now: readonly EndpointAddress[],
): void {
  const old = namesIn(before)
  const names = namesIn(now)
  for (const name of old) {
    if (names.has(name)) continue
    const rest = (memo.names.get(name) ?? []).filter((other) => other !== id)
    if (rest.length === 0) memo.names.delete(name)
    else memo.names.set(name, rest)
  }
  for (const name of names) if (!old.has(name)) memo.names.set(name, withId(memo.names.get(name) ?? [], id))
}

/** Thousands of backends may share a name: the id is inserted in order, without sorting the list. */
function withId(ids: readonly string[], id: string): readonly string[] {
  let low = 0
  let high = ids.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (ids[middle]! < id) low = middle + 1
    else high = middle
  }
  return ids[low] === id ? ids : ids.toSpliced(low, 0, id)
}

function namesIn(endpoints: readonly EndpointAddress[]): Set<string> {
  const names = new Set<string>()
  for (const { address, hostname } of endpoints) if (address === hostname) names.add(address)
  return names
}
