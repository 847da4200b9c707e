/**
 * Resolves a Backend to endpoints: static ones, the pods of its Service from EndpointSlices, or a DNS name. Each
 * backend is resolved separately, since endpoints change far more often than anything else and must not wait for a
 * compile.
 */
import type { StaticEndpoint } from '../api/backend.ts'
import {
  type EndpointSlice,
  MANAGED_BY_LABEL,
  type Service,
  type ServicePort,
  SLICE_CONTROLLER,
  type SliceEndpoint,
  type SlicePort,
} from '../api/kubernetes.ts'
import { canonicalAddress } from '../pattern/cidr.ts'
import { namespaceOf } from '../snapshot/backend-id.ts'
import type { EndpointAddress } from '../snapshot/snapshot.ts'
import { findPort, inlineService, serviceUse } from './backend-service.ts'
import type { ResourceSet, ServedResource } from './resource-set.ts'
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

/**
 * The resolved ports of a Service and everything they depend on. All backends of one port share one list.
 */
interface ResolvedService {
  readonly service: Service
  readonly tenancy: Tenancy | undefined
  /** Whether a slice omits the number of a port, so that the Service's applies. */
  readonly hasUnnumberedPort: boolean
  readonly byPort: Map<string, ResolvedEndpoints>
}

const REACHED = new WeakMap<ReadonlyMap<string, ServedResource<EndpointSlice>>, ResolvedService>()

/**
 * {@link endpointsOf}, and the targets that Strict tenancy refuses. The same object for backends of the same Service
 * port.
 */
export function resolveEndpoints(resources: ResourceSet, id: string): ResolvedEndpoints {
  const used = serviceUse(resources, id)
  const service = used && resources.services.get(used.key)?.object
  const slices = used && resources.endpointSlices.get(used.key)
  const port = service?.spec.type === 'ExternalName' ? undefined : service && findPort(service, used!.port)
  if (service === undefined || slices === undefined || port === undefined) return computeEndpoints(resources, id)
  const strict = tenancyOf(resources)
  const tenancy = strict.strict ? strict : undefined
  let known = REACHED.get(slices)
  if (known?.service !== service || known.tenancy !== tenancy)
    REACHED.set(
      slices,
      (known = { service, tenancy, hasUnnumberedPort: hasUnnumberedPorts(slices.values()), byPort: new Map() }),
    )
  // In a folder thousands of ports may be unnamed, which are equal in slices.
  const name = known.hasUnnumberedPort ? `${port.name ?? ''} ${targetPortOf(port)}` : (port.name ?? '')
  let reached = known.byPort.get(name)
  if (reached === undefined) known.byPort.set(name, (reached = computeEndpoints(resources, id)))
  return reached
}

function hasUnnumberedPorts(slices: Iterable<ServedResource<EndpointSlice>>): boolean {
  for (const { object } of slices) if (object.ports.some(({ port }) => port === undefined)) return true
  return false
}

function computeEndpoints(resources: ResourceSet, id: string): ResolvedEndpoints {
  const tenancy = tenancyOf(resources)
  const refused = new Set<string>()
  const endpoints = collectEndpoints(resources, id, (endpoint) => {
    if (!tenancy.strict || tenancy.isTargetGranted(namespaceOf(id), endpoint.address, endpoint.port)) return true
    refused.add(targetText(endpoint.address, endpoint.port))
    return false
  })
  return { endpoints, refused: refused.size === 0 ? NONE : [...refused].sort() }
}

const NONE: readonly never[] = Object.freeze([])

/** Decides whether a target that is not a pod of a Service may be used. */
type TargetFilter = (endpoint: EndpointAddress) => boolean

function collectEndpoints(resources: ResourceSet, id: string, admits: TargetFilter): readonly EndpointAddress[] {
  const inline = inlineService(id)
  if (inline !== undefined) return serviceEndpoints(resources, inline.service, inline.port, admits)
  const backend = resources.backends.get(id)?.object
  if (backend === undefined) return NONE
  const { endpoints, service, registration } = backend.spec
  if (registration !== undefined) return mergeEndpoints((resources.registered.get(id) ?? NONE).filter(admits), 'best')
  if (endpoints !== undefined) return mergeEndpoints(endpoints.map(staticEndpoint).filter(admits), 'add')
  if (service === undefined) return NONE
  return serviceEndpoints(resources, `${backend.metadata.namespace}/${service.name}`, service.port, admits)
}

