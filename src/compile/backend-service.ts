/** The Services that have the endpoints of Backends, and their ports. */
import type { Service, ServicePort } from '../api/kubernetes.ts'
import type { ServiceRef } from '../api/policies.ts'
import { SERVICE_PREFIX, serviceId } from '../policy/backend-ref.ts'
import type { ResourceSet } from './resource-set.ts'

/** The Service that has the endpoints of a Backend. */
export interface BackendService {
  readonly name: string
  /** Of the port; undefined where it has none, or there is no such port. */
  readonly appProtocol: string | undefined
}

/** A Service named directly by a rule, parsed from its backend id. */
export interface InlineService {
  /** `namespace/name`. */
  readonly service: string
  readonly port: number | string
}

/** The backend id of a Service that a rule of a Route in `namespace` names directly. */
export function serviceBackendId(namespace: string, ref: ServiceRef): string {
  return serviceId(namespace, ref)
}

/** The Service of a backend id that is not the key of a Backend. */
export function inlineService(id: string): InlineService | undefined {
  if (!id.startsWith(SERVICE_PREFIX)) return undefined
  const colon = id.lastIndexOf(':')
  const port = id.slice(colon + 1)
  return { service: id.slice(SERVICE_PREFIX.length, colon), port: /^[0-9]+$/.test(port) ? Number(port) : port }
}

/** TCP ports by number and by name: a Service may have thousands, looked up by as many backends. */
const PORTS = new WeakMap<Service, ReadonlyMap<number | string, ServicePort>>()

/** The TCP port of a Service by number or name. */
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

/** The Service behind a backend id, if any. */
export function serviceUse(resources: ResourceSet, id: string): { key: string; port: number | string } | undefined {
  const inline = inlineService(id)
  if (inline !== undefined) return { key: inline.service, port: inline.port }
  const backend = resources.backends.get(id)?.object
  const ref = backend?.spec.service
  return ref && { key: `${backend?.metadata.namespace}/${ref.name}`, port: ref.port }
}

/** The Service behind a backend id, and what its port says of the protocol; there or not. */
export function backendService(resources: ResourceSet, id: string): BackendService | undefined {
  const used = serviceUse(resources, id)
  if (used === undefined) return undefined
  const service = resources.services.get(used.key)?.object
  const port = service && findPort(service, used.port)
  return { name: used.key.slice(used.key.indexOf('/') + 1), appProtocol: port?.appProtocol }
}
