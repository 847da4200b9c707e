/** Validates and compiles manifests, and collects findings for every object that is not served as written. */
import type { Condition } from '../api/condition.ts'
import { KIND_NAMES, KINDS, type KindMap, type KindRow } from '../api/kinds.ts'
import { SERVICE_NAME_LABEL, type Secret } from '../api/kubernetes.ts'
import type { KubeObject } from '../api/object.ts'
import type { SettingsObject } from '../api/settings.ts'
import type { Validator } from '../api/validate.ts'
import { type Compiled, compile } from '../compile/compile.ts'
import { CompileState } from '../compile/compile-state.ts'
import { payloadSummaryOf } from '../compile/payload-summary.ts'
import { nodeId } from '../compile/reference-graph.ts'
import {
  emptyResourceSet,
  objectId,
  type PayloadSummary,
  type ResourceSet,
  type SecretSummary,
  type ServedResource,
  type Unreachable,
} from '../compile/resource-set.ts'
import { readSecret, secretSummary } from '../compile/secret.ts'
import { unreachableReason } from '../compile/unreachable.ts'
import { runInSlices } from '../lib/time-slice.ts'
import { FrozenMapBuilder } from '../snapshot/frozen-map.ts'
import type { Definition } from '../source/folder/definition.ts'
import { systemTimers } from '../thread/system-timers.ts'
import { type ProcessShare, workerSettings } from '../thread/worker-settings.ts'
import { DialGuard, type ReservedDestinations } from '../transport/dial-guard.ts'
import { aboutObject, type Finding, fromField } from './finding.ts'

export interface Examined {
  readonly compiled: Compiled
  readonly findings: readonly Finding[]
  /** Number of invalid objects, which are not served. */
  readonly refused: number
}

/**
 * Validates all objects, then compiles the valid ones: conflicts and broken references are found by the same code that
 * serves.
 */
export async function examine(
  objects: readonly Definition[],
  settings: SettingsObject,
  validator: Validator,
): Promise<Examined> {
  const findings: Finding[] = []
  const { resources, refused } = admit(objects, settings, validator, findings)
  const compiled = await compileAsServed(resources)
  const byId = new Map(objects.map((definition) => [objectId(definition.kind, definition.key), definition]))
  for (const status of compiled.statuses.values()) {
    const id = objectId(status.kind, status.key)
    const definition = byId.get(id)
    if (definition === undefined || resources.rejected.has(id)) continue
    const bad = status.conditions.filter(isBad)
    for (const { type, reason, message } of bad) {
      // A Route without any valid rule repeats the reason in its Accepted condition.
      const repeated = type === 'Accepted' && bad.some((other) => other.type !== type && other.reason === reason)
      if (!repeated) findings.push(aboutObject(definition, reason, message))
    }
    findings.push(...(status.notes ?? []).map((note) => fromField('warning', definition, note)))
  }
  return { compiled, findings, refused }
}

/** Compiles with the addresses that the dial guard refuses independently of the machine marked as unreachable. */
async function compileAsServed(resources: ResourceSet): Promise<Compiled> {
  const memo = new CompileState()
  const first = await runInSlices(compile(resources, memo), systemTimers)
  const guard = new DialGuard(workerSettings(resources.settings, ALONE, [], ANYWHERE).dial)
  const unreachable = new FrozenMapBuilder<Unreachable>()
  for (const [id, endpoints] of first.endpoints) {
    const judged = endpoints.map(({ address, port, hostname }) => {
      const reason = address === hostname ? undefined : guard.refuses(address, port)
      return reason === undefined ? [] : [`${address} port ${port} ${reason}`]
    })
    const facts = { usable: judged.filter((one) => one.length === 0).length, refused: judged.flat() }
    const fault = unreachableReason({ ...facts, unresolved: [], unanswered: [] })
    if (fault !== undefined) unreachable.set(id, fault)
  }
  if (unreachable.freeze().size === 0) return first
  return await runInSlices(compile({ ...resources, unreachable: unreachable.freeze() }, memo), systemTimers)
}

