/**
 * Translates an Ingress into Routes: one per host, since the paths of an Ingress belong to one host and the rules of a
 * Route to all of its hostnames. Ownership, conflicts, order and statuses then apply to them as to any Route.
 */
import { CLASS_ANNOTATION, type Ingress, type IngressBackend, type IngressPath } from '../api/ingress.ts'
import type { BackendRef, Route, RouteMatch, RouteRule, RouteTls } from '../api/route.ts'
import { requestPath } from '../pattern/manifest-path.ts'
import { HOST_PSEUDO_HEADER } from '../snapshot/snapshot.ts'
import { httpModeOfPath, ingressCertificates, tlsOfIngressHost } from './ingress-tls.ts'
import { CATCH_ALL } from './plan.ts'
import { type Age, objectId, type ResourceSet, type ServedResource } from './resource-set.ts'

/**
 * Added to the creation time of default backends (the year 33658), so that they sort after all paths, and the oldest
 * comes first among them.
 */
const DEFAULT_BACKEND_AGE = 1e15

/**
 * Keys of derived Routes. No object has a name with a colon. `~` comes after every character of a name, so that a
 * default backend comes last also where no creation time is given (in a folder).
 *
 * - `a/ingress:web:shop.example.com`, `a/ingress:web:*`: the paths of one host, or of rules without host
 * - `a/~ingress:web`, `a/~ingress:web:*`: the default backend on the Ingress's hosts, and on hosts that nobody names
 */
const KEY = /^([^/]+)\/~?ingress:([^:]+)/

/** `namespace/name` of the Ingress from which a Route was derived; undefined for a Route object. */
export function ingressOf(key: string): string | undefined {
  const found = KEY.exec(key)
  return found === null ? undefined : `${found[1]}/${found[2]}`
}

/** Display name of a Route's key: `Route a/shop`, `Ingress a/web`. */
export function nameOfRoute(key: string): string {
  const ingress = ingressOf(key)
  return ingress === undefined ? `Route ${key}` : `Ingress ${ingress}`
}

/** The object whose status covers a key, see `objectId`. */
export function statusName(key: string): string {
  const ingress = ingressOf(key)
  return ingress === undefined ? objectId('Route', key) : objectId('Ingress', ingress)
}

/** Whether a key is that of a default backend. */
export function isDefaultBackend(key: string): boolean {
  return key.includes('/~ingress:')
}

/** Whether a key is that of a default backend on the Ingress's own hosts, rather than on hosts that nobody names. */
export function isHostDefaultBackend(key: string): boolean {
  return isDefaultBackend(key) && !key.endsWith(`:${CATCH_ALL}`)
}

/** Explains why `a` comes before `b` in `compareAge`, as a predicate of `a`. */
export function whyFirst(a: Age, b: Age): string {
  const other = nameOfRoute(b.key)
  if (a.created === undefined) return `comes before ${other} by name (files have no creation times)`
  if (a.created !== b.created) return `is older than ${other}`
  return `was created in the same second as ${other} and comes first by name`
}

/** The Route of a key, written or derived. */
export function routeAt(resources: ResourceSet, key: string): ServedResource<Route> | undefined {
  const ingress = ingressOf(key)
  if (ingress === undefined) return resources.routes.get(key)
  const resource = resources.ingresses.get(ingress)
  return resource === undefined ? undefined : ingressRoutes(resource).get(key)
}

const DERIVED = new WeakMap<ServedResource<Ingress>, ReadonlyMap<string, ServedResource<Route>>>()

/** By key. The same objects each time for the same resource. */
export function ingressRoutes(resource: ServedResource<Ingress>): ReadonlyMap<string, ServedResource<Route>> {
  let routes = DERIVED.get(resource)
  if (routes === undefined) DERIVED.set(resource, (routes = derive(resource)))
  return routes
}

