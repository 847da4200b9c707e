/**
 * Connections of one worker to an endpoint to which each connection is announced with a PROXY header: a pool for each
 * client's connection, since the header names one client and a connection is never used for another.
 */
import type { Endpoint } from '../balance/endpoint.ts'
import { encodeProxyHeader } from '../proxy-protocol/encode.ts'
import type { ProxiedConnection } from '../proxy-protocol/header.ts'
import type { Connector } from './connector.ts'
import { EndpointPool, type PoolContext, type PoolOptions } from './pool.ts'
import type { UpstreamHandler, UpstreamPool, UpstreamRequest } from './upstream.ts'

/**
 * Milliseconds that a connection lies idle. Nobody but its client can use it, and it holds a place of the Backend
 * meanwhile.
 */
const IDLE = 1_000

export class ClientPools implements UpstreamPool {
  readonly #endpoint: Endpoint
  readonly #version: 1 | 2
  readonly #context: PoolContext
  readonly #connector: Connector
  #options: PoolOptions
  /** By both ends of the client's connection; requests of the gateway's own have '' */
  readonly #pools = new Map<string, EndpointPool>()
  readonly #poolOf = new WeakMap<UpstreamHandler, EndpointPool>()
  #retired = false
  /** Its connections end soon in any case. */
  readonly lostAt = Number.NEGATIVE_INFINITY

  constructor(endpoint: Endpoint, version: 1 | 2, options: PoolOptions, context: PoolContext, connector: Connector) {
    this.#endpoint = endpoint
    this.#version = version
    this.#context = context
    this.#connector = connector
    this.#options = briefly(options)
  }

  dispatch(request: UpstreamRequest, handler: UpstreamHandler, fresh: boolean): void {
    const pool = this.#poolFor(request.client ?? null)
    this.#poolOf.set(handler, pool)
    pool.dispatch(request, handler, fresh)
  }

  cancel(handler: UpstreamHandler): void {
    this.#poolOf.get(handler)?.cancel(handler)
  }

  #poolFor(client: ProxiedConnection | null): EndpointPool {
    const key = keyOf(client)
    let pool = this.#pools.get(key)
    if (pool === undefined) {
      const header = encodeProxyHeader(this.#version, client)
      const connector = this.#connector
      const { expectedCapacity } = connector
      pool = new EndpointPool(this.#endpoint, this.#options, this.#context, {
        ...(expectedCapacity === undefined ? {} : { expectedCapacity }),
        connect: (endpoint, owner) => connector.connect(endpoint, owner, header),
      })
      if (this.#retired) pool.retire()
      this.#pools.set(key, pool)
    }
    return pool
  }

  get open(): number {
    let open = 0
    for (const pool of this.#pools.values()) open += pool.open
    return open
  }

  /** Above 0 while there is something to sweep. */
  get idleCount(): number {
    return this.#pools.size
  }

  set options(options: PoolOptions) {
    this.#options = briefly(options)
    for (const pool of this.#pools.values()) pool.options = this.#options
  }

  dropIdle(): boolean {
    for (const pool of this.#pools.values()) if (pool.dropIdle()) return true
    return false
  }

  sweep(now: number): void {
    for (const [key, pool] of this.#pools) {
      pool.sweep(now)
      if (pool.unused) this.#pools.delete(key)
    }
  }

  retire(): void {
    this.#retired = true
    for (const pool of this.#pools.values()) pool.retire()
  }
}

function briefly(options: PoolOptions): PoolOptions {
  const { connectTimeout, idleTimeout, maxRequestsPerConnection } = options
  return { connectTimeout, maxRequestsPerConnection, idleTimeout: idleTimeout > 0 ? Math.min(idleTimeout, IDLE) : IDLE }
}

function keyOf(client: ProxiedConnection | null): string {
  if (client === null) return ''
  const { sourceAddress, sourcePort, destinationAddress, destinationPort } = client
  return `${sourceAddress} ${sourcePort} ${destinationAddress} ${destinationPort}`
}
