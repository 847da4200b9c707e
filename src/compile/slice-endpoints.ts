/**
 * The endpoints of one EndpointSlice. Those that are the same as in the version before are the same objects, so that
 * whoever compares two lists finds the few that changed without looking into the others.
 */
import {
  type EndpointSlice,
  MANAGED_BY_LABEL,
  type Service,
  SLICE_CONTROLLER,
  type SliceEndpoint,
} from '../api/kubernetes.ts'
import { canonicalAddress } from '../pattern/cidr.ts'
import type { EndpointAddress } from '../snapshot/snapshot.ts'
import type { ServedResource } from './resource-set.ts'
import { targetText } from './tenancy.ts'

/** Decides whether a target that is not a pod of a Service may be used. */
export type TargetFilter = (endpoint: EndpointAddress) => boolean

/** Of one slice, at one port. */
export interface SliceEndpoints {
  readonly slice: ServedResource<EndpointSlice>
  /** In {@link compareEndpoints order}. */
  readonly usable: readonly EndpointAddress[]
  /** The same without the zones of hints; the same list where there are none. */
  readonly unhinted: readonly EndpointAddress[]
  /** Whether every ready one has hints. */
  readonly hinted: boolean
  /** Places of what is listed and is not usable. */
  readonly others: readonly string[]
  /** What the filter refuses, in the notation of the settings. */
  readonly refused: readonly string[]
  /** Pods by `namespace/name`. */
  readonly pods: readonly string[]
}

export interface SliceUse {
  readonly service: Service
  readonly slice: ServedResource<EndpointSlice>
  /** Of the pods. */
  readonly port: number
  readonly admits: TargetFilter
  /** Pods that another slice lists in the family of addresses that is preferred. */
  readonly known?: ReadonlySet<string>
}

/** @param before of an earlier version of the slice */
export function sliceEndpoints(use: SliceUse, before: SliceEndpoints | undefined): SliceEndpoints {
  const { service, slice, port, admits, known } = use
  const usable: EndpointAddress[] = []
  const others: string[] = []
  const refused: string[] = []
  const pods: string[] = []
  let hinted = true
  const controlled = isOfController(slice) && Object.keys(service.spec.selector ?? {}).length > 0
  for (const endpoint of slice.object.endpoints) {
    const name = podName(endpoint)
    if (name !== undefined) pods.push(name)
    if (name !== undefined && known?.has(name) === true) continue
    const state = stateOf(endpoint)
    const { zone } = endpoint
    const serves = zonesServed(endpoint)
    if (serves === undefined && state === 'ready') hinted = false
    const pod = controlled && isPodOf(service, endpoint)
    for (const text of endpoint.addresses) {
      const host = parseHost(text)
      const found = state && {
        ...host,
        port,
        weight: 1,
        ...(zone === undefined ? {} : { zone }),
        ...(serves === undefined || serves === zone ? {} : { serves }),
        state,
      }
      if (found !== undefined && (pod || admits(found))) {
        usable.push(found)
        continue
      }
      others.push(placeOf(host.address, port))
      if (found !== undefined) refused.push(targetText(host.address, port))
    }
  }
  const kept = keepEqual(usable.sort(compareEndpoints), before?.usable ?? [])
  const unhinted = withoutHints(kept, before?.unhinted ?? [])
  return { slice, usable: kept, unhinted, hinted, others, refused, pods }
}

function withoutHints(endpoints: readonly EndpointAddress[], before: readonly EndpointAddress[]) {
  if (endpoints.every(({ serves }) => serves === undefined)) return endpoints
  const unhinted = endpoints.map(({ serves: _, ...endpoint }) => endpoint)
  return keepEqual(unhinted.sort(compareEndpoints), before)
}

/** Puts the objects of the former list in the place of equal ones. Both are in order. */
function keepEqual(now: EndpointAddress[], before: readonly EndpointAddress[]): readonly EndpointAddress[] {
  let at = 0
  let kept = 0
  for (let i = 0; i < now.length; i++) {
    while (at < before.length && compareEndpoints(before[at]!, now[i]!) < 0) at++
    const known = before[at]
    if (known === undefined || !sameEndpoint(known, now[i]!)) continue
    now[i] = known
    at++
    kept++
  }
  return kept === now.length && kept === before.length ? before : now
}

export function placeOf(address: string, port: number): string {
  return `${address} ${port}`
}

/** By address and port; of one place ready before draining, with a zone before without. */
export function compareEndpoints(a: EndpointAddress, b: EndpointAddress): number {
  if (a.address !== b.address) return a.address < b.address ? -1 : 1
  if (a.port !== b.port) return a.port - b.port
  const [one, other] = [rank(a), rank(b)]
  return one < other ? -1 : one > other ? 1 : 0
}

/** Independent of the order of slices. */
function rank({ state, zone, serves }: EndpointAddress): string {
  return `${state === 'ready' ? 0 : 1} ${zone ?? '~'} ${serves ?? '~'}`
}

/** Whether both are the same for load balancing. */
export function sameEndpoint(one: EndpointAddress, other: EndpointAddress): boolean {
  return (
    one === other ||
    (one.address === other.address &&
      one.port === other.port &&
      one.weight === other.weight &&
      one.zone === other.zone &&
      one.serves === other.serves &&
      one.hostname === other.hostname &&
      one.state === other.state)
  )
}

/**
 * Whether an endpoint was written by the cluster's controller for a pod that the Service selects. Users with write
 * access to EndpointSlices can forge the label and the reference; the default roles of Kubernetes grant it to no tenant
 * (CVE-2021-25740). In a folder slices are written by users.
 */
function isPodOf(service: Service, { targetRef }: SliceEndpoint): boolean {
  const { namespace } = service.metadata
  return targetRef?.kind === 'Pod' && (targetRef.namespace ?? namespace) === namespace
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

function podName({ targetRef }: SliceEndpoint): string | undefined {
  if (targetRef?.kind !== 'Pod' || targetRef.name === undefined) return undefined
  return `${targetRef.namespace ?? ''}/${targetRef.name}`
}

function zonesServed({ hints }: SliceEndpoint): string | undefined {
  const zones = hints?.forZones ?? []
  return zones.length === 0 ? undefined : zones.map(({ name }) => name).join(',')
}

/** Absent `ready` means ready, and absent `serving` means the value of `ready` (as the API defines). */
function stateOf(endpoint: SliceEndpoint): 'ready' | 'draining' | undefined {
  const { ready, serving, terminating } = endpoint.conditions ?? {}
  if (ready ?? terminating !== true) return 'ready'
  return terminating === true && (serving ?? ready ?? true) ? 'draining' : undefined
}

/** A canonical address, or a DNS name that control resolves later. */
export function parseHost(text: string): { address: string; hostname?: string } {
  const address = canonicalAddress(text)
  if (address !== undefined) return { address }
  const name = text.toLowerCase().replace(/\.$/, '')
  return { address: name, hostname: name }
}