const ALONE: ProcessShare = { clients: 0, upstreams: 0, seed: '' }
const ANYWHERE: ReservedDestinations = { loopback: true, ownAddresses: [], places: [], closedPorts: [] }

function isBad({ type, status, reason }: Condition): boolean {
  if (type === 'PartiallyInvalid') return status === 'True'
  if (type === 'CertificatesValid' && reason === 'ExpiresSoon') return true
  return (type === 'Accepted' || type === 'ResolvedRefs' || type === 'CertificatesValid') && status === 'False'
}

type Builders = { readonly [K in keyof KindMap]: FrozenMapBuilder<ServedResource<KindMap[K]>> }

function admit(objects: readonly Definition[], settings: SettingsObject, validator: Validator, findings: Finding[]) {
  const refused = new FrozenMapBuilder<NonNullable<ReturnType<ResourceSet['rejected']['get']>>>()
  const builders = Object.fromEntries(KIND_NAMES.map((kind) => [kind, new FrozenMapBuilder()])) as unknown as Builders
  let count = 0
  const take = <K extends keyof KindMap>(kind: K, definition: Definition) => {
    const { key } = definition
    const verdict = validator.check(kind, definition.raw)
    if (verdict.ok) {
      builders[kind].set(key, { key, object: verdict.object, created: createdAt(verdict.object) })
      findings.push(...verdict.warnings.map((warning) => fromField('warning', definition, warning)))
      return
    }
    count++
    refused.set(objectId(kind, key), { kind, key, problems: verdict.problems })
    findings.push(...verdict.problems.map((problem) => fromField('error', definition, problem)))
  }
  for (const definition of objects) take(definition.kind, definition)
  const resources: ResourceSet = {
    ...emptyResourceSet(settings),
    routes: builders.Route.freeze(),
    ingresses: builders.Ingress.freeze(),
    backends: builders.Backend.freeze(),
    services: builders.Service.freeze(),
    endpointSlices: bySlicedService(builders.EndpointSlice),
    payloads: facesOf(builders),
    namespaces: builders.Namespace.freeze(),
    rejected: refused.freeze(),
  }
  return { resources, refused: count }
}

function createdAt({ metadata }: KubeObject): number | undefined {
  const { creationTimestamp } = metadata
  const time = creationTimestamp === undefined ? Number.NaN : Date.parse(creationTimestamp)
  return Number.isNaN(time) ? undefined : time
}

function facesOf(builders: Builders): ResourceSet['payloads'] {
  const faces = new FrozenMapBuilder<PayloadSummary>()
  for (const kind of KIND_NAMES) {
    const { payload }: KindRow = KINDS[kind]
    if (payload === undefined) continue
    for (const { key, object } of builders[kind].freeze().values())
      faces.set(nodeId(kind, key), payloadSummaryOf(payload, object, undefined, secretOf(object)))
  }
  return faces.freeze()
}

function secretOf(object: KubeObject): SecretSummary | undefined {
  const read = object.kind === 'Secret' ? readSecret(object as Secret) : undefined
  if (read === undefined) return undefined
  return 'fault' in read ? secretSummary(undefined, read.fault, Date.now()) : secretSummary(read, undefined, Date.now())
}

function bySlicedService(slices: Builders['EndpointSlice']): ResourceSet['endpointSlices'] {
  const groups = new Map<string, Map<string, ServedResource<KindMap['EndpointSlice']>>>()
  for (const slice of slices.freeze().values()) {
    const { namespace, labels } = slice.object.metadata
    const service = labels?.[SERVICE_NAME_LABEL]
    if (service === undefined) continue
    const key = `${namespace}/${service}`
    const group = groups.get(key) ?? new Map()
    groups.set(key, group.set(slice.key, slice))
  }
  const builder = new FrozenMapBuilder<ReadonlyMap<string, ServedResource<KindMap['EndpointSlice']>>>()
  for (const [key, group] of groups) builder.set(key, group)
  return builder.freeze()
}
