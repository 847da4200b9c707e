/**
 * Where a Backend is reached: static endpoints, the pods of its Service as EndpointSlices tell, or a DNS name.
 * Computable for one backend alone, since endpoints change far more often than anything else and must not wait for a
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
import type { ServiceRef } from '../api/policies.ts'
import { canonicalAddress } from '../pattern/cidr.ts'
import { namespaceOf, SERVICE_PREFIX } from '../snapshot/backend-id.ts'
import type { EndpointAddress } from '../snapshot/snapshot.ts'
import type { Resource, ResourceSet } from './resource-set.ts'
import { type Tenancy, targetText, tenancyOf } from './tenancy.ts'

const MAX_WEIGHT = 1_000_000

/** A Service named directly by a rule, as its backend id says it. */
export interface InlineService {
  /** `namespace/name`. */
  readonly service: string
  readonly port: number | string
}

/** The backend id of a Service that a rule of a Route in `namespace` names directly. */
export function serviceBackendId(namespace: string, ref: ServiceRef): string {
  return `${SERVICE_PREFIX}${namespace}/${ref.name}:${ref.port}`
}

/** What a backend id names when it is not the key of a Backend. */
export function inlineService(id: string): InlineService | undefined {
  if (!id.startsWith(SERVICE_PREFIX)) return undefined
  const colon = id.lastIndexOf(':')
  const port = id.slice(colon + 1)
  return { service: id.slice(SERVICE_PREFIX.length, colon), port: /^[0-9]+$/.test(port) ? Number(port) : port }
}

/** TCP ports by number and by name; a Service may have thousands, and as many backends that each look for one. */
const PORTS = new WeakMap<Service, ReadonlyMap<number | string, ServicePort>>()

/** The Service port that a number or a name means. TCP only: nothing else is dialled. */
export function findPort(service: Service, port: number | string): ServicePort | undefined {
  let ports = PORTS.get(service)
  if (ports === undefined) PORTS.set(service, (ports = portsOf(service)))
  return ports.get(typeof port === 'string' && /^[0-9]+$/.test(port) ? Number(port) : port)
}

/** The first of each number and of each name. */
function portsOf({ spec }: Service): ReadonlyMap<number | string, ServicePort> {
  const ports = new Map<number | string, ServicePort>()
  for (const entry of spec.ports) {
    if (entry.protocol !== 'TCP') continue
    if (!ports.has(entry.port)) ports.set(entry.port, entry)
    if (entry.name !== undefined && !ports.has(entry.name)) ports.set(entry.name, entry)
  }
  return ports
}

/**
 * The endpoints of one backend, sorted by address and port, each address and port once. Empty when there is none, or
 * nothing by that id.
 *
 * @param id see `Backend.id` of the snapshot
 */
export function endpointsOf(resources: ResourceSet, id: string): readonly EndpointAddress[] {
  return reach(resources, id).endpoints
}

export interface Reach {
  readonly endpoints: readonly EndpointAddress[]
  /**
   * Targets outside of Services that the settings do not allow to the namespace, sorted, as the settings would name
   * them.
   */
  readonly refused: readonly string[]
}

/**
 * What one port of a Service reaches, by everything it depends on: those who name it all have the one list, however
 * many they are.
 */
interface ServiceReach {
  readonly service: Service
  readonly tenancy: Tenancy | undefined
  /** Whether a slice leaves the number of a port to the Service. */
  readonly numberless: boolean
  readonly byPort: Map<string, Reach>
}

const REACHED = new WeakMap<ReadonlyMap<string, Resource<EndpointSlice>>, ServiceReach>()

/**
 * {@link endpointsOf}, and what is not among them because in Strict nobody has allowed it. The same object for backends
 * that lead to the same pods.
 */
export function reach(resources: ResourceSet, id: string): Reach {
  const used = serviceUse(resources, id)
  const service = used && resources.services.get(used.key)?.object
  const slices = used && resources.endpointSlices.get(used.key)
  const port = service?.spec.type === 'ExternalName' ? undefined : service && findPort(service, used!.port)
  if (service === undefined || slices === undefined || port === undefined) return computeReach(resources, id)
  const strict = tenancyOf(resources)
  const tenancy = strict.strict ? strict : undefined
  let known = REACHED.get(slices)
  if (known?.service !== service || known.tenancy !== tenancy)
    REACHED.set(slices, (known = { service, tenancy, numberless: hasNumberless(slices.values()), byPort: new Map() }))
  // In a folder thousands of ports may have no name, which all mean the same in slices.
  const name = known.numberless ? `${port.name ?? ''} ${ownNumber(port)}` : (port.name ?? '')
  let reached = known.byPort.get(name)
  if (reached === undefined) known.byPort.set(name, (reached = computeReach(resources, id)))
  return reached
}

function hasNumberless(slices: Iterable<Resource<EndpointSlice>>): boolean {
  for (const { object } of slices) if (object.ports.some(({ port }) => port === undefined)) return true
  return false
}

