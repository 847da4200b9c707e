/** What an object claims and belongs to. */
import type { Ingress } from '../../api/ingress.ts'
import { type EndpointSlice, SERVICE_NAME_LABEL } from '../../api/kubernetes.ts'
import type { KubeObject } from '../../api/object.ts'
import type { Route } from '../../api/route.ts'
import type { SettingsObject } from '../../api/settings.ts'
import { ingressRoutes } from '../../compile/ingress.ts'
import { CATCH_ALL, claimedHostnames, planRoute } from '../../compile/plan.ts'
import type { Resource } from '../../compile/resource-set.ts'

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
