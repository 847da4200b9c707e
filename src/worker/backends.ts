/**
 * The Backends of this worker: endpoint set, balancer, connections. Keyed by id and kept over every change of tables.
 */
import { isDeepStrictEqual } from 'node:util'
import { Availability } from '../balance/availability.ts'
import type { Balancer, BalancerContext } from '../balance/balancer.ts'
import { createBalancer } from '../balance/create-balancer.ts'
import type { Endpoint, EndpointGauge } from '../balance/endpoint.ts'
import { RetryBudget } from '../balance/retry-budget.ts'
import { SessionTokens } from '../balance/session-tokens.ts'
import type { Topology } from '../balance/topology.ts'
import type { Milliseconds, Random } from '../lib/clock.ts'
import { RequestPlaces } from '../limit/request-places.ts'
import type { NamespaceShare, ShareMember, UpstreamBudget } from '../limit/upstream-budget.ts'
import type { LinkedBackend, SessionAffinity } from '../link/linked-tables.ts'
import type { HeadLimits } from '../message/head.ts'
import { type ValueReader, valueReader } from '../policy/variables.ts'
import type { EndpointTable } from '../shared-memory/endpoint-table.ts'
import type { WorkerMetrics } from '../shared-memory/metrics.ts'
import { namespaceOf } from '../snapshot/backend-id.ts'
import { connectionKey } from '../snapshot/connection-key.ts'
import type { BackendConfig } from '../snapshot/snapshot.ts'
import { usesContents } from '../snapshot/upstream-tls.ts'
import type { EndpointsMessage } from '../thread/messages.ts'
import { ConnectionPlaces, type PlacesContext } from '../transport/connection-places.ts'
import type { Connector } from '../transport/connector.ts'
import type { PoolContext } from '../transport/pool.ts'
import type { Timers } from '../transport/timers.ts'
import type { UpstreamPool } from '../transport/upstream.ts'
import { BackendPools } from './backend-pools.ts'
import { EndpointSets } from './endpoint-sets.ts'

export interface BackendsContext {
  readonly worker: number
  readonly random: Random
  readonly timers: Timers
  readonly endpoints: EndpointTable
  readonly metrics: WorkerMetrics
  /** Row of a backend in the metrics, by its id. */
  metricsRow(id: string): number
  /** For the tokens of sessions: another array after each change. */
  sessionKey(): Uint8Array
  /** The dial guard. */
  mayDial(address: string, port: number): boolean
  readonly budget: UpstreamBudget
  /** How the endpoints of a Backend are connected to. */
  connectorOf(plan: BackendConfig): Connector
  /** The same for connections that carry no requests. */
  tunnelsOf(plan: BackendConfig): Connector
  limits: HeadLimits
  /** Of this replica. */
  topology: Topology
}

export class Backends {
  readonly #context: BackendsContext
  readonly #sets: EndpointSets
  /** With those that no table names any more, until control withdraws their endpoints. */
  readonly #backends = new Map<string, WorkerBackend>()
  /** By the row of the Backend itself. */
  readonly #bySlot = new Map<number, WorkerBackend>()

