/**
 * What the dial guard has to know about the place where this runs: our own addresses and those of the other replicas,
 * every address in front of us, the API server, the ports of kubelets. The environment has some of it, objects of the
 * cluster the rest (decision 0014).
 */
import { networkInterfaces } from 'node:os'
import { isDeepStrictEqual } from 'node:util'
import type { EndpointSlice, Service } from '../../api/kubernetes.ts'
import type { ResourceSet, ServedResource } from '../../compile/resource-set.ts'
import { canonicalAddress } from '../../pattern/cidr.ts'
import type { ClosedPort, GuardedDestination, ReservedDestinations } from '../../transport/dial-guard.ts'

/** The Service of the API server itself, which the cluster maintains with the EndpointSlice of the same name. */
const API_SERVER = 'default/kubernetes'
const IS_API_SERVER = 'the API server of the cluster'
const IS_OURSELVES = 'this gateway itself'

/**
 * The kubelet's API, its read-only port, and the health of kube-proxy: no pod that is meant to be reached through a
 * gateway has them.
 */
const KUBELET_PORTS: readonly number[] = Object.freeze([10_250, 10_255, 10_256])
const IS_KUBELET = "a port of nodes' kubelets"
const IS_API_PORT = 'the port of API servers'
const IS_NODE_PORT = 'a node port of this gateway'

/** The default port of API servers. */
const API_PORT = 6_443
/**
 * Ports that too many others have to be closed everywhere: an API server that has one is known by its addresses alone.
 */
const COMMON_PORTS: ReadonlySet<number> = new Set([80, 443, 8080, 8443])
/**
 * Of what is given as an address in front of us, besides the ports of the Service: what a proxy there maps to which of
 * them is unknown.
 */
const FRONT_PORTS: readonly number[] = Object.freeze([80, 443])

type Environment = Readonly<Record<string, string | undefined>>
type KnownObject = readonly (
  | ServedResource<Service>
  | ReadonlyMap<string, ServedResource<EndpointSlice>>
  | readonly string[]
  | undefined
)[]

/** Resolves the names of load balancers in front of this gateway, and of the API server. */
export interface ReservedDestinationNames {
  /** All that the name has led to of late; the same object until that is something else. Asks for it from now on. */
  addresses(name: string): readonly string[]
}

/** What an installation knows of itself besides the objects that a source reads. */
export interface OwnObjects {
  /** The Service in front, where the source does not read its namespace. */
  readonly service?: Service | undefined
  /** Addresses of the nodes on which its pods run. */
  readonly nodeAddresses: readonly string[]
  /** Addresses of its pods. */
  readonly podAddresses: readonly string[]
}

const NOTHING: OwnObjects = Object.freeze({ nodeAddresses: [], podAddresses: [] })

export class ReservedDestinationTracker {
  readonly #inCluster: boolean
  readonly #environment: Environment
  readonly #names: ReservedDestinationNames
  readonly #readAddresses: () => readonly string[]
  #addresses: readonly string[]
  #own = NOTHING
  #known: KnownObject = []
  /** As of {@link #known}; undefined when something else changed since. */
  #destinations: ReservedDestinations | undefined
  #last: ReservedDestinations | undefined

  /**
   * @param inCluster whether resources come from an API server
   * @param readAddresses of this machine, as they are now
   */
  constructor(
    inCluster: boolean,
    environment: Environment,
    names: ReservedDestinationNames,
    readAddresses: () => readonly string[] = machineAddresses,
  ) {
    this.#inCluster = inCluster
    this.#environment = environment
    this.#names = names
    this.#readAddresses = readAddresses
    this.#addresses = readAddresses()
  }

  /** `namespace/name` of Services that have to be read for this. */
  get services(): readonly string[] {
    return this.#inCluster ? [API_SERVER, ...this.#ownServices] : []
  }