function computeReach(resources: ResourceSet, id: string): Reach {
  const tenancy = tenancyOf(resources)
  const refused = new Set<string>()
  const endpoints = gather(resources, id, (endpoint) => {
    if (!tenancy.strict || tenancy.mayReach(namespaceOf(id), endpoint.address, endpoint.port)) return true
    refused.add(targetText(endpoint.address, endpoint.port))
    return false
  })
  return { endpoints, refused: refused.size === 0 ? NONE : [...refused].sort() }
}

const NONE: readonly never[] = Object.freeze([])

/** Says whether a target that is no pod of a Service may be used. */
type Admission = (endpoint: EndpointAddress) => boolean

function gather(resources: ResourceSet, id: string, admits: Admission): readonly EndpointAddress[] {
  const inline = inlineService(id)
  if (inline !== undefined) return serviceEndpoints(resources, inline.service, inline.port, admits)
  const backend = resources.backends.get(id)?.object
  if (backend === undefined) return NONE
  const { endpoints, service } = backend.spec
  if (endpoints !== undefined) return merged(endpoints.map(staticEndpoint).filter(admits), 'add')
  if (service === undefined) return NONE
  return serviceEndpoints(resources, `${backend.metadata.namespace}/${service.name}`, service.port, admits)
}

function serviceEndpoints(
  resources: ResourceSet,
  key: string,
  wanted: number | string,
  admits: Admission,
): readonly EndpointAddress[] {
  const service = resources.services.get(key)?.object
  if (service === undefined) return NONE
  if (service.spec.type === 'ExternalName') return externalName(service, wanted).filter(admits)
  const port = findPort(service, wanted)
  if (port === undefined) return NONE
  const slices = resources.endpointSlices.get(key)
  return slices === undefined ? NONE : merged(fromSlices(service, slices.values(), port, admits), 'best')
}

/**
 * Whether an endpoint is what the cluster itself says about a pod that the Service selects. Whoever may write
 * EndpointSlices can forge the label and the reference; by the roles that come with Kubernetes no tenant may
 * (CVE-2021-25740). In a folder everybody writes slices.
 */
function isPod(service: Service, slice: Resource<EndpointSlice>, { targetRef }: SliceEndpoint): boolean {
  return (
    isOfController(slice) &&
    Object.keys(service.spec.selector ?? {}).length > 0 &&
    targetRef?.kind === 'Pod' &&
    (targetRef.namespace ?? service.metadata.namespace) === service.metadata.namespace
  )
}

function isOfController({ object, created }: Resource<EndpointSlice>): boolean {
  const { addressType, metadata } = object
  return created !== undefined && addressType !== 'FQDN' && metadata.labels?.[MANAGED_BY_LABEL] === SLICE_CONTROLLER
}

/**
 * Whether a slice has an endpoint of which a status may have to speak in Strict, as far as can be told without its
 * Service.
 */
export function listsOthers(slice: Resource<EndpointSlice>): boolean {
  return !isOfController(slice) || slice.object.endpoints.some(({ targetRef }) => targetRef?.kind !== 'Pod')
}

/**
 * Why a port of a Service leads to none of its pods although there are some: the Service has the port, and no
 * EndpointSlice lists it. No pods at all is no such fault.
 */
export function unlistedPort(resources: ResourceSet, id: string): string | undefined {
  const used = serviceUse(resources, id)
  const service = used && resources.services.get(used.key)?.object
  const slices = used && resources.endpointSlices.get(used.key)
  const port = service && findPort(service, used!.port)
  if (used === undefined || slices === undefined || port === undefined) return undefined
  const listed = new Set<string>()
  let endpoints = 0
  for (const { object } of slices.values()) {
    if (portIn(object.ports, port) !== undefined) return undefined
    endpoints += object.endpoints.length
    for (const { name, port: number, protocol } of object.ports) listed.add(`${number ?? 'any'} ${name || protocol}`)
  }
  if (endpoints === 0) return undefined
  const there = listed.size === 0 ? 'no port' : [...listed].sort().slice(0, 4).join(', ')
  const name = port.name === undefined || port.name === '' ? `${port.port}` : `${port.port} ${port.name}`
  return `no pod of Service ${used.key} has its port ${name} (its EndpointSlices list ${there}); correct its targetPort, or the name of the port there`
}

/** The Service that a backend id leads to, if any. */
function serviceUse(resources: ResourceSet, id: string): { key: string; port: number | string } | undefined {
  const inline = inlineService(id)
  if (inline !== undefined) return { key: inline.service, port: inline.port }
  const backend = resources.backends.get(id)?.object
  const ref = backend?.spec.service
  return ref && { key: `${backend?.metadata.namespace}/${ref.name}`, port: ref.port }
}

/** How many endpoints a backend has, whatever state they are in, and how many of them are ready. */
export function countEndpoints(resources: ResourceSet, id: string): { readonly total: number; readonly ready: number } {
  const usable = endpointsOf(resources, id)
  const ready = usable.filter(({ state }) => state === 'ready').length
  const places = new Set(usable.map(({ address, port }) => `${address} ${port}`))
  for (const { address, port } of listedPods(resources, id)) places.add(`${address} ${port}`)
  return { total: places.size, ready }
}

