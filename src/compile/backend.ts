/** Translates a Backend's options into the form of the snapshot. */
import type { BackendOptions, BackendTls } from '../api/backend.ts'
import { BACKEND_DEFAULTS } from '../api/defaults.ts'
import { parseDuration } from '../lib/quantity.ts'
import type { AdaptiveLimitConfig } from '../limit/adaptive-limit.ts'
import { contentId } from '../policy/contents.ts'
import { CA_SECRET } from '../policy/secret-types.ts'
import { namespaceOf } from '../snapshot/backend-id.ts'
import { type ConnectionOptions, connectionKey } from '../snapshot/connection-key.ts'
import { certificateRef } from '../snapshot/host-tls.ts'
import type { BackendConfig } from '../snapshot/snapshot.ts'
import type { UpstreamProtocol } from '../snapshot/upstream-protocol.ts'
import type { UpstreamTls } from '../snapshot/upstream-tls.ts'
import { healthOf } from './backend-health.ts'
import { type BackendService, backendService, inlineService } from './backend-service.ts'
import type { ResourceSet } from './resource-set.ts'

/** A Service named directly by a rule. */
export function defaultBackend(id: string, service?: BackendService): BackendConfig {
  return backendOf(id, BACKEND_DEFAULTS, service)
}

/** @param service undefined where the Backend lists its endpoints itself */
export function backendOf(id: string, options: BackendOptions, service?: BackendService): BackendConfig {
  const { limits, connection, loadBalancing } = options
  const connects = connectionOf(id, options, service)
  return {
    id,
    ...connects,
    algorithm: loadBalancing.algorithm,
    hashOn: loadBalancing.hashOn ?? NONE,
    slowStart: parseDuration(loadBalancing.slowStart),
    zoneAware: loadBalancing.zoneAware,
    subsetSize: loadBalancing.subsetSize ?? 0,
    sessionAffinity: affinityOf(options.sessionAffinity),
    hostHeader: options.hostHeader,
    maxConnections: limits.maxConnections,
    maxPending: limits.maxPending,
    maxConcurrentRequests: limits.maxConcurrentRequests,
    ...(limits.adaptive !== undefined && { adaptiveLimit: adaptiveLimitOf(limits.adaptive) }),
    connectTimeout: parseDuration(connection.connectTimeout),
    idleTimeout: parseDuration(connection.idleTimeout),
    maxRequestsPerConnection: connection.maxRequestsPerConnection,
    ...allowedOf(options.allowedNamespaces),
    health: healthOf(options.healthCheck, connects.protocol),
  }
}

function allowedOf({ from, names = [] }: BackendOptions['allowedNamespaces']): Pick<BackendConfig, 'allowed'> {
  if (from === 'Same') return {}
  return { allowed: from === 'All' ? 'All' : names }
}

/** The connection key of a Backend, or of a Service named directly, by these resources; undefined for no Backend. */
export function connectionKeyOf(resources: ResourceSet, id: string): string | undefined {
  const options = inlineService(id) === undefined ? resources.backends.get(id)?.object.spec : BACKEND_DEFAULTS
  return options && connectionKey(connectionOf(id, options, backendService(resources, id)))
}

function connectionOf(id: string, options: BackendOptions, service: BackendService | undefined): ConnectionOptions {
  const protocol = options.protocol ?? protocolOf(service?.appProtocol)
  return {
    protocol,
    tls: runsOverTls(protocol) ? tlsOf(namespaceOf(id), options.tls ?? DEFAULT_TLS, service?.name) : undefined,
    proxyProtocol: options.connection.proxyProtocol,
  }
}

/**
 * Values of `appProtocol` that say what is spoken on a port: those of Kubernetes (KEP-3726), the names of services that
 * IANA has, and `grpc`, which other gateways and meshes know.
 */
const APP_PROTOCOLS: ReadonlyMap<string, UpstreamProtocol> = new Map([
  ['http', 'HTTP'],
  ['https', 'HTTPS'],
  ['grpc', 'GRPC'],
  ['kubernetes.io/h2c', 'H2C'],
  // WebSockets are upgrades of HTTP/1.1.
  ['kubernetes.io/ws', 'HTTP'],
  ['kubernetes.io/wss', 'HTTPS'],
])

function protocolOf(appProtocol: string | undefined): UpstreamProtocol {
  return APP_PROTOCOLS.get(appProtocol?.toLowerCase() ?? '') ?? 'HTTP'
}

function runsOverTls(protocol: UpstreamProtocol): boolean {
  return protocol === 'HTTPS' || protocol === 'H2' || protocol === 'GRPCS'
}

function affinityOf(stated: BackendOptions['sessionAffinity']): BackendConfig['sessionAffinity'] {
  const { cookie, header } = stated ?? {}
  if (header !== undefined) return { type: 'header', name: header.name.toLowerCase() }
  if (cookie === undefined) return undefined
  const { name, ttl, sameSite } = cookie
  // A life of 0 seconds would remove the cookie.
  const maxAge = ttl === undefined ? undefined : Math.max(Math.ceil(parseDuration(ttl) / 1_000), 1)
  return { type: 'cookie', name, maxAge, sameSite }
}

function adaptiveLimitOf(stated: NonNullable<BackendOptions['limits']['adaptive']>): AdaptiveLimitConfig {
  const { minRequests, maxRequests, latencyPercent } = stated
  return { minRequests, maxRequests, tolerance: latencyPercent / 100 }
}

const NONE: readonly never[] = Object.freeze([])

const DEFAULT_TLS: BackendTls = { insecureSkipVerify: false }

function tlsOf(namespace: string, options: BackendTls, service: string | undefined): UpstreamTls {
  const { caSecretName: ca, serverName, clientCertificateSecretName: client, insecureSkipVerify } = options
  return {
    ca: ca === undefined ? undefined : contentId({ kind: 'Secret', namespace, name: ca, ...CA_SECRET }),
    serverName: serverName?.toLowerCase(),
    serviceName: service === undefined ? undefined : `${service}.${namespace}.svc`,
    clientCertificate: client === undefined ? undefined : clientCertificate(namespace, client),
    insecureSkipVerify,
  }
}

function clientCertificate(namespace: string, name: string): UpstreamTls['clientCertificate'] {
  const { secret, chain, key } = certificateRef(namespace, name)
  return { secret, chain, key }
}
