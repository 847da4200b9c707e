/**
 * Resolves a Backend to endpoints: static ones, the pods of its Service from EndpointSlices, or a DNS name. Each
 * backend is resolved separately, since endpoints change far more often than anything else and must not wait for a
 * compile.
 */
import type { StaticEndpoint } from '../api/backend.ts'
import type { Service } from '../api/kubernetes.ts'
import { namespaceOf } from '../snapshot/backend-id.ts'
import type { EndpointAddress } from '../snapshot/snapshot.ts'
import { findPort, serviceUse } from './backend-service.ts'
import type { ResourceSet } from './resource-set.ts'
import {
  countListed,
  matchingPort,
  refusedOf,
  type ServiceEndpoints,
  type Slices,
  serviceEndpoints,
  targetPortOf,
} from './service-endpoints.ts'
import { compareEndpoints, parseHost, sameEndpoint, type TargetFilter } from './slice-endpoints.ts'
import { type Tenancy, targetText, tenancyOf } from './tenancy.ts'

const MAX_WEIGHT = 1_000_000

/**
 * The endpoints of one backend, sorted by address and port, each address and port once. Empty when there is none, or
 * nothing by that id.
 *
 * @param id see `Backend.id` of the snapshot
 */
export function endpointsOf(resources: ResourceSet, id: string): readonly EndpointAddress[] {
  return resolveEndpoints(resources, id).endpoints
}

export interface ResolvedEndpoints {
  readonly endpoints: readonly EndpointAddress[]
  /**
   * Targets outside of Services that the settings do not grant to the namespace, sorted, in the notation of the
   * settings.
   */
  readonly refused: readonly string[]
}

/** What was last resolved of a Service, by the name of the port. All backends of one port share one list. */
interface ResolvedPort {
  readonly slices: Slices
  readonly tenancy: Tenancy | undefined
  readonly made: ServiceEndpoints
  readonly resolved: ResolvedEndpoints
}

const RESOLVED = new WeakMap<Service, Map<string, ResolvedPort>>()
const NONE: readonly never[] = Object.freeze([])
const NOTHING: ResolvedEndpoints = { endpoints: NONE, refused: NONE }

/**
 * {@link endpointsOf}, and the targets that Strict tenancy refuses. The same object for backends of the same Service
 * port.
 */
export function resolveEndpoints(resources: ResourceSet, id: string): ResolvedEndpoints {
  const used = serviceUse(resources, id)
  if (used !== undefined) {
    const service = resources.services.get(used.key)?.object
    if (service === undefined) return NOTHING
    if (service.spec.type === 'ExternalName') return filtered(resources, id, externalName(service, used.port))
    return resolvePort(resources, id, service)?.resolved ?? NOTHING
  }
  const spec = resources.backends.get(id)?.object.spec
  if (spec?.registration !== undefined) return filtered(resources, id, resources.registered.get(id) ?? NONE, 'best')
  return spec?.endpoints === undefined ? NOTHING : filtered(resources, id, spec.endpoints.map(staticEndpoint), 'add')
}

/** Undefined where no slice is known. */
function resolvePort(resources: ResourceSet, id: string, service: Service): ResolvedPort | undefined {
  const used = serviceUse(resources, id)!
  const slices = resources.endpointSlices.get(used.key)
  const port = findPort(service, used.port)
  if (slices === undefined || port === undefined) return undefined
  const strict = tenancyOf(resources)
  const tenancy = strict.strict ? strict : undefined
  let ports = RESOLVED.get(service)
  if (ports === undefined) RESOLVED.set(service, (ports = new Map()))
  // In a folder thousands of ports may be unnamed, which are equal in slices.
  const name = hasUnnumberedPorts(slices) ? `${port.name ?? ''} ${targetPortOf(port)}` : (port.name ?? '')
  const known = ports.get(name)
  if (known?.slices === slices && known.tenancy === tenancy) return known
  const made = serviceEndpoints(
    { service, port, admits: targetFilter(resources, id), judged: known?.tenancy === tenancy },
    slices,
    known?.made,
  )
  const refused = refusedOf(made)
  const alike =
    known !== undefined && known.made.endpoints === made.endpoints && sameTexts(known.resolved.refused, refused)
  const resolved = alike ? known.resolved : { endpoints: made.endpoints, refused }
  const now = { slices, tenancy, made, resolved }
  ports.set(name, now)
  return now
}

/** Of slices, which are never changed. */
const UNNUMBERED = new WeakMap<Slices, boolean>()

/** Whether a slice omits the number of a port, so that the Service's applies. */
function hasUnnumberedPorts(slices: Slices): boolean {
  let found = UNNUMBERED.get(slices)
  if (found !== undefined) return found
  found = false
  for (const { object } of slices.values()) if (object.ports.some(({ port }) => port === undefined)) found = true
  UNNUMBERED.set(slices, found)
  return found
}

