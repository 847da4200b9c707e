/** Resources for tests, written as short as a test can be read, with the defaults that the door would have put in. */
import type { Backend, BackendSpec } from '../../src/api/backend.ts'
import type { ObjectStatus } from '../../src/api/condition.ts'
import type { Ingress } from '../../src/api/ingress.ts'
import type { EndpointSlice, Namespace, Service } from '../../src/api/kubernetes.ts'
import type { Route, RouteMatch, RouteRule, RouteSpec } from '../../src/api/route.ts'
import type { SettingsObject } from '../../src/api/settings.ts'
import { type Compiled, compile } from '../../src/compile/compile.ts'
import { CompileState } from '../../src/compile/compile-state.ts'
import {
  emptyResourceSet,
  type HostnameReservation,
  objectId,
  type PayloadSummary,
  type RejectedObject,
  type ResourceSet,
  type ServedResource,
} from '../../src/compile/resource-set.ts'
import { FrozenMap } from '../../src/snapshot/frozen-map.ts'
import { matchesUnder } from '../../src/snapshot/host.ts'

export const SETTINGS: SettingsObject = {
  ingressClass: { name: 'headgate', default: true },
  listeners: [
    { name: 'http', port: 8080 },
    { name: 'https', port: 8443, tls: {} },
  ],
  admin: { address: '127.0.0.1:9901' },
  signals: { address: ':9902' },
  peers: { address: ':9903' },
  tenancy: 'Shared',
  hostnameHold: '1h',
  upstreams: { denyCIDRs: [] },
  limits: { head: '64Ki', headers: 100, uri: '16Ki', connections: 0, passes: 8, memory: 0, namespaceCost: 2_000_000 },
  accessLog: { format: 'json', fields: {}, sample: 100 },
  cache: { memory: 0, files: '1Gi', collapseTimeout: '5s', debugCIDRs: [] },
  watchNamespaces: [],
}

export interface World {
  settings?: Partial<SettingsObject>
  routes?: ServedResource<Route>[]
  backends?: ServedResource<Backend>[]
  ingresses?: ServedResource<Ingress>[]
  services?: ServedResource<Service>[]
  slices?: ServedResource<EndpointSlice>[]
  namespaces?: ServedResource<Namespace>[]
  reservations?: Record<string, HostnameReservation>
  refused?: RejectedObject[]
  payloads?: Record<string, PayloadSummary>
}

export function world(parts: World): ResourceSet {
  const settings = { ...SETTINGS, ...parts.settings }
  const slices = new Map<string, Map<string, ServedResource<EndpointSlice>>>()
  for (const slice of parts.slices ?? []) {
    const { namespace, labels } = slice.object.metadata
    const service = `${namespace}/${labels?.['kubernetes.io/service-name']}`
    slices.set(service, new Map([...(slices.get(service) ?? []), [slice.key, slice]]))
  }
  return {
    ...emptyResourceSet(settings),
    routes: byKey(parts.routes),
    backends: byKey(parts.backends),
    ingresses: byKey(parts.ingresses),
    services: byKey(parts.services),
    namespaces: byKey(parts.namespaces),
    payloads: FrozenMap.from(Object.entries(parts.payloads ?? {})),
    reservations: FrozenMap.from(Object.entries(parts.reservations ?? {})),
    endpointSlices: FrozenMap.from(slices),
    rejected: FrozenMap.from((parts.refused ?? []).map((one) => [objectId(one.kind, one.key), one] as const)),
  }
}

function byKey<T>(resources: readonly ServedResource<T>[] = []): FrozenMap<ServedResource<T>> {
  return FrozenMap.from(resources.map((resource) => [resource.key, resource] as const))
}

export type Rules = Record<string, Partial<Omit<RouteRule, 'name' | 'matches'>> & { matches?: Partial<RouteMatch>[] }>

/** A Route by its key; each rule by its name. A rule that says nothing is for PathPrefix `/` and answers `ok`. */
export function route(
  key: string,
  spec: Partial<Omit<RouteSpec, 'rules'>> & { rules?: Rules },
  extra: Partial<Omit<ServedResource<Route>, 'key' | 'object'>> = {},
): ServedResource<Route> {
  const { rules = { main: {} }, ...rest } = spec
  const object: Route = {
    apiVersion: 'headgate.dev/v1alpha1',
    kind: 'Route',
    metadata: metadataOf(key),
    spec: {
      ...rest,
      rules: Object.entries(rules).map(([name, { matches, ...rule }]) => ({
        name,
        matches: (matches ?? [{}]).map((match) => ({ path: { type: 'PathPrefix', value: '/' }, ...match })),
        ...(rule.backendRefs || rule.redirect || rule.respond ? {} : { respond: { statusCode: 200, body: 'ok' } }),
        ...rule,
      })),
    },
  }
  return { key, object, created: undefined, ...extra }
}

