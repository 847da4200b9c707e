/** Connections of one Backend, by what they carry and by endpoint. */
import type { Endpoint } from '../balance/endpoint.ts'
import type { BackendConfig } from '../snapshot/snapshot.ts'
import { ClientPools } from '../transport/client-pools.ts'
import type { Connector } from '../transport/connector.ts'
import { EndpointPool, type PoolContext } from '../transport/pool.ts'
import { type MirroredBackend, MirrorPools } from './mirror-pools.ts'

export interface PooledBackend extends MirroredBackend {
  readonly plan: BackendConfig
}

export interface BackendConnectors {
  /** How the endpoints of a Backend are connected to. */
  connectorOf(plan: BackendConfig): Connector
  /** The same for connections that carry no requests. */
  tunnelsOf(plan: BackendConfig): Connector
}

/** Connections to one endpoint: any client's, or a pool for each client. */
type ConnectionPool = EndpointPool | ClientPools

export class BackendPools {
  readonly #backend: PooledBackend
  readonly #connectors: BackendConnectors
  readonly #requests = new Map<Endpoint, ConnectionPool>()
  /** Most Backends have none of them. */
  readonly #tunnels = new Map<Endpoint, ConnectionPool>()
  readonly #mirrors = new Map<Endpoint, ConnectionPool>()
  #mirrorContext: MirrorPools | null = null

  constructor(backend: PooledBackend, connectors: BackendConnectors) {
    this.#backend = backend
    this.#connectors = connectors
  }

  requests(endpoint: Endpoint): ConnectionPool {
    return this.#requests.get(endpoint) ?? this.#make(this.#requests, endpoint)
  }

  /** Of connections that carry no requests. */
  tunnels(endpoint: Endpoint): ConnectionPool {
    return this.#tunnels.get(endpoint) ?? this.#make(this.#tunnels, endpoint)
  }

  /** Of copies of requests. */
  mirrors(endpoint: Endpoint): ConnectionPool {
    return this.#mirrors.get(endpoint) ?? this.#make(this.#mirrors, endpoint)
  }

  #make(pools: Map<Endpoint, ConnectionPool>, endpoint: Endpoint): ConnectionPool {
    const { plan } = this.#backend
    const connector = pools === this.#tunnels ? this.#connectors.tunnelsOf(plan) : this.#connectors.connectorOf(plan)
    const pool = this.#poolOf(endpoint, pools === this.#mirrors ? this.#forMirrors : this.#backend, connector)
    pools.set(endpoint, pool)
    return pool
  }

  get #forMirrors(): PoolContext {
    this.#mirrorContext ??= new MirrorPools(this.#backend)
    return this.#mirrorContext
  }

  #poolOf(endpoint: Endpoint, context: PoolContext, connector: Connector): ConnectionPool {
    const { plan } = this.#backend
    const { proxyProtocol } = plan
    if (proxyProtocol === undefined) return new EndpointPool(endpoint, plan, context, connector)
    return new ClientPools(endpoint, proxyProtocol === 'V1' ? 1 : 2, plan, context, connector)
  }

  *[Symbol.iterator](): Generator<ConnectionPool> {
    yield* this.#requests.values()
    yield* this.#tunnels.values()
    yield* this.#mirrors.values()
  }

  /** Busy connections carry what they were made for to its end; whatever is to come gets new ones. */
  renew(): void {
    for (const pool of this) pool.retire()
    for (const pools of this.#maps) pools.clear()
  }

  remove(endpoint: Endpoint): void {
    for (const pools of this.#maps) {
      pools.get(endpoint)?.retire()
      pools.delete(endpoint)
    }
  }

  get #maps() {
    return [this.#requests, this.#tunnels, this.#mirrors]
  }
}
