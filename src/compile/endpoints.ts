/**
 * Where a Backend is reached: static endpoints, the pods of its Service as EndpointSlices tell, or a DNS name. Computable for
 * one backend alone, since endpoints change far more often than anything else and must not wait for a compile.
 */
import type { StaticEndpoint } from '../api/backend.ts'
import type { EndpointSlice, Service, ServicePort, SliceEndpoint, SlicePort } from '../api/kubernetes.ts'
import type { ServiceRef } from '../api/policies.ts'
import { canonicalAddress } from '../pattern/cidr.ts'
import type { EndpointAddress } from '../snapshot/snapshot.ts'
import type { Resource, ResourceSet } from './resource-set.ts'

const MAX_WEIGHT = 1_000_000

const PREFIX = 'service:'

/** A Service named directly by a rule, as its backend id says it. */
export interface InlineService {
  /** `namespace/name`. */
  readonly service: string
  readonly port: number | string
}

/** The backend id of a Service that a rule of a Route in `namespace` names directly. */
export function serviceBackendId(namespace: string, ref: ServiceRef): string {
  return `${PREFIX}${namespace}/${ref.name}:${ref.port}`
}

/** What a backend id names when it is not the key of a Backend. */
export function inlineService(id: string): InlineService | undefined {
  if (!id.startsWith(PREFIX)) return undefined
  const colon = id.lastIndexOf(':')
  const port = id.slice(colon + 1)
  return { service: id.slice(PREFIX.length, colon), port: /^[0-9]+$/.test(port) ? Number(port) : port }
}

/** The Service port that a number or a name means. TCP only: nothing else is dialled. */
export function findPort(service: Service, port: number | string): ServicePort | undefined {
  const wanted = typeof port === 'string' && /^[0-9]+$/.test(port) ? Number(port) : port
  return service.spec.ports.find(
    (entry) => entry.protocol === 'TCP' && (typeof wanted === 'number' ? entry.port : entry.name) === wanted,
  )
}

/**
 * The endpoints of one backend, sorted by address and port, each address and port once. Empty when there is none, or
 * nothing by that id.
 *
 * @param id see `Backend.id` of the snapshot
 */
export function endpointsOf(resources: ResourceSet, id: string): readonly EndpointAddress[] {
  const inline = inlineService(id)
  if (inline !== undefined) return serviceEndpoints(resources, inline.service, inline.port)
  const backend = resources.backends.get(id)?.object
  if (backend === undefined) return []
  if (backend.spec.endpoints !== undefined) return merged(backend.spec.endpoints.map(staticEndpoint), 'add')
  const ref = backend.spec.service
  return ref === undefined ? [] : serviceEndpoints(resources, `${backend.metadata.namespace}/${ref.name}`, ref.port)
}

function serviceEndpoints(resources: ResourceSet, key: string, wanted: number | string): readonly EndpointAddress[] {
  const service = resources.services.get(key)?.object
  if (service === undefined) return []
  if (service.spec.type === 'ExternalName') return externalName(service, wanted)
  const port = findPort(service, wanted)
  if (port === undefined) return []
  const slices = resources.endpointSlices.get(key)
  return slices === undefined ? [] : merged(fromSlices(slices.values(), port), 'best')
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
  const backend = resources.backends.get(id)?.object
  const ref = backend?.spec.service
  const inline = inlineService(id)
  const key = inline?.service ?? `${backend?.metadata.namespace}/${ref?.name}`
  const service = resources.services.get(key)?.object
  const port = service && findPort(service, inline?.port ?? ref?.port ?? '')
  if (port === undefined) return
  for (const { object: slice } of resources.endpointSlices.get(key)?.values() ?? []) {
    const number = portIn(slice.ports, port)
    if (number === undefined) continue
    for (const { addresses } of slice.endpoints)
      for (const text of addresses) yield { address: place(text).address, port: number }
  }
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

function* fromSlices(slices: Iterable<Resource<EndpointSlice>>, port: ServicePort): Generator<EndpointAddress, void> {
  for (const { object: slice } of slices) {
    const number = portIn(slice.ports, port)
    if (number === undefined) continue
    for (const endpoint of slice.endpoints) {
      const state = stateOf(endpoint)
      if (state === undefined) continue
      for (const text of endpoint.addresses) {
        const { zone } = endpoint
        yield { ...place(text), port: number, weight: 1, ...(zone === undefined ? {} : { zone }), state }
      }
    }
  }
}

/** Slices name ports as the Service does; the number is the pods' own (named target ports may differ between slices). */
function portIn(ports: readonly SlicePort[], wanted: ServicePort): number | undefined {
  const found = ports.find((port) => port.protocol === 'TCP' && (port.name ?? '') === (wanted.name ?? ''))
  if (found === undefined) return undefined
  if (found.port !== undefined) return found.port
  return typeof wanted.targetPort === 'number' ? wanted.targetPort : wanted.port
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
