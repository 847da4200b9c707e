/**
 * Backends, and Services named directly: their options, whether they can be referred to, and where they are reached.
 */
import { isDeepStrictEqual } from 'node:util'
import { KINDS, referencesOf } from '../api/kinds.ts'
import type { Backend, EndpointAddress } from '../snapshot/snapshot.ts'
import { backendOf, defaultBackend } from './backend.ts'
import type { CompileState } from './compile-state.ts'
import type { Fault } from './conditions.ts'
import { inlineService, reach, sameEndpoints } from './endpoints.ts'
import { statusName } from './ingress.ts'
import { keyOfNode, nodeId } from './reference-graph.ts'
import { type Face, faceOf, targetFaults } from './references.ts'
import { type ResourceSet, refusedKey } from './resource-set.ts'
import type { WorkBudget } from './work-budget.ts'

export function* lookAtTargets(memo: CompileState, resources: ResourceSet, budget: WorkBudget): Generator<void, void> {
  const { work } = memo
  for (const id of work.targets) {
    const face = faceOf(resources, id)
    const used = memo.graph.has('Backend', id)
    if (!isDeepStrictEqual(face, memo.faces.get(id)))
      for (const user of memo.graph.users('Backend', id)) work.references.add(keyOfNode(user))
    if (used) memo.faces.set(id, face)
    else memo.faces.delete(id)
    enterService(memo, resources, id)
    put(memo, id, snapshotOf(resources, id, face, used))
    work.endpoints.add(id)
    if (inlineService(id) === undefined) work.statuses.add(refusedKey('Backend', id))
    work.targets.delete(id)
    memo.counts.targets++
    if (budget.spend(4 + memo.graph.count('Backend', id) / 16)) yield
  }
}

/** Every Backend, referred to or not; of the Services only those that a rule names. */
function snapshotOf(resources: ResourceSet, id: string, face: Face, used: boolean): Backend | undefined {
  if (!face.found) return undefined
  const backend = resources.backends.get(id)
  if (backend !== undefined) return backendOf(id, backend.object.spec)
  return used ? defaultBackend(id) : undefined
}

function put(memo: CompileState, id: string, backend: Backend | undefined): void {
  const before = memo.backends.get(id)
  if (backend === undefined) memo.backends.delete(id)
  else if (!isDeepStrictEqual(before, backend)) memo.backends.set(id, backend)
}

/** Remembers whose endpoints depend on which Service; where a rule names one directly, its Route has said so. */
function enterService(memo: CompileState, resources: ResourceSet, id: string): void {
  if (inlineService(id) !== undefined) return
  const backend = resources.backends.get(id)?.object
  const references = backend === undefined ? [] : referencesOf('Backend', backend.metadata.namespace, backend, KINDS)
  memo.graph.set(nodeId('Backend', id), references)
}

export function* gatherEndpoints(
  memo: CompileState,
  resources: ResourceSet,
  budget: WorkBudget,
): Generator<void, void> {
  for (const id of memo.work.endpoints) {
    const before = memo.endpoints.get(id)
    const reached = memo.backends.has(id) ? reach(resources, id) : undefined
    const now = reached?.endpoints
    if (now === undefined) memo.endpoints.delete(id)
    else if (before === undefined || !sameEndpoints(before, now)) memo.endpoints.set(id, now)
    enterNames(memo, id, before ?? [], now ?? [])
    enterFaults(memo, id, reached === undefined ? [] : targetFaults(resources, id, reached))
    memo.work.endpoints.delete(id)
    memo.counts.endpoints++
    if (budget.spend(3 + (now?.length ?? 0))) yield
  }
}

/** Whoever refers to it is told too: what it needs to serve is there only when its backends can be reached. */
function enterFaults(memo: CompileState, id: string, now: readonly Fault[]): void {
  if (isDeepStrictEqual(memo.targetFaults.get(id) ?? [], now)) return
  if (now.length === 0) memo.targetFaults.delete(id)
  else memo.targetFaults.set(id, now)
  if (inlineService(id) === undefined) memo.work.statuses.add(refusedKey('Backend', id))
  for (const user of memo.graph.users('Backend', id)) memo.work.statuses.add(statusName(keyOfNode(user)))
}

function enterNames(
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

/** Thousands of backends may have the same names: each is put in its place, never sorted with the others. */
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