  constructor(context: BackendsContext) {
    this.#context = context
    this.#sets = new EndpointSets({
      connects: (id) => this.#backends.get(id)?.connects,
      changed: (id, { endpoints }, { removed }) => this.#backends.get(id)?.endpointsChanged(endpoints, removed),
      withdrawn: (id) => this.#withdrawn(id),
    })
  }

  /** Bounds of response heads. */
  set limits(limits: HeadLimits) {
    this.#context.limits = limits
  }

  /** Balancers see it with their next pick. */
  set topology(topology: Topology) {
    if (!isDeepStrictEqual(topology, this.#context.topology)) this.#context.topology = topology
  }

  /**
   * The endpoints of one Backend, known before any table names it. Of a Backend that is connected to by another key
   * they wait for the tables with the new protocol: until then the former endpoints are used as before.
   *
   * In steps: a set of thousands is read between requests, and acts as a whole with the last step. Until then nothing
   * else may be called for the Backend.
   */
  endpoints(message: EndpointsMessage): Generator<void, void> {
    return this.#sets.take(message)
  }

  /** Withdraws every endpoint set but these. */
  retain(ids: readonly string[]): void {
    this.#sets.retain(ids)
  }

  /** Makes or revises a Backend. @param slot its own row in the endpoint table, -1 when it has none */
  define(plan: BackendConfig, slot: number): LinkedBackend {
    const known = this.#backends.get(plan.id)
    const connects = connectionKey(plan)
    if (known !== undefined && known.slot === slot) {
      known.named = true
      const before = known.connects
      known.revise(plan, connects)
      this.#sets.use(plan.id, connects, before)
      return known
    }
    // Another row has other counters, so requests in flight keep the old object.
    if (known !== undefined) this.#end(known)
    this.#backends.delete(plan.id)
    const set = this.#sets.use(plan.id, connects, undefined)
    const backend = new WorkerBackend(plan, slot, connects, this.#context)
    this.#backends.set(plan.id, backend)
    if (slot >= 0) this.#bySlot.set(slot, backend)
    backend.endpointsChanged(set?.endpoints ?? [], [])
    return backend
  }

  /**
   * No table names it any more. It ends when control withdraws its endpoints: requests that were matched before may
   * wait, and until then none of its rows is another's.
   */
  forget(backend: LinkedBackend): void {
    const known = this.#backends.get(backend.id)
    if (known !== backend) return
    known.named = false
    if (!this.#sets.has(backend.id)) this.#withdrawn(backend.id)
  }

  #withdrawn(id: string): void {
    const known = this.#backends.get(id)
    if (known === undefined || known.named) return
    this.#backends.delete(id)
    this.#end(known)
  }

  #end(backend: WorkerBackend): void {
    if (this.#bySlot.get(backend.slot) === backend) this.#bySlot.delete(backend.slot)
    backend.end()
  }

  /** Another worker rang for the Backend with this row. */
  rung(slot: number): void {
    this.#bySlot.get(slot)?.places.answer()
  }

  /** Bytes of Secrets are other ones: connections that were made with the former take no more requests. */
  contentsChanged(ids: readonly string[]): void {
    const changed = new Set(ids)
    for (const backend of this.#backends.values()) if (usesContents(backend.plan.tls, changed)) backend.renewPools()
  }

  /** A Backend that tables name. */
  find(id: string): LinkedBackend | undefined {
    const known = this.#backends.get(id)
    return known?.named === true ? known : undefined
  }

  /** The same, and one that only requests that wait may still need: for what is done for a request. */
  findLeaving(id: string): LinkedBackend | undefined {
    return this.#backends.get(id)
  }

  /** Closes what has been idle or open too long. */
  sweep(now: number): void {
    for (const backend of this.#backends.values()) backend.sweep(now)
  }

  /** Open upstream connections, for tests of leaks. */
  get connections(): number {
    let open = 0
    for (const backend of this.#backends.values()) open += backend.connections
    return open
  }
}

function balancesAlike(a: BackendConfig, b: BackendConfig): boolean {
  return (
    a.algorithm === b.algorithm &&
    a.slowStart === b.slowStart &&
    a.zoneAware === b.zoneAware &&
    a.subsetSize === b.subsetSize
  )
}

function keyReaders({ hashOn }: BackendConfig): readonly ValueReader[] {
  return hashOn.map(valueReader)
}

/**
 * A request that has found all of so many endpoints at their limits speaks for those that come right after it: looking
 * at each of 10,000 takes half a millisecond.
 */
const MANY_ENDPOINTS = 64
const FULL_FOR_EACH: Milliseconds = 0.001

class WorkerBackend implements LinkedBackend, BalancerContext, PoolContext, PlacesContext, ShareMember {
  readonly id: string
  readonly slot: number
  readonly metricsRow: number
  readonly retries: RetryBudget
  readonly timers: Timers
  readonly share: NamespaceShare
  readonly places: ConnectionPlaces
  readonly requestPlaces: RequestPlaces
  plan: BackendConfig
  /** See {@link connectionKey}. */
  connects: string
  balancer: Balancer
  keys: readonly ValueReader[]
  readonly gauge: EndpointGauge
  readonly random: Random
  endpoints: readonly Endpoint[] = []
  /** By the tables in force. */
  named = true
  ended = false
  readonly #context: BackendsContext
  readonly #pools: BackendPools
  readonly #room: Availability
  #affinity: SessionAffinity | null = null
  #fullUntil: Milliseconds = 0

  constructor(plan: BackendConfig, slot: number, connects: string, context: BackendsContext) {
    this.id = plan.id
    this.plan = plan
    this.connects = connects
    this.slot = slot
    this.#context = context
    this.#pools = new BackendPools(this, context)
    this.timers = context.timers
    this.share = context.budget.join(namespaceOf(plan.id), this)
    this.places = new ConnectionPlaces(slot, this)
    this.requestPlaces = new RequestPlaces(slot, context.worker, context.endpoints, () => this.#requestLimit)
    this.metricsRow = context.metricsRow(plan.id)
    this.retries = new RetryBudget(slot < 0 ? null : context.endpoints.retries, slot, context.timers)
    this.gauge = context.endpoints
    this.#room = new Availability(context.endpoints)
    this.random = context.random
    this.keys = keyReaders(plan)
    this.balancer = this.#makeBalancer(plan)
  }

  get affinity(): SessionAffinity | null {
    const config = this.plan.sessionAffinity
    if (config === undefined) return null
    const key = this.#context.sessionKey()
    if (this.#affinity?.config !== config || this.#affinity.tokens.key !== key)
      this.#affinity = {
        config,
        tokens: new SessionTokens(this.id, key),
        read: valueReader(`${config.type}:${config.name}`),
      }
    return this.#affinity
  }

  get room(): Availability {
    return this.#room.refresh(this.endpoints, this.plan.health, this.timers.now)
  }

  get isFull(): boolean {
    return this.#fullUntil > this.timers.now
  }

  noRoom(): void {
    if (this.endpoints.length > MANY_ENDPOINTS)
      this.#fullUntil = this.timers.now + this.endpoints.length * FULL_FOR_EACH
  }

  get limits(): HeadLimits {
    return this.#context.limits
  }

  get connections(): number {
    let open = 0
    for (const pool of this.#pools) open += pool.open
    return open
  }

  revise(plan: BackendConfig, connects: string): void {
    if (!balancesAlike(plan, this.plan)) {
      this.balancer = this.#makeBalancer(plan)
      this.balancer.update(this.endpoints)
    }
    if (!isDeepStrictEqual(plan.hashOn, this.plan.hashOn)) this.keys = keyReaders(plan)
    const connectsAlike = connects === this.connects
    if (this.plan.adaptiveLimit !== undefined && plan.adaptiveLimit === undefined)
      for (const { slot } of this.endpoints) this.#context.endpoints.makeRoom(slot)
    this.plan = plan
    this.#room.forget()
    this.connects = connects
    if (!connectsAlike) this.renewPools()
    for (const pool of this.#pools) pool.options = plan
    this.places.limitsChanged()
  }

  /**
   * Connections that are made from now on carry all requests that are to come. The others carry those that they were
   * made for to their end.
   */
  renewPools(): void {
    this.#pools.renew()
  }

  endpointsChanged(endpoints: readonly Endpoint[], removed: readonly Endpoint[]): void {
    this.endpoints = endpoints
    this.#room.forget()
    this.balancer.update(endpoints)
    for (const endpoint of removed) this.#pools.remove(endpoint)
  }

  /** Only requests in flight use it from now on. */
  end(): void {
    this.ended = true
    this.endpointsChanged([], [...this.endpoints])
    this.share.leave(this)
  }

  get #requestLimit(): number {
    const ceiling = this.#context.budget.limits.maxConcurrentRequests
    const { maxConcurrentRequests } = this.plan
    if (ceiling === Number.POSITIVE_INFINITY) return maxConcurrentRequests
    return maxConcurrentRequests === 0 ? ceiling : Math.min(maxConcurrentRequests, ceiling)
  }

  pool(endpoint: Endpoint): UpstreamPool {
    return this.#pools.requests(endpoint)
  }

  tunnels(endpoint: Endpoint): UpstreamPool {
    return this.#pools.tunnels(endpoint)
  }

  mirrors(endpoint: Endpoint): UpstreamPool {
    return this.#pools.mirrors(endpoint)
  }

  sweep(now: number): void {
    for (const pool of this.#pools) if (pool.idleCount > 0) pool.sweep(now)
  }

  #makeBalancer(plan: BackendConfig): Balancer {
    return createBalancer(plan.algorithm, this, plan.slowStart, plan)
  }

  // ---- what balancers ask ----

  get topology(): Topology {
    return this.#context.topology
  }

  now(): Milliseconds {
    return this.timers.now
  }

  requests(): number {
    return this.requestPlaces.inFlight
  }

  // ---- what pools ask ----

  mayDial(address: string, port: number): boolean {
    return this.#context.mayDial(address, port)
  }

  get worker(): number {
    return this.#context.worker
  }

  get table(): EndpointTable {
    return this.#context.endpoints
  }

  get maxConnections(): number {
    return Math.min(this.plan.maxConnections, this.#context.budget.limits.maxConnections)
  }

  get maxPending(): number {
    return Math.min(this.plan.maxPending, this.#context.budget.limits.maxPending)
  }

  dropIdle(): boolean {
    if (this.places.idle === 0) return false
    for (const pool of this.#pools) if (pool.dropIdle()) return true
    return false
  }

  connectionOpened(reused: boolean): void {
    if (reused) this.#context.metrics.upstreamReused()
    else this.#context.metrics.upstreamConnected()
  }

  connectionFailed(): void {
    this.#context.metrics.upstreamFailed()
  }

  connectionClosed(): void {
    this.#context.metrics.upstreamClosed()
  }
}