/** Every pod in the slices of a backend's Service, ready or not. */
function* listedPods(resources: ResourceSet, id: string): Generator<{ address: string; port: number }, void> {
  const used = serviceUse(resources, id)
  const service = used && resources.services.get(used.key)?.object
  const slices = used && resources.endpointSlices.get(used.key)
  if (used === undefined || service === undefined || slices === undefined) return
  const port = findPort(service, used.port)
  if (port === undefined) return
  for (const { endpoint, number } of listed(service, slices.values(), port))
    for (const text of endpoint.addresses) yield { address: place(text).address, port: number }
}

/** The API server does not ask an ExternalName Service for ports, so a number stands for itself. */
function externalName(service: Service, wanted: number | string): readonly EndpointAddress[] {
  const name = service.spec.externalName
  const port = findPort(service, wanted)?.port ?? Number(wanted)
  if (name === undefined || !Number.isInteger(port)) return []
  return [{ ...place(name), port, weight: 1, state: 'ready' }]
}

function staticEndpoint(endpoint: StaticEndpoint): EndpointAddress {
  const { port, weight, zone } = endpoint
  return { ...place(endpoint.address), port, weight, ...(zone === undefined ? {} : { zone }), state: 'ready' }
}

/** An address in its one spelling, or a DNS name that control resolves later. */
function place(text: string): { address: string; hostname?: string } {
  const address = canonicalAddress(text)
  if (address !== undefined) return { address }
  const name = text.toLowerCase().replace(/\.$/, '')
  return { address: name, hostname: name }
}

function* fromSlices(
  service: Service,
  slices: Iterable<Resource<EndpointSlice>>,
  port: ServicePort,
  admits: Admission,
): Generator<EndpointAddress, void> {
  for (const { slice, endpoint, number } of listed(service, slices, port)) {
    const state = stateOf(endpoint)
    if (state === undefined) continue
    const pod = isPod(service, slice, endpoint)
    const { zone } = endpoint
    for (const text of endpoint.addresses) {
      const found = { ...place(text), port: number, weight: 1, ...(zone === undefined ? {} : { zone }), state }
      if (pod || admits(found)) yield found
    }
  }
}

interface Listed {
  readonly slice: Resource<EndpointSlice>
  readonly endpoint: SliceEndpoint
  /** The pod's port. */
  readonly number: number
}

/**
 * Everything in the slices that has the port. A dual-stack Service lists each pod once in each family: it is one
 * endpoint all the same, at its address of the Service's first family, which is the one that its clients are given
 * first and the one that pods can be trusted to listen on.
 */
function* listed(
  service: Service,
  slices: Iterable<Resource<EndpointSlice>>,
  port: ServicePort,
): Generator<Listed, void> {
  const first = service.spec.ipFamilies?.[0] === 'IPv6' ? 'IPv6' : 'IPv4'
  const usable: { readonly slice: Resource<EndpointSlice>; readonly number: number }[] = []
  const others: typeof usable = []
  for (const slice of slices) {
    const number = portIn(slice.object.ports, port)
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
function portIn(ports: readonly SlicePort[], wanted: ServicePort): number | undefined {
  const found = ports.find((port) => port.protocol === 'TCP' && (port.name ?? '') === (wanted.name ?? ''))
  if (found === undefined) return undefined
  return found.port ?? ownNumber(wanted)
}

/** Where the pods of a Service listen, as far as the Service says so. */
function ownNumber({ targetPort, port }: ServicePort): number {
  return typeof targetPort === 'number' ? targetPort : port
}

/** Unknown means ready, and serving means as ready (the API's own reading of absent conditions). */
function stateOf(endpoint: SliceEndpoint): 'ready' | 'draining' | undefined {
  const { ready, serving, terminating } = endpoint.conditions ?? {}
  if (ready ?? terminating !== true) return 'ready'
  return terminating === true && (serving ?? ready ?? true) ? 'draining' : undefined
}

/**
 * One entry for each address and port, since that is an endpoint's identity. While pods move between slices both may
 * name one, and the better state counts (`best`); static endpoints written twice have both weights (`add`).
 */
function merged(endpoints: Iterable<EndpointAddress>, weights: 'add' | 'best'): readonly EndpointAddress[] {
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

/** Ready before draining; with a zone before without, so that the order of the slices never decides. */
function rank(endpoint: EndpointAddress): string {
  return `${endpoint.state === 'ready' ? 0 : 1} ${endpoint.zone ?? '~'}`
}

function byAddress(a: EndpointAddress, b: EndpointAddress): number {
  return a.address < b.address ? -1 : a.address > b.address ? 1 : a.port - b.port
}

/** Whether two sets are the same to whoever balances over them. */
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
          one.hostname === other.hostname &&
          one.state === other.state
        )
      }))
  )
}
