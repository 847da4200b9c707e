/** What an object claims and belongs to. */
import type { Ingress } from '../../api/ingress.ts'
import { type EndpointSlice, SERVICE_NAME_LABEL } from '../../api/kubernetes.ts'
import type { KubeObject } from '../../api/object.ts'
import type { Route } from '../../api/route.ts'
import type { SettingsObject } from '../../api/settings.ts'
import { ingressRoutes } from '../../compile/ingress.ts'
import { CATCH_ALL, claimedHostnames, planRoute } from '../../compile/plan.ts'
import type { ServedResource } from '../../compile/resource-set.ts'

/** Hostnames that it claims here; the hosts that nobody names are nobody's. */
export function hostnamesOf(
  resource: ServedResource<KubeObject> | undefined,
  settings: SettingsObject,
): readonly string[] {
  const kind = resource?.object.kind
  const routes =
    kind === 'Route'
      ? [resource as ServedResource<Route>]
      : kind === 'Ingress'
        ? [...ingressRoutes(resource as ServedResource<Ingress>).values()]
        : []
  const hostnames = routes.flatMap((route) => claimedHostnames(planRoute(route, settings)))
  return hostnames.filter((hostname) => hostname !== CATCH_ALL)
}

/** The Service that a slice belongs to. */
export function serviceOf({ metadata }: EndpointSlice): string | undefined {
  const service = metadata.labels?.[SERVICE_NAME_LABEL]
  return service === undefined ? undefined : `${metadata.namespace}/${service}`
}
