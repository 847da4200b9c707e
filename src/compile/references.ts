/** Resolves the references in `backendRefs` and in a Backend's `service`. */
import type { Backend, BackendSpec } from '../api/backend.ts'
import type { ConditionReason } from '../api/condition.ts'
import { isSensitive, KINDS, referencesOf } from '../api/kinds.ts'
import type { Service } from '../api/kubernetes.ts'
import { KEY_SET } from '../policy/auth/key-set.ts'
import { namespaceOf } from '../snapshot/backend-id.ts'
import type { WeightedBackend } from '../snapshot/snapshot.ts'
import { findPort, inlineService, serviceBackendId } from './backend-service.ts'
import type { ConditionFault } from './conditions.ts'
import { missingTargetPort, type ResolvedEndpoints } from './endpoints.ts'
import { payloadFault } from './payload-summary.ts'
import type { RoutePlan } from './plan.ts'
import { objectId, type ResourceSet } from './resource-set.ts'

/** The result of resolving a reference to a backend: the only part of a backend on which its users depend. */
export type BackendReference =
  | { readonly found: true; readonly allowed: BackendSpec['allowedNamespaces'] | undefined }
  | { readonly found: false; readonly reason: ConditionReason; readonly message: string }

/** A reference that cannot be resolved or is not allowed. */
export interface BrokenReference {
  /** Undefined when it concerns the whole Route. */
  readonly rule: string | undefined
  readonly reason: ConditionReason
  /** What is missing and what to do. */
  readonly message: string
}

/** The form of references of an Ingress to kinds other than Service and Backend. */
const FOREIGN = /^[^/]+\/([^/]*\/.*)$/

/** @param id see `Backend.id` of the snapshot */
export function resolveBackend(resources: ResourceSet, id: string): BackendReference {
  const inline = inlineService(id)
  if (inline !== undefined) return resolveService(resources, inline.service, inline.port)
  const backend = resources.backends.get(id)
  if (backend !== undefined) return { found: true, allowed: backend.object.spec.allowedNamespaces }
  const foreign = FOREIGN.exec(id)
  if (foreign !== null) {
    const message = `${foreign[1] || 'a backend without service'} cannot be reached; name a Service, or a Backend of headgate.dev`
    return { found: false, reason: 'BackendNotFound', message }
  }
  const message = resources.rejected.has(objectId('Backend', id))
    ? `Backend ${id} exists but is not valid; its own conditions say what to correct`
    : `there is no Backend ${id}; create it or correct the name`
  return { found: false, reason: 'BackendNotFound', message }
}

export function resolveService(resources: ResourceSet, key: string, port: number | string): BackendReference {
  const service = resources.services.get(key)?.object
  if (service === undefined) {
    const message = resources.rejected.has(objectId('Service', key))
      ? `Service ${key} exists but is not valid; correct it`
      : `there is no Service ${key}; create it or correct the name`
    return { found: false, reason: 'ServiceNotFound', message }
  }
  const dialable = service.spec.type === 'ExternalName' && Number.isInteger(Number(port))
  if (dialable || findPort(service, port) !== undefined) return { found: true, allowed: undefined }
  const message = `Service ${key} has no TCP port ${port}${portsOf(service)}; correct the port`
  return { found: false, reason: 'PortNotFound', message }
}

/** Lists some ports: a Service may have thousands. */
function portsOf({ spec }: Service): string {
  const some: (number | string)[] = []
  for (const { name, port, protocol } of spec.ports) {
    if (protocol !== 'TCP') continue
    if (some.length === MAX_LISTED_PORTS) return ` (it has ${some.join(', ')} and others)`
    some.push(name === undefined ? port : `${port} ${name}`)
  }
  return some.length === 0 ? '' : ` (it has ${some.join(', ')})`
}

/** Resolves the references of one rule. Broken ones are refused in the snapshot and reported here. */
export function resolveTargets(
  plan: RoutePlan,
  order: number,
  face: (id: string) => BackendReference,
  broken: BrokenReference[],
): readonly WeightedBackend[] {
  const { rule, targets } = plan.rules[order]!
  return targets.map(({ ref, id }) => {
    const { weight, priority } = ref
    const found = face(id)
    if (found.found && allowsNamespace(found.allowed, id, plan.namespace)) return { backend: id, weight, priority }
    broken.push(
      found.found ? notAllowed(rule.name, id, plan.namespace) : { rule: rule.name, ...brokenReference(found) },
    )
    return { missing: id, weight, priority, refuse: 'BackendNotFound' }
  })
}