export function prefix(value: string): Partial<RouteMatch> {
  return { path: { type: 'PathPrefix', value } }
}

export function backend(key: string, spec: Partial<BackendSpec>): ServedResource<Backend> {
  const object: Backend = {
    apiVersion: 'headgate.dev/v1alpha1',
    kind: 'Backend',
    metadata: metadataOf(key),
    spec: {
      loadBalancing: { algorithm: 'LeastRequest', slowStart: '0s', zoneAware: false },
      hostHeader: 'Preserve',
      healthCheck: {
        passive: {
          consecutiveFailures: 5,
          baseEjection: '30s',
          maxEjectionPercent: 50,
          successRate: { belowMeanPercent: 20, minRequests: 100 },
        },
        panicPercent: 30,
      },
      limits: { maxConnections: 1024, maxPending: 1024, maxConcurrentRequests: 0 },
      connection: { connectTimeout: '2s', idleTimeout: '60s', maxRequestsPerConnection: 0 },
      allowedNamespaces: { from: 'Same' },
      ...spec,
    },
  }
  return { key, object, created: undefined }
}

interface IngressExtra {
  readonly created?: number
  readonly annotations?: Record<string, string>
}

export function ingress(
  key: string,
  spec: Partial<Ingress['spec']>,
  extra: IngressExtra = {},
): ServedResource<Ingress> {
  const [namespace = '', name = ''] = key.split('/')
  const { annotations } = extra
  const object: Ingress = {
    apiVersion: 'networking.k8s.io/v1',
    kind: 'Ingress',
    metadata: { namespace, name, ...(annotations && { annotations }) },
    spec: { rules: [], tls: [], ...spec },
  }
  return { key, object, created: extra.created }
}

export function service(key: string, ports: Service['spec']['ports'], more: Partial<Service['spec']> = {}) {
  const object: Service = {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: metadataOf(key),
    spec: { type: 'ClusterIP', publishNotReadyAddresses: false, ports, ...more },
  }
  return { key, object, created: undefined }
}

export function slice(key: string, serviceName: string, more: Partial<EndpointSlice>): ServedResource<EndpointSlice> {
  const object: EndpointSlice = {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: { ...metadataOf(key), labels: { 'kubernetes.io/service-name': serviceName } },
    addressType: 'IPv4',
    endpoints: [],
    ports: [{ name: 'http', port: 8080, protocol: 'TCP' }],
    ...more,
  }
  return { key, object, created: undefined }
}

export function namespace(name: string, labels: Record<string, string>): ServedResource<Namespace> {
  const object: Namespace = { apiVersion: 'v1', kind: 'Namespace', metadata: { name, namespace: '', labels } }
  return { key: `/${name}`, object, created: undefined }
}

function metadataOf(key: string) {
  const [namespace = '', name = ''] = key.split('/')
  return { namespace, name }
}

export function compiled(resources: ResourceSet, memo: CompileState = new CompileState()): Compiled {
  const passes = compile(resources, memo)
  for (;;) {
    const next = passes.next()
    if (next.done === true) return next.value
  }
}

/** The rules of a hostname as a person would list them: `rule of route: match`. */
export function listing({ snapshot }: Compiled, hostname: string): string[] | undefined {
  const host = snapshot.hosts.get(hostname)
  if (host === undefined) return undefined
  return matchesUnder(snapshot.hosts, host).map(({ path, method, rule }) => {
    const { route, rule: name } = rule
    return `${route} ${name}: ${method === undefined ? '' : `${method} `}${path.type} ${path.value}`
  })
}

/** @param kind an Ingress is asked for by its own key */
export function statusOf({ statuses }: Compiled, key: string, kind: ObjectStatus['kind'] = 'Route'): ObjectStatus {
  const status = [...statuses.values()].find((one) => one.key === key && one.kind === kind)
  if (status === undefined) throw new Error(`no status of ${kind} ${key}`)
  return status
}

/** As a compile gives them. */
export const statusMap = (statuses: readonly ObjectStatus[]): FrozenMap<ObjectStatus> =>
  FrozenMap.from(statuses.map((status) => [`${status.kind} ${status.key}`, status]))

/** `status/reason` by type. */
export function conditionsOf(result: Compiled, key: string, kind: ObjectStatus['kind'] = 'Route') {
  return Object.fromEntries(
    statusOf(result, key, kind).conditions.map(({ type, status, reason }) => [type, `${status}/${reason}`]),
  )
}

export function messageOf(result: Compiled, key: string, type: string, kind: ObjectStatus['kind'] = 'Route'): string {
  return statusOf(result, key, kind).conditions.find((one) => one.type === type)?.message ?? ''
}