function derive(resource: ServedResource<Ingress>): ReadonlyMap<string, ServedResource<Route>> {
  const { metadata, spec } = resource.object
  const { namespace, name } = metadata
  const routes = new Map<string, ServedResource<Route>>()
  const put = (key: string, hostnames: readonly string[], rules: readonly RouteRule[], last = false, tls?: RouteTls) =>
    routes.set(key, derivedRoute(resource, { key, hostnames, rules, last, tls }))
  const byHost = new Map<string, RouteRule[]>()
  for (const [i, { host, http }] of spec.rules.entries()) {
    const hostname = host || CATCH_ALL
    const rules = byHost.get(hostname) ?? []
    byHost.set(hostname, rules)
    for (const [j, path] of (http?.paths ?? []).entries()) {
      const match = pathOf(path)
      // `ingressNotes` says so.
      if ('fault' in match) continue
      rules.push(ruleOf(`rule-${i}-path-${j}`, hostname, match, path.backend))
    }
  }
  // The catch-all has no owner, so a Route without rules has no effect there.
  const certificates = ingressCertificates(resource.object)
  for (const [host, rules] of byHost)
    if (host !== CATCH_ALL)
      put(`${namespace}/ingress:${name}:${host}`, [host], rules, false, tlsOfIngressHost(certificates, host))
    else if (rules.length > 0) put(`${namespace}/ingress:${name}:${CATCH_ALL}`, [], rules)
  if (spec.defaultBackend === undefined) return routes
  const rules: readonly RouteRule[] = [
    { name: 'default-backend', matches: [{ path: EVERYTHING }], backendRefs: [referenceOf(spec.defaultBackend)] },
  ]
  const hosts = [...byHost.keys()].filter((host) => host !== CATCH_ALL)
  if (hosts.length > 0) put(`${namespace}/~ingress:${name}`, hosts, rules, true)
  put(`${namespace}/~ingress:${name}:${CATCH_ALL}`, [], rules, true)
  return routes
}

interface Derived {
  readonly key: string
  readonly hostnames: readonly string[]
  readonly rules: readonly RouteRule[]
  /** Behind all others. */
  readonly last: boolean
  readonly tls: RouteTls | undefined
}

function derivedRoute(
  { object, created, stale }: ServedResource<Ingress>,
  { key, hostnames, rules, last, tls }: Derived,
): ServedResource<Route> {
  const { metadata } = object
  const className = classOf(object)
  const route: Route = {
    apiVersion: 'headgate.dev/v1alpha1',
    kind: 'Route',
    metadata: { ...metadata, name: key.slice(metadata.namespace.length + 1) },
    spec: {
      ...(className === undefined ? {} : { ingressClassName: className }),
      ...(hostnames.length === 0 ? {} : { hostnames }),
      ...(tls === undefined ? {} : { tls }),
      rules,
    },
  }
  return {
    key,
    object: route,
    created: created === undefined || !last ? created : created + DEFAULT_BACKEND_AGE,
    ...(stale === undefined ? {} : { stale }),
  }
}

/** The class of an Ingress; undefined = the default class. */
export function classOf({ spec, metadata }: Ingress): string | undefined {
  return spec.ingressClassName || metadata.annotations?.[CLASS_ANNOTATION] || undefined
}

function ruleOf(name: string, host: string, path: RouteMatch['path'], backend: IngressBackend): RouteRule {
  const http = httpModeOfPath(path)
  return {
    name,
    matches: [{ path, ...hostCondition(host) }],
    backendRefs: [referenceOf(backend)],
    ...(http === undefined ? {} : { http }),
  }
}

const EVERYTHING: RouteMatch['path'] = { type: 'PathPrefix', value: '/' }

/**
 * `Prefix` compares segments and ignores a trailing slash, like PathPrefix. The API server accepts blanks and non-ASCII
 * characters in paths; in requests they are percent-encoded.
 *
 * @returns the path, or a fault when no request can have it
 */
export function pathOf({ path, pathType }: IngressPath): RouteMatch['path'] | { readonly fault: string } {
  if (path === '') return EVERYTHING
  // Cloud load balancers use this notation for a prefix.
  const read = requestPath(pathType === 'ImplementationSpecific' && path.endsWith('/*') ? path.slice(0, -1) : path)
  if ('fault' in read) return read
  return { type: pathType === 'Exact' ? 'Exact' : 'PathPrefix', value: read.path }
}

/** The wildcard of an Ingress covers one label, that of a Route one or more. */
function hostCondition(host: string): Pick<RouteMatch, 'headers'> {
  if (!host.startsWith('*.')) return {}
  const value = `[^.]+${host.slice(1).replaceAll('.', '\\.')}`
  return { headers: [{ name: HOST_PSEUDO_HEADER, type: 'RegularExpression', value }] }
}

function referenceOf({ service, resource }: IngressBackend): BackendRef {
  const whole = { weight: 1, priority: 0 }
  if (service !== undefined) return { service: { name: service.name, port: portOf(service.port) }, ...whole }
  if (resource?.kind === 'Backend' && resource.apiGroup === 'headgate.dev') return { name: resource.name, ...whole }
  const group = resource?.apiGroup ? `.${resource.apiGroup}` : ''
  // No Backend has a slash in its name; `resolveBackend` reports it.
  return { name: resource === undefined ? '/' : `${resource.kind}${group}/${resource.name}`, ...whole }
}

function portOf(port: { readonly name?: string; readonly number?: number } | undefined): number | string {
  return port?.name ?? port?.number ?? 0
}