/** References of policies to Backends that do not resolve, or that their Backends do not allow. */
export function brokenPolicyTargets(plan: RoutePlan, face: (id: string) => BackendReference): BrokenReference[] {
  const broken: BrokenReference[] = []
  for (const { kind, namespace, name, port = '', purpose, path } of plan.references) {
    const [, list, order, field] = path
    if (purpose !== 'Traffic' || field === 'backendRefs') continue
    const id = kind === 'Service' ? serviceBackendId(namespace, { name, port }) : `${namespace}/${name}`
    const rule = list === 'rules' ? plan.rules[Number(order)]?.rule.name : undefined
    const found = face(id)
    if (!found.found) broken.push({ rule, ...brokenReference(found) })
    else if (!allowsNamespace(found.allowed, id, plan.namespace)) broken.push(notAllowed(rule, id, plan.namespace))
  }
  return broken
}

/** Broken references of policies to ConfigMaps and Secrets. A filter whose content is missing fails closed itself. */
export function brokenContents(resources: ResourceSet, plan: RoutePlan): BrokenReference[] {
  const broken: BrokenReference[] = []
  for (const reference of plan.references) {
    if (!isSensitive(reference.kind) && reference.kind !== KEY_SET) continue
    const fault = payloadFault(resources, reference)
    if (fault === undefined) continue
    const [, list, order] = reference.path
    broken.push({ rule: list === 'rules' ? plan.rules[Number(order)]?.rule.name : undefined, ...fault })
  }
  return broken
}

function brokenReference({ reason, message }: BackendReference & { found: false }) {
  return { reason, message }
}

export function allowsNamespace(
  allowed: BackendSpec['allowedNamespaces'] | undefined,
  id: string,
  namespace: string,
): boolean {
  if (allowed === undefined || id.startsWith(`${namespace}/`) || allowed.from === 'All') return true
  return allowed.from === 'Names' && allowed.names?.includes(namespace) === true
}

function notAllowed(rule: string | undefined, id: string, namespace: string): BrokenReference {
  const message = `Backend ${id} does not allow Routes of namespace ${namespace}; its allowedNamespaces must name it`
  return { rule, reason: 'BackendNotAllowed', message }
}

/**
 * Faults that keep requests from a backend's endpoints, independently of how many endpoints it has at the moment.
 */
export function targetFaults(
  resources: ResourceSet,
  id: string,
  { refused }: ResolvedEndpoints,
): readonly ConditionFault[] {
  const backend = resources.backends.get(id)?.object
  const service = backend?.spec.service
  const face = service && resolveService(resources, `${namespaceOf(id)}/${service.name}`, service.port)
  const unlisted = missingTargetPort(resources, id)
  return [
    ...(face === undefined || face.found ? [] : [brokenReference(face)]),
    ...refusedFault(refused, namespaceOf(id)),
    ...(unlisted === undefined ? [] : [{ reason: 'PortNotFound' as const, message: unlisted }]),
    ...(backend === undefined ? [] : secretFaults(resources, backend)),
  ]
}

/** Secrets for TLS that are missing: requests are refused until they are there. */
function* secretFaults(resources: ResourceSet, backend: Backend): Generator<ConditionFault> {
  for (const reference of referencesOf('Backend', backend.metadata.namespace, backend, KINDS)) {
    if (!isSensitive(reference.kind)) continue
    const fault = payloadFault(resources, reference)
    if (fault !== undefined) yield fault
  }
}

/** See `ResolvedEndpoints.refused`. */
function refusedFault(refused: readonly string[], namespace: string): ConditionFault[] {
  if (refused.length === 0) return []
  const more = refused.length > MAX_LISTED ? ` and ${refused.length - MAX_LISTED} more` : ''
  const targets = `${refused.slice(0, MAX_LISTED).join(', ')}${more}`
  const message = `${targets} may not be used: tenancy is Strict, and this is no pod that the cluster lists for a Service of the namespace; have upstreams.externalTargets of the settings allow it to namespace ${namespace}, or name a Service with a selector`
  return [{ reason: 'AddressNotAllowed', message }]
}

const MAX_LISTED = 4
const MAX_LISTED_PORTS = 16