  /**
   * Identifies the installation and cannot be guessed outside of it: the UID of its Service. Undefined while none
   * of its Services is known, and where there is none.
   */
  identity({ services }: Pick<ResourceSet, 'services'>): string | undefined {
    if (!this.#inCluster) return undefined
    for (const key of this.#ownServices) {
      const uid = this.#serviceOf(services, key)?.metadata.uid
      if (uid !== undefined) return uid
    }
    return undefined
  }

  /** Told by those who read objects of the installation itself. */
  useOwn(own: OwnObjects): void {
    this.#own = own
    this.#destinations = undefined
  }

  /** An address of the machine may have come or gone: they are read anew. */
  look(): void {
    const addresses = this.#readAddresses()
    if (addresses.join() === this.#addresses.join()) return
    this.#addresses = addresses
    this.#destinations = undefined
  }

  /** As of these resources; the same object as long as nothing that matters differs. */
  of(resources: Pick<ResourceSet, 'services' | 'endpointSlices'>): ReservedDestinations {
    const keys = this.services
    const named = this.#namesInFront(resources)
    const known: KnownObject = [
      ...keys.flatMap((key) => [resources.services.get(key), resources.endpointSlices.get(key)]),
      ...named.map((name) => this.#names.addresses(name)),
    ]
    const same = known.length === this.#known.length && known.every((one, i) => one === this.#known[i])
    if (this.#destinations !== undefined && same) return this.#destinations
    this.#known = known
    const next: ReservedDestinations = {
      loopback: !this.#inCluster,
      ownAddresses: [...this.#addresses, ...this.#own.podAddresses, ...this.#replicas(resources)],
      places: [...this.#apiServer(resources), ...this.#inFront(resources)],
      closedPorts: this.#closedPorts(resources),
    }
    // Another guard judges every endpoint anew.
    if (!isDeepStrictEqual(next, this.#last)) this.#last = next
    this.#destinations = this.#last
    return this.#destinations!
  }

  /** The one that clients are sent to, and the one that lists every replica in every family. */
  get #ownServices(): string[] {
    const { POD_NAMESPACE, HEADGATE_SERVICE, HEADGATE_REPLICAS } = this.#environment
    if (!POD_NAMESPACE) return []
    return [HEADGATE_SERVICE, HEADGATE_REPLICAS].flatMap((name) => (name ? [`${POD_NAMESPACE}/${name}`] : []))
  }

  #serviceOf(services: ResourceSet['services'], key: string): Service | undefined {
    const own = this.#own.service
    const isOwn = own !== undefined && `${own.metadata.namespace}/${own.metadata.name}` === key
    return services.get(key)?.object ?? (isOwn ? own : undefined)
  }

  #services({ services }: Pick<ResourceSet, 'services'>): Service[] {
    if (!this.#inCluster) return []
    return this.#ownServices.flatMap((key) => this.#serviceOf(services, key) ?? [])
  }

  #replicas({ endpointSlices }: Pick<ResourceSet, 'endpointSlices'>): string[] {
    if (!this.#inCluster) return []
    const slices = this.#ownServices.flatMap((key) => [...(endpointSlices.get(key)?.values() ?? [])])
    return slices.flatMap(({ object }) => object.endpoints.flatMap(({ addresses }) => addresses))
  }

  #list(variable: string): string[] {
    return (this.#environment[variable] ?? '').split(/[\s,]+/).filter((text) => text !== '')
  }

  /** Names whose addresses lead to us, or to the API server. */
  #namesInFront(resources: Pick<ResourceSet, 'services'>): string[] {
    const api = this.#environment.KUBERNETES_SERVICE_HOST
    const balancers = this.#services(resources).flatMap(balancersOf)
    const all = [...this.#list('HEADGATE_ADDRESSES'), ...balancers, ...(api ? [api] : [])]
    return [...new Set(all.filter((text) => canonicalAddress(text) === undefined))].sort()
  }

  #resolved(text: string): readonly string[] {
    return canonicalAddress(text) === undefined ? this.#names.addresses(text) : [text]
  }

  #places(addresses: Iterable<string>, ports: Iterable<number>, what: string): GuardedDestination[] {
    const literals = [...new Set([...addresses].flatMap((text) => this.#resolved(text)))]
    return [...new Set(ports)].flatMap((port) => literals.map((address) => ({ address, port, what })))
  }

  /**
   * By the environment that the kubelet gives every pod, its Service, and the one slice that the API server writes
   * itself.
   */
  #apiServer({ services, endpointSlices }: Pick<ResourceSet, 'services' | 'endpointSlices'>): GuardedDestination[] {
    const { KUBERNETES_SERVICE_HOST: host, KUBERNETES_SERVICE_PORT: port } = this.#environment
    const byEnvironment = host && port ? this.#places([host], [Number(port)], IS_API_SERVER) : []
    if (!this.#inCluster) return byEnvironment
    const service = services.get(API_SERVER)?.object
    const slice = apiSlice(endpointSlices)
    return [
      ...byEnvironment,
      ...(service === undefined ? [] : this.#places(clusterIPs(service), portsOf(service), IS_API_SERVER)),
      ...this.#places(slice?.endpoints.flatMap(({ addresses }) => addresses) ?? [], slicePorts(slice), IS_API_SERVER),
    ]
  }

  /** Where clients reach us: through the Service, a load balancer, or a port of a node that leads to a pod of ours. */
  #inFront(resources: Pick<ResourceSet, 'services'>): GuardedDestination[] {
    if (!this.#inCluster) return []
    const services = this.#services(resources)
    const hostPorts = this.#list('HEADGATE_HOST_PORTS').map(Number)
    const given = this.#list('HEADGATE_ADDRESSES')
    const nodes = [...this.#list('HEADGATE_HOST_IPS'), ...this.#own.nodeAddresses]
    return [
      ...services.flatMap((service) =>
        this.#places(
          [...clusterIPs(service), ...(service.spec.externalIPs ?? []), ...balancersOf(service)],
          portsOf(service),
          IS_OURSELVES,
        ),
      ),
      ...this.#places(given, [...FRONT_PORTS, ...hostPorts, ...services.flatMap(portsOf)], IS_OURSELVES),
      ...this.#places(nodes, hostPorts, IS_OURSELVES),
    ]
  }

  /**
   * No permission shows every address of every node, and a node cannot be distinguished from a pod: these ports are
   * closed at all addresses.
   */
  #closedPorts(resources: Pick<ResourceSet, 'services' | 'endpointSlices'>): ClosedPort[] {
    if (!this.#inCluster) return []
    const api = [API_PORT, ...slicePorts(apiSlice(resources.endpointSlices))].filter((port) => !COMMON_PORTS.has(port))
    const nodePorts = this.#services(resources).flatMap(({ spec }) => [
      ...spec.ports.map(({ nodePort = 0 }) => nodePort),
      spec.healthCheckNodePort ?? 0,
    ])
    return [
      ...KUBELET_PORTS.map((port) => ({ port, what: IS_KUBELET })),
      ...[...new Set(api)].map((port) => ({ port, what: IS_API_PORT })),
      ...nodePorts.filter((port) => port > 0).map((port) => ({ port, what: IS_NODE_PORT })),
    ]
  }
}

/** Only its own: any user who may write slices in that namespace may create another one with the label. */
function apiSlice(endpointSlices: ResourceSet['endpointSlices']): EndpointSlice | undefined {
  return endpointSlices.get(API_SERVER)?.get(API_SERVER)?.object
}

function slicePorts(slice: EndpointSlice | undefined): number[] {
  return slice?.ports.flatMap(({ port }) => port ?? []) ?? []
}

function portsOf({ spec }: Service): number[] {
  return spec.ports.map(({ port }) => port)
}

/** None of a headless Service. */
function clusterIPs({ spec: { clusterIP, clusterIPs = [] } }: Service): string[] {
  const addresses = new Set(clusterIPs)
  if (clusterIP !== undefined) addresses.add(clusterIP)
  addresses.delete('None')
  addresses.delete('')
  return [...addresses]
}

/** Addresses and names that a load balancer has, or is to have. */
function balancersOf({ spec, status }: Service): string[] {
  const ingress = status?.loadBalancer?.ingress ?? []
  const texts = [spec.loadBalancerIP, ...ingress.flatMap(({ ip, hostname }) => [ip, hostname?.toLowerCase()])]
  return texts.filter((text): text is string => text !== undefined && text !== '')
}

function machineAddresses(): string[] {
  return Object.values(networkInterfaces()).flatMap((entries) => entries?.map((entry) => entry.address) ?? [])
}