function serviceEndpoints(
  resources: ResourceSet,
  key: string,
  wanted: number | string,
  admits: TargetFilter,
): readonly EndpointAddress[] {
  const service = resources.services.get(key)?.object
  if (service === undefined) return NONE
  if (service.spec.type === 'ExternalName') return externalName(service, wanted).filter(admits)
  const port = findPort(service, wanted)
  if (port === undefined) return NONE
  const slices = resources.endpointSlices.get(key)
  return slices === undefined ? NONE : mergeEndpoints(fromSlices(service, slices.values(), port, admits), 'best')
}

/**
 * Whether an endpoint was written by the cluster's controller for a pod that the Service selects. Users with write
 * access to EndpointSlices can forge the label and the reference; the default roles of Kubernetes grant it to no tenant
 * (CVE-2021-25740). In a folder slices are written by users.
 */
function isPod(service: Service, slice: ServedResource<EndpointSlice>, { targetRef }: SliceEndpoint): boolean {
  return (
    isOfController(slice) &&
    Object.keys(service.spec.selector ?? {}).length > 0 &&
    targetRef?.kind === 'Pod' &&
    (targetRef.namespace ?? service.metadata.namespace) === service.metadata.namespace
  )
}

function isOfController({ object, created }: ServedResource<EndpointSlice>): boolean {
  const { addressType, metadata } = object
  return created !== undefined && addressType !== 'FQDN' && metadata.labels?.[MANAGED_BY_LABEL] === SLICE_CONTROLLER
}

/**
 * Whether a slice may have an endpoint that Strict tenancy refuses, judged without its Service.
 */
export function hasNonPodEndpoint(slice: ServedResource<EndpointSlice>): boolean {
  return !isOfController(slice) || slice.object.endpoints.some(({ targetRef }) => targetRef?.kind !== 'Pod')
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
  const usable = endpointsOf(resources, id)
  const ready = usable.filter(({ state }) => state === 'ready').length
  const places = new Set(usable.map(({ address, port }) => `${address} ${port}`))
  for (const { address, port } of listedEndpoints(resources, id)) places.add(`${address} ${port}`)
  return { total: places.size, ready }
}