function targetFilter(resources: ResourceSet, id: string): TargetFilter {
  const tenancy = tenancyOf(resources)
  const namespace = namespaceOf(id)
  return ({ address, port }) => !tenancy.strict || tenancy.isTargetGranted(namespace, address, port)
}

function filtered(
  resources: ResourceSet,
  id: string,
  endpoints: readonly EndpointAddress[],
  merge?: 'add' | 'best',
): ResolvedEndpoints {
  const admits = targetFilter(resources, id)
  const refused = new Set<string>()
  const granted = endpoints.filter((endpoint) => {
    if (admits(endpoint)) return true
    refused.add(targetText(endpoint.address, endpoint.port))
    return false
  })
  return {
    endpoints: merge === undefined ? granted : mergeEndpoints(granted, merge),
    refused: refused.size === 0 ? NONE : [...refused].sort(),
  }
}

/**
 * Explains a Service port that reaches no pod although there are pods: no EndpointSlice lists it. Undefined without
 * pods.
 */
export function missingTargetPort(resources: ResourceSet, id: string): string | undefined {
  const used = serviceUse(resources, id)
  const service = used && resources.services.get(used.key)?.object
  const slices = used && resources.endpointSlices.get(used.key)
  const port = service && findPort(service, used!.port)
  if (used === undefined || slices === undefined || port === undefined) return undefined
  const listed = new Set<string>()
  let endpoints = 0
  for (const { object } of slices.values()) {
    if (matchingPort(object.ports, port) !== undefined) return undefined
    endpoints += object.endpoints.length
    for (const { name, port: number, protocol } of object.ports) listed.add(`${number ?? 'any'} ${name || protocol}`)
  }
  if (endpoints === 0) return undefined
  const there = listed.size === 0 ? 'no port' : [...listed].sort().slice(0, 4).join(', ')
  const name = port.name === undefined || port.name === '' ? `${port.port}` : `${port.port} ${port.name}`
  return `no pod of Service ${used.key} has its port ${name} (its EndpointSlices list ${there}); correct its targetPort, or the name of the port there`
}

/** The number of endpoints of a backend in any state, and of ready ones. */
export function countEndpoints(resources: ResourceSet, id: string): { readonly total: number; readonly ready: number } {
  const { endpoints } = resolveEndpoints(resources, id)
  let ready = 0
  for (const { state } of endpoints) if (state === 'ready') ready++
  const used = serviceUse(resources, id)
  const service = used && resources.services.get(used.key)?.object
  const resolved = service?.spec.type === 'ExternalName' ? undefined : service && resolvePort(resources, id, service)
  return { total: resolved === undefined ? endpoints.length : countListed(resolved.made), ready }
}

/** An ExternalName Service needs no ports, so an undeclared number is used as it is. */
function externalName(service: Service, wanted: number | string): readonly EndpointAddress[] {
  const name = service.spec.externalName
  const port = findPort(service, wanted)?.port ?? Number(wanted)
  if (name === undefined || !Number.isInteger(port)) return []
  return [{ ...parseHost(name), port, weight: 1, state: 'ready' }]
}

function staticEndpoint(endpoint: StaticEndpoint): EndpointAddress {
  const { port, weight, zone } = endpoint
  return { ...parseHost(endpoint.address), port, weight, ...(zone === undefined ? {} : { zone }), state: 'ready' }
}

/**
 * One entry per address and port, an endpoint's identity. While a pod moves between slices, both may list it: the
 * better state counts (`best`). Duplicate static endpoints add their weights (`add`).
 */
function mergeEndpoints(endpoints: Iterable<EndpointAddress>, weights: 'add' | 'best'): readonly EndpointAddress[] {
  const byPlace = new Map<string, EndpointAddress>()
  for (const endpoint of endpoints) {
    const key = `${endpoint.address} ${endpoint.port}`
    const other = byPlace.get(key)
    if (other === undefined) byPlace.set(key, endpoint)
    else if (weights === 'add')
      byPlace.set(key, { ...other, weight: Math.min(other.weight + endpoint.weight, MAX_WEIGHT) })
    else if (compareEndpoints(endpoint, other) < 0) byPlace.set(key, endpoint)
  }
  return [...byPlace.values()].sort(compareEndpoints)
}

/** Whether two lists are equal for load balancing. */
export function sameEndpoints(a: readonly EndpointAddress[], b: readonly EndpointAddress[]): boolean {
  return a === b || (a.length === b.length && a.every((one, i) => sameEndpoint(one, b[i]!)))
}

function sameTexts(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((text, i) => text === b[i])
}
