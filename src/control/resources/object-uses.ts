/** What an object refers to and claims, as the cache and those who keep hostnames have to know it. */
import type { Backend } from '../../api/backend.ts'
import type { Ingress } from '../../api/ingress.ts'
import { type EndpointSlice, SERVICE_NAME_LABEL } from '../../api/kubernetes.ts'
import type { KubeObject } from '../../api/object.ts'
import type { Route } from '../../api/route.ts'
import type { SettingsObject } from '../../api/settings.ts'
import { serviceBackendId } from '../../compile/endpoints.ts'
import { ingressRoutes, ingressServices } from '../../compile/ingress.ts'
import { CATCH_ALL, claimedHostnames, planRoute } from '../../compile/plan.ts'
import type { Resource } from '../../compile/resource-set.ts'

/** Services that an object refers to, each with the backend id that stands for it. */
export function usesOf(resource: Resource<KubeObject> | undefined): (readonly [service: string, id: string])[] {
  const object = resource?.object
  const namespace = object?.metadata.namespace ?? ''
  if (object?.kind === 'Backend') {
    const { service } = (object as Backend).spec
    return service === undefined ? [] : [[`${namespace}/${service.name}`, resource!.key]]
  }
  if (object?.kind === 'Ingress') return ingressServices(resource as Resource<Ingress>)
  if (object?.kind !== 'Route') return []
  return (object as Route).spec.rules.flatMap((rule) =>
    (rule.backendRefs ?? []).flatMap(({ service }): [string, string][] =>
      service === undefined ? [] : [[`${namespace}/${service.name}`, serviceBackendId(namespace, service)]],
    ),
  )
}

/** Hostnames that it claims here; hosts without a name belong to no namespace. */
export function hostnamesOf(resource: Resource<KubeObject> | undefined, settings: SettingsObject): readonly string[] {
  const kind = resource?.object.kind
  const routes =
    kind === 'Route'
      ? [resource as Resource<Route>]
      : kind === 'Ingress'
        ? [...ingressRoutes(resource as Resource<Ingress>).values()]
        : []
  const hostnames = routes.flatMap((route) => claimedHostnames(planRoute(route, settings)))
  return hostnames.filter((hostname) => hostname !== CATCH_ALL)
}

/** The Service that a slice belongs to. */
export function serviceOf({ metadata }: EndpointSlice): string | undefined {
  const service = metadata.labels?.[SERVICE_NAME_LABEL]
  return service === undefined ? undefined : `${metadata.namespace}/${service}`
}