/** Every pod in the slices of a backend's Service, ready or not. */
function* listedEndpoints(resources: ResourceSet, id: string): Generator<{ address: string; port: number }, void> {
  const used = serviceUse(resources, id)
  const service = used && resources.services.get(used.key)?.object
  const slices = used && resources.endpointSlices.get(used.key)
  if (used === undefined || service === undefined || slices === undefined) return
  const port = findPort(service, used.port)
  if (port === undefined) return
  for (const { endpoint, number } of listed(service, slices.values(), port))
    for (const text of endpoint.addresses) yield { address: parseHost(text).address, port: number }
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

/** A canonical address, or a DNS name that control resolves later. */
function parseHost(text: string): { address: string; hostname?: string } {
  const address = canonicalAddress(text)
  if (address !== undefined) return { address }
  const name = text.toLowerCase().replace(/\.$/, '')
  return { address: name, hostname: name }
}

function fromSlices(
  service: Service,
  slices: Iterable<ServedResource<EndpointSlice>>,
  port: ServicePort,
  admits: TargetFilter,
): EndpointAddress[] {
  const all: EndpointAddress[] = []
  // As in kube-proxy, hints count only where all endpoints have them: while they are written, some do not.
  let hinted = true
  for (const { slice, endpoint, number } of listed(service, slices, port)) {
    const state = stateOf(endpoint)
    if (state === undefined) continue
    const pod = isPod(service, slice, endpoint)
    const { zone } = endpoint
    const serves = zonesServed(endpoint)
    if (serves === undefined && state === 'ready') hinted = false
    for (const text of endpoint.addresses) {
      const found = {
        ...parseHost(text),
        port: number,
        weight: 1,
        ...(zone === undefined ? {} : { zone }),
        ...(serves === undefined || serves === zone ? {} : { serves }),
        state,
      }
      if (pod || admits(found)) all.push(found)
    }
  }
  if (hinted || all.every(({ serves }) => serves === undefined)) return all
  return all.map(({ serves: _, ...endpoint }) => endpoint)
}

function zonesServed({ hints }: SliceEndpoint): string | undefined {
  const zones = hints?.forZones ?? NONE
  return zones.length === 0 ? undefined : zones.map(({ name }) => name).join(',')
}

interface ListedEndpoint {
  readonly slice: ServedResource<EndpointSlice>
  readonly endpoint: SliceEndpoint
  /** The pod's port. */
  readonly number: number
}

/**
 * The endpoints with the port in all slices. A dual-stack Service lists each pod once per address family; only the
 * address of the Service's first family is used, on which pods are certain to listen.
 */
function* listed(
  service: Service,
  slices: Iterable<ServedResource<EndpointSlice>>,
  port: ServicePort,
): Generator<ListedEndpoint, void> {
  const first = service.spec.ipFamilies?.[0] === 'IPv6' ? 'IPv6' : 'IPv4'
  const usable: { readonly slice: ServedResource<EndpointSlice>; readonly number: number }[] = []
  const others: typeof usable = []
  for (const slice of slices) {
    const number = matchingPort(slice.object.ports, port)
    if (number !== undefined) (slice.object.addressType === first ? usable : others).push({ slice, number })
  }
  const known = new Set<string>()
  for (const { slice, number } of usable)
    for (const endpoint of slice.object.endpoints) {
      const pod = others.length > 0 ? podName(endpoint) : undefined
      if (pod !== undefined) known.add(pod)
      yield { slice, endpoint, number }
    }
  for (const { slice, number } of others)
    for (const endpoint of slice.object.endpoints) {
      const pod = podName(endpoint)
      if (pod === undefined || !known.has(pod)) yield { slice, endpoint, number }
    }
}

function podName({ targetRef }: SliceEndpoint): string | undefined {
  if (targetRef?.kind !== 'Pod' || targetRef.name === undefined) return undefined
  return `${targetRef.namespace ?? ''}/${targetRef.name}`
}

/**
 * Slices name ports as the Service does; the number is the pods' own (named target ports may differ between slices).
 */
function matchingPort(ports: readonly SlicePort[], wanted: ServicePort): number | undefined {
  const found = ports.find((port) => port.protocol === 'TCP' && (port.name ?? '') === (wanted.name ?? ''))
  if (found === undefined) return undefined
  return found.port ?? targetPortOf(wanted)
}

/** The pods' port according to the Service. */
function targetPortOf({ targetPort, port }: ServicePort): number {
  return typeof targetPort === 'number' ? targetPort : port
}

/** Absent `ready` means ready, and absent `serving` means the value of `ready` (as the API defines). */
function stateOf(endpoint: SliceEndpoint): 'ready' | 'draining' | undefined {
  const { ready, serving, terminating } = endpoint.conditions ?? {}
  if (ready ?? terminating !== true) return 'ready'
  return terminating === true && (serving ?? ready ?? true) ? 'draining' : undefined
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
    else if (rank(endpoint) < rank(other)) byPlace.set(key, endpoint)
  }
  return [...byPlace.values()].sort(byAddress)
}

/** Ready before draining, with a zone before without, so that the result is independent of the order of slices. */
function rank(endpoint: EndpointAddress): string {
  return `${endpoint.state === 'ready' ? 0 : 1} ${endpoint.zone ?? '~'}`
}

function byAddress(a: EndpointAddress, b: EndpointAddress): number {
  return a.address < b.address ? -1 : a.address > b.address ? 1 : a.port - b.port
}

/** Whether two lists are equal for load balancing. */
export function sameEndpoints(a: readonly EndpointAddress[], b: readonly EndpointAddress[]): boolean {
  return (
    a === b ||
    (a.length === b.length &&
      a.every((one, i) => {
        const other = b[i]!
        return (
          one.address === other.address &&
          one.port === other.port &&
          one.weight === other.weight &&
          one.zone === other.zone &&
          one.serves === other.serves &&
          one.hostname === other.hostname &&
          one.state === other.state
        )
      }))
  )
}
