/** What the names in `backendRefs` and in a Backend's `service` lead to. */
import type { BackendSpec } from '../api/backend.ts'
import type { ConditionReason } from '../api/condition.ts'
import { isSensitive } from '../api/kinds.ts'
import type { Service } from '../api/kubernetes.ts'
import { namespaceOf } from '../snapshot/backend-id.ts'
import type { BackendRef } from '../snapshot/snapshot.ts'
import type { Fault } from './conditions.ts'
import { findPort, inlineService, type Reach, unlistedPort } from './endpoints.ts'
import { payloadFault } from './payload-face.ts'
import type { RoutePlan } from './plan.ts'
import { type ResourceSet, refusedKey } from './resource-set.ts'

/** A backend as those who refer to it see it: nothing else about it matters to them. */
export type Face =
  | { readonly found: true; readonly allowed: BackendSpec['allowedNamespaces'] | undefined }
  | { readonly found: false; readonly reason: ConditionReason; readonly message: string }

/** A reference that leads nowhere, or where it must not. */
export interface BrokenReference {
  /** Undefined where it is the whole Route's. */
  readonly rule: string | undefined
  readonly reason: ConditionReason
  /** What is missing and what to do. */
  readonly message: string
}

/** What an Ingress names that is neither a Service nor a Backend. */
const FOREIGN = /^[^/]+\/([^/]*\/.*)$/

/** @param id see `Backend.id` of the snapshot */
export function faceOf(resources: ResourceSet, id: string): Face {
  const inline = inlineService(id)
  if (inline !== undefined) return serviceFace(resources, inline.service, inline.port)
  const backend = resources.backends.get(id)
  if (backend !== undefined) return { found: true, allowed: backend.object.spec.allowedNamespaces }
  const foreign = FOREIGN.exec(id)
  if (foreign !== null) {
    const message = `${foreign[1] || 'a backend without service'} cannot be reached; name a Service, or a Backend of headgate.dev`
    return { found: false, reason: 'BackendNotFound', message }
  }
  const message = resources.refused.has(refusedKey('Backend', id))
    ? `Backend ${id} exists but is not valid; its own conditions say what to correct`
    : `there is no Backend ${id}; create it or correct the name`
  return { found: false, reason: 'BackendNotFound', message }
}

export function serviceFace(resources: ResourceSet, key: string, port: number | string): Face {
  const service = resources.services.get(key)?.object
  if (service === undefined) {
    const message = resources.refused.has(refusedKey('Service', key))
      ? `Service ${key} exists but is not valid; correct it`
      : `there is no Service ${key}; create it or correct the name`
    return { found: false, reason: 'ServiceNotFound', message }
  }
  const dialable = service.spec.type === 'ExternalName' && Number.isInteger(Number(port))
  if (dialable || findPort(service, port) !== undefined) return { found: true, allowed: undefined }
  const message = `Service ${key} has no TCP port ${port}${portsOf(service)}; correct the port`
  return { found: false, reason: 'PortNotFound', message }
}

/** Some of them: a Service may have thousands, and as many references may miss them. */
function portsOf({ spec }: Service): string {
  const some: (number | string)[] = []
  for (const { name, port, protocol } of spec.ports) {
    if (protocol !== 'TCP') continue
    if (some.length === TOLD_PORTS) return ` (it has ${some.join(', ')} and others)`
    some.push(name === undefined ? port : `${port} ${name}`)
  }
  return some.length === 0 ? '' : ` (it has ${some.join(', ')})`
}

/** The references of one rule as the snapshot holds them; what is broken is refused there and told here. */
export function resolveTargets(
  plan: RoutePlan,
  order: number,
  face: (id: string) => Face,
  broken: BrokenReference[],
): readonly BackendRef[] {
  const { rule, targets } = plan.rules[order]!
  return targets.map(({ ref, id }) => {
    const { weight, priority } = ref
    const found = face(id)
    if (found.found && mayUse(found.allowed, id, plan.namespace)) return { backend: id, weight, priority }
    broken.push(found.found ? notAllowed(rule.name, id, plan.namespace) : { rule: rule.name, ...told(found) })
    return { weight, priority, refuse: 'BackendNotFound' }
  })
}

/** ConfigMaps and Secrets that policies name; whoever needs a content that is missing fails closed by itself. */
export function brokenContents(resources: ResourceSet, plan: RoutePlan): BrokenReference[] {
  const broken: BrokenReference[] = []
  for (const reference of plan.references) {
    if (!isSensitive(reference.kind)) continue
    const fault = payloadFault(resources, reference)
    if (fault === undefined) continue
    const [, list, order] = reference.path
    broken.push({ rule: list === 'rules' ? plan.rules[Number(order)]?.rule.name : undefined, ...fault })
  }
  return broken
}

function told({ reason, message }: Face & { found: false }) {
  return { reason, message }
}

function mayUse(allowed: BackendSpec['allowedNamespaces'] | undefined, id: string, namespace: string): boolean {
  if (allowed === undefined || id.startsWith(`${namespace}/`) || allowed.from === 'All') return true
  return allowed.from === 'Names' && allowed.names?.includes(namespace) === true
}

function notAllowed(rule: string, id: string, namespace: string): BrokenReference {
  const message = `Backend ${id} does not allow Routes of namespace ${namespace}; its allowedNamespaces must name it`
  return { rule, reason: 'BackendNotAllowed', message }
}

/**
 * What keeps requests from the endpoints that a backend of the snapshot is meant to have. Whether it has any just now
 * is no matter here.
 */
export function targetFaults(resources: ResourceSet, id: string, { refused }: Reach): readonly Fault[] {
  const { service } = resources.backends.get(id)?.object.spec ?? {}
  const face = service && serviceFace(resources, `${namespaceOf(id)}/${service.name}`, service.port)
  const unlisted = unlistedPort(resources, id)
  return [
    ...(face === undefined || face.found ? [] : [told(face)]),
    ...refusedFault(refused, namespaceOf(id)),
    ...(unlisted === undefined ? [] : [{ reason: 'PortNotFound' as const, message: unlisted }]),
  ]
}

/** See `Reach.refused`. */
function refusedFault(refused: readonly string[], namespace: string): Fault[] {
  if (refused.length === 0) return []
  const more = refused.length > TOLD ? ` and ${refused.length - TOLD} more` : ''
  const targets = `${refused.slice(0, TOLD).join(', ')}${more}`
  const message = `${targets} may not be used: tenancy is Strict, and this is no pod that the cluster lists for a Service of the namespace; have upstreams.externalTargets of the settings allow it to namespace ${namespace}, or name a Service with a selector`
  return [{ reason: 'AddressNotAllowed', message }]
}

const TOLD = 4
const TOLD_PORTS = 16
