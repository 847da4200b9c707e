/**
 * The endpoints of one port of a Service, from all of its EndpointSlices. A change of one slice of hundreds costs a
 * walk over the lists, and everything that did not change is the same object as before.
 */
import type { EndpointSlice, Service, ServicePort, SlicePort } from '../api/kubernetes.ts'
import { listDifference } from '../lib/origins.ts'
import type { EndpointAddress } from '../snapshot/snapshot.ts'
import type { ServedResource } from './resource-set.ts'
import { compareEndpoints, placeOf, type SliceEndpoints, sliceEndpoints, type TargetFilter } from './slice-endpoints.ts'

export type Slices = ReadonlyMap<string, ServedResource<EndpointSlice>>

export interface ServicePortUse {
  readonly service: Service
  readonly port: ServicePort
  readonly admits: TargetFilter
  /** Whether the slices of before were judged by the same filter. */
  readonly judged: boolean
}

/** What has made the endpoints of a port; immutable. */
export interface ServiceEndpoints {
  /** Sorted by address and port, each of them once. While a pod moves between slices, the better entry counts. */
  readonly endpoints: readonly EndpointAddress[]
  /** Before that: with those that are listed twice. */
  readonly sorted: readonly EndpointAddress[]
  /** As in kube-proxy, hints count only where all endpoints have them: while they are written, some do not. */
  readonly hinted: boolean
  readonly parts: ReadonlyMap<string, SliceEndpoints>
}

const NOTHING: ServiceEndpoints = { endpoints: [], sorted: [], hinted: true, parts: new Map() }

/** @param before of earlier slices */
export function serviceEndpoints(use: ServicePortUse, slices: Slices, before = NOTHING): ServiceEndpoints {
  const parts = partsOf(use, slices, before.parts)
  const hinted = [...parts.values()].every((part) => part.hinted)
  const gone = new Set<EndpointAddress>()
  const fresh: EndpointAddress[] = []
  const compare = (was: SliceEndpoints | undefined, is: SliceEndpoints | undefined): void => {
    const difference = listDifference(listOf(was, before.hinted), listOf(is, hinted))
    for (const endpoint of difference.gone) gone.add(endpoint)
    for (const endpoint of difference.fresh) fresh.push(endpoint)
  }
  for (const [key, part] of parts) compare(before.parts.get(key), part)
  for (const [key, part] of before.parts) if (!parts.has(key)) compare(part, undefined)
  if (gone.size === 0 && fresh.length === 0) return { ...before, hinted, parts }
  const sorted = merge(before.sorted, gone, fresh.sort(compareEndpoints))
  return { endpoints: eachOnce(sorted), sorted, hinted, parts }
}

function listOf(part: SliceEndpoints | undefined, hinted: boolean): readonly EndpointAddress[] {
  if (part === undefined) return []
  return hinted ? part.usable : part.unhinted
}

/**
 * The slices with the port. A dual-stack Service lists each pod once per address family; only the address of the
 * Service's first family is used, on which pods are certain to listen.
 */
function partsOf(
  { service, port, admits, judged }: ServicePortUse,
  slices: Slices,
  before: ServiceEndpoints['parts'],
): Map<string, SliceEndpoints> {
  const first = service.spec.ipFamilies?.[0] === 'IPv6' ? 'IPv6' : 'IPv4'
  const parts = new Map<string, SliceEndpoints>()
  const others: [string, ServedResource<EndpointSlice>, number][] = []
  for (const [key, slice] of slices) {
    const number = matchingPort(slice.object.ports, port)
    if (number === undefined) continue
    if (slice.object.addressType !== first) others.push([key, slice, number])
    else {
      const known = before.get(key)
      const same = judged && known?.slice === slice
      parts.set(key, same ? known : sliceEndpoints({ service, slice, port: number, admits }, known))
    }
  }
  if (others.length === 0) return parts
  const known = new Set<string>()
  for (const { pods } of parts.values()) for (const pod of pods) known.add(pod)
  for (const [key, slice, number] of others)
    parts.set(key, sliceEndpoints({ service, slice, port: number, admits, known }, before.get(key)))
  return parts
}

/**
 * Slices name ports as the Service does; the number is the pods' own (named target ports may differ between slices).
 */
export function matchingPort(ports: readonly SlicePort[], wanted: ServicePort): number | undefined {
  const found = ports.find((port) => port.protocol === 'TCP' && (port.name ?? '') === (wanted.name ?? ''))
  if (found === undefined) return undefined
  return found.port ?? targetPortOf(wanted)
}

/** The pods' port according to the Service. */
export function targetPortOf({ targetPort, port }: ServicePort): number {
  return typeof targetPort === 'number' ? targetPort : port
}

/** All lists are in order. */
function merge(
  sorted: readonly EndpointAddress[],
  gone: ReadonlySet<EndpointAddress>,
  fresh: readonly EndpointAddress[],
): EndpointAddress[] {
  const merged: EndpointAddress[] = []
  let next = 0
  for (const endpoint of sorted) {
    if (gone.has(endpoint)) continue
    while (next < fresh.length && compareEndpoints(fresh[next]!, endpoint) < 0) merged.push(fresh[next++]!)
    merged.push(endpoint)
  }
  while (next < fresh.length) merged.push(fresh[next++]!)
  return merged
}

/** The first of each place, which is the best one. */
function eachOnce(sorted: readonly EndpointAddress[]): readonly EndpointAddress[] {
  const isFirst = (endpoint: EndpointAddress, i: number): boolean => {
    const other = sorted[i - 1]
    return other === undefined || other.address !== endpoint.address || other.port !== endpoint.port
  }
  return sorted.every(isFirst) ? sorted : sorted.filter(isFirst)
}

/** How many places the slices list, whether or not something there can be used. */
export function countListed({ endpoints, parts }: ServiceEndpoints): number {
  const others = new Set<string>()
  for (const part of parts.values()) for (const place of part.others) others.add(place)
  if (others.size === 0) return endpoints.length
  for (const { address, port } of endpoints) others.delete(placeOf(address, port))
  return endpoints.length + others.size
}

/** What the filter refuses, sorted. */
export function refusedOf({ parts }: ServiceEndpoints): readonly string[] {
  const refused = new Set<string>()
  for (const part of parts.values()) for (const text of part.refused) refused.add(text)
  return [...refused].sort()
}
