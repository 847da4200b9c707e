/**
 * What the dial guard has to know about the place where this runs: our own addresses and those of the other replicas, the API server, the
 * ports of kubelets. The environment says some of it, Services of the cluster the rest.
 */
import { networkInterfaces } from 'node:os'
import type { EndpointSlice, Service } from '../api/kubernetes.ts'
import type { Resource, ResourceSet } from '../compile/resource-set.ts'
import type { GuardedPlace, Surroundings } from '../link/dial-guard.ts'

/** What the API server says about itself; the cluster keeps it, and the EndpointSlice of the same name. */
const API_SERVER = 'default/kubernetes'
const IS_API_SERVER = 'the API server of the cluster'
const IS_OURSELVES = 'this gateway itself'

/** The kubelet's API, its read-only port, and the health of kube-proxy: no pod that is meant to be reached through a gateway has them. */
const KUBELET_PORTS: readonly number[] = Object.freeze([10_250, 10_255, 10_256])

type Environment = Readonly<Record<string, string | undefined>>
type Known = readonly (Resource<Service> | ReadonlyMap<string, Resource<EndpointSlice>> | undefined)[]

export class Neighbourhood {
  readonly #inCluster: boolean
  readonly #environment: Environment
  readonly #addresses: readonly string[]
  #known: Known = []
  #surroundings: Surroundings | undefined

  /**
   * @param inCluster whether resources come from an API server
   * @param addresses of this machine
   */
  constructor(inCluster: boolean, environment: Environment, addresses: readonly string[] = ownAddresses()) {
    this.#inCluster = inCluster
    this.#environment = environment
    this.#addresses = addresses
  }

  /** `namespace/name` of Services that have to be read for this. */
  get services(): readonly string[] {
    return this.#inCluster ? [API_SERVER, ...this.#ownServices] : []
  }

  /** As of these resources; the same object as long as nothing that matters differs. */
  of(resources: Pick<ResourceSet, 'services' | 'endpointSlices'>): Surroundings {
    const keys = this.services
    const known = keys.flatMap((key) => [resources.services.get(key), resources.endpointSlices.get(key)])
    const same = known.length === this.#known.length && known.every((one, i) => one === this.#known[i])
    if (this.#surroundings !== undefined && same) return this.#surroundings
    this.#known = known
    this.#surroundings = {
      loopback: !this.#inCluster,
      ownAddresses: [...this.#addresses, ...this.#replicas(resources)],
      places: [...this.#fromEnvironment(), ...keys.flatMap((key) => fromService(resources, key))],
      closedPorts: this.#inCluster ? KUBELET_PORTS : [],
    }
    return this.#surroundings
  }

  /** The one that clients are sent to, and the one that lists every replica in every family. */
  get #ownServices(): string[] {
    const { POD_NAMESPACE, HEADGATE_SERVICE, HEADGATE_REPLICAS } = this.#environment
    if (!POD_NAMESPACE) return []
    return [HEADGATE_SERVICE, HEADGATE_REPLICAS].flatMap((name) => (name ? [`${POD_NAMESPACE}/${name}`] : []))
  }

  #replicas({ endpointSlices }: Pick<ResourceSet, 'endpointSlices'>): string[] {
    if (!this.#inCluster) return []
    const slices = this.#ownServices.flatMap((key) => [...(endpointSlices.get(key)?.values() ?? [])])
    return slices.flatMap(({ object }) => object.endpoints.flatMap(({ addresses }) => addresses))
  }

  /** As the kubelet tells every pod; a name among them is known by the Service's endpoints. */
  #fromEnvironment(): GuardedPlace[] {
    const { KUBERNETES_SERVICE_HOST: address, KUBERNETES_SERVICE_PORT: port } = this.#environment
    return address && port ? [{ address, port: Number(port), what: IS_API_SERVER }] : []
  }
}

/** Where a Service itself is reached; of the API server's also its endpoints, which the ports of the pods of ours are already. */
function fromService({ services, endpointSlices }: Pick<ResourceSet, 'services' | 'endpointSlices'>, key: string) {
  const places: GuardedPlace[] = []
  const what = key === API_SERVER ? IS_API_SERVER : IS_OURSELVES
  const service = services.get(key)?.object.spec
  const addresses = new Set(service?.clusterIPs)
  if (service?.clusterIP !== undefined) addresses.add(service.clusterIP)
  for (const address of addresses) for (const { port } of service?.ports ?? []) places.push({ address, port, what })
  // Only its own: another slice with the label may be anybody's who may write one in that namespace.
  const slice = key === API_SERVER ? endpointSlices.get(key)?.get(API_SERVER)?.object : undefined
  for (const { addresses } of slice?.endpoints ?? [])
    for (const address of addresses)
      for (const { port } of slice?.ports ?? []) if (port !== undefined) places.push({ address, port, what })
  return places
}

function ownAddresses(): string[] {
  return Object.values(networkInterfaces()).flatMap((entries) => entries?.map((entry) => entry.address) ?? [])
}
