/**
 * Connections of one worker to one endpoint. The last one used is taken first, so that a pool shrinks to what is
 * needed; what is idle or old too long is closed; a request waits for whichever comes first, a new connection or one
 * that takes another request. A connection carries as many requests at a time as its session can.
 */
import type { Endpoint } from '../balance/endpoint.ts'
import { GatewayError } from '../lib/error.ts'
import type { HeadLimits } from '../message/head.ts'
import type { Connector } from './connector.ts'
import { PooledSession, type SessionPool } from './pooled-session.ts'
import type { Timers } from './timers.ts'
import type { UpstreamHandler, UpstreamPool, UpstreamRequest } from './upstream.ts'

export interface PoolOptions {
  /** Milliseconds. */
  readonly connectTimeout: number
  readonly idleTimeout: number
  /** 0 = unlimited. */
  readonly maxRequestsPerConnection: number
}

export type Reservation =
  | 'taken'
  /** The Backend is at `maxConnections`, exact over all workers: a place may become free. */
  | 'full'
  /** Its namespace has reached its share of this worker's connections. */
  | 'overdrawn'

/** Dependencies shared by the pools of a worker. */
export interface PoolContext {
  readonly timers: Timers
  readonly limits: HeadLimits
  /** The dial guard, called right before every connection is made. */
  mayDial(address: string, port: number): boolean
  /** Reserves a connection within the limits. */
  reserve(pool: EndpointPool): Reservation
  unreserve(pool: EndpointPool): void
  /** Takes a place in the queue for a connection, exact over all workers; false: `maxPending` are waiting already. */
  reservePending(): boolean
  unreservePending(): void
  /** Registers the pool to be served when a connection may have become available. */
  queued(pool: EndpointPool): void
  connectionOpened(reused: boolean): void
  connectionFailed(): void
  connectionClosed(): void
}

/** A request without a connection. */
interface WaitingRequest {
  readonly request: UpstreamRequest
  readonly handler: UpstreamHandler
  readonly fresh: boolean
  /** When it has waited too long for a place, monotonic milliseconds; 0 while it waits for a connection. */
  until: number
}

/** Subtracted from the time for which an upstream announces to keep idle connections: bytes take time. Milliseconds. */
const KEEP_ALIVE_MARGIN = 1000
const OVERDRAWN = 'the namespace of the Backend has its share of all connections to upstreams'
const NO_PLACE = 'maxConnections and maxPending are reached'
/** A connection takes no more requests after this long however busy it is, so that DNS and balancing reach it. */
const MAX_AGE = 30 * 60_000

export class EndpointPool implements UpstreamPool, SessionPool {
  readonly endpoint: Endpoint
  readonly #context: PoolContext
  readonly #connector: Connector
  #options: PoolOptions
  /** Sessions that accept another request, most recently used last. */
  readonly #free: PooledSession[] = []
  /** Requests for which a connection is being made, the oldest first. */
  readonly #waiting: WaitingRequest[] = []
  /** Requests for which no connection may be made now, the oldest first. */
  readonly #pending: WaitingRequest[] = []
  readonly #connecting = new Set<PooledSession>()
  /** Concurrent requests expected of a connection being opened, estimated from the last one. */
  #expected: number
  /** Open or being opened. */
  open = 0
  #retired = false

  /** @param connector for all its connections, also those that it makes after it is retired */
  constructor(endpoint: Endpoint, options: PoolOptions, context: PoolContext, connector: Connector) {
    this.endpoint = endpoint
    this.#options = options
    this.#context = context
    this.#connector = connector
    this.#expected = this.#limited(connector.expectedCapacity ?? 1)
  }

  #limited(capacity: number): number {
    const { maxRequestsPerConnection: most } = this.#options
    return Math.max(1, most > 0 ? Math.min(capacity, most) : capacity)
  }

  get limits(): HeadLimits {
    return this.#context.limits
  }

  set options(options: PoolOptions) {
    this.#options = options
  }

  /** No connection is open or being opened, and no request waits for one. */
  get unused(): boolean {
    return this.open === 0 && this.#waiting.length === 0 && this.#pending.length === 0
  }

  /** Connections without a request. */
  get idleCount(): number {
    let idle = 0
    for (const connection of this.#free) if (connection.active === 0) idle++
    return idle
  }

  dispatch(request: UpstreamRequest, handler: UpstreamHandler, fresh: boolean): void {
    if (!fresh) {
      const connection = this.#takeFree()
      if (connection !== null) {
        this.#context.connectionOpened(true)
        connection.dispatch(request, handler, true)
        return
      }
    }
    if (!this.#context.mayDial(this.endpoint.address, this.endpoint.port)) {
      handler.onError(new GatewayError('AddressNotAllowed', this.endpoint.authority))
      return
    }
    this.#dial({ request, handler, fresh, until: 0 })
  }

  /** Makes a connection for the request where one may be made; else the request waits for a place, or fails. */
  #dial(waiting: WaitingRequest): void {
    if (this.#expected > 1 && this.#waiting.length < this.#connecting.size * this.#expected) {
      this.#waiting.push(waiting)
      return
    }
    const reservation = this.#pending.length > 0 ? 'full' : this.#context.reserve(this)
    if (reservation === 'overdrawn') waiting.handler.onError(new GatewayError('Overloaded', OVERDRAWN))
    else if (reservation === 'full') this.#queue(waiting)
    else {
      this.#waiting.push(waiting)
      this.#connect()
    }
  }

  /** The Backend is at `maxConnections`: wait for a place as long as connecting itself might take. */
  #queue(waiting: WaitingRequest): void {
    if (!this.#context.reservePending()) {
      waiting.handler.onError(new GatewayError('Overloaded', NO_PLACE))
      return
    }
    waiting.until = this.#context.timers.now + this.#options.connectTimeout
    this.#pending.push(waiting)
    this.#context.queued(this)
  }

  /**
   * Gives places that have become free to waiting requests; fails those that have waited too long.
   * @returns whether a request still waits
   */
  feed(now: number): boolean {
    for (let first = this.#pending[0]; first !== undefined; first = this.#pending[0]) {
      if (first.until <= now) {
        this.#unqueue().handler.onError(new GatewayError('Overloaded', 'no connection became free'))
      } else if (this.#context.reserve(this) === 'taken') {
        this.#waiting.push(this.#unqueue())
        this.#connect()
      } else return true
    }
    return false
  }

  /** Takes the longest waiting out of the queue; there must be one. */
  #unqueue(): WaitingRequest {
    this.#context.unreservePending()
    return this.#pending.shift()!
  }

  /** Closes an idle connection to make room for one to another endpoint. */
  dropIdle(): boolean {
    for (const connection of this.#free) {
      if (connection.active > 0) continue
      connection.destroy()
      return true
    }
    return false
  }

  /** The connection being opened for it is kept by the pool. */
  cancel(handler: UpstreamHandler): void {
    const at = this.#waiting.findIndex((waiting) => waiting.handler === handler)
    if (at >= 0) {
      this.#waiting.splice(at, 1)
      return
    }
    const place = this.#pending.findIndex((waiting) => waiting.handler === handler)
    if (place < 0) return
    this.#pending.splice(place, 1)
    this.#context.unreservePending()
  }

  #takeFree(): PooledSession | null {
    const { now } = this.#context.timers
    for (;;) {
      const connection = this.#free.at(-1)
      if (connection === undefined) return null
      const stale = this.#stale(connection, now)
      const good = !stale && connection.usable
      if (good && connection.capacity - connection.active > 1 && this.#requestsLeft(connection) > 1) return connection
      this.#free.pop()
      connection.free = false
      if (good) return connection
      // One that is only full at the moment comes back when a request has ended.
      if (stale || connection.active === 0) this.#end(connection)
    }
  }

  /** Until `maxRequestsPerConnection`. */
  #requestsLeft(connection: PooledSession): number {
    const { maxRequestsPerConnection } = this.#options
    return maxRequestsPerConnection > 0 ? maxRequestsPerConnection - connection.requests : Number.POSITIVE_INFINITY
  }

  #takes(connection: PooledSession): boolean {
    return connection.usable && this.#requestsLeft(connection) > 0
  }

  /** The session accepts no more requests, and closes after those it carries. */
  #end(connection: PooledSession): void {
    connection.ending = true
    if (connection.active === 0) connection.destroy()
  }

  #stale(connection: PooledSession, now: number): boolean {
    if (now - connection.openedAt >= MAX_AGE) return true
    if (connection.active > 0) return false
    const idle = now - connection.idleSince
    const { idleTimeout } = this.#options
    if (idle >= idleTimeout && idleTimeout > 0) return true
    const announced = connection.idleTimeout
    return announced > 0 && idle >= Math.max(announced - KEEP_ALIVE_MARGIN, announced / 2)
  }

  #connect(): void {
    this.open++
    const connection = new PooledSession(this, this.#context.timers)
    this.#connecting.add(connection)
    connection.connect(this.#connector, this.endpoint, this.#options.connectTimeout)
  }

  // ---- what connections report ----

  connected(connection: PooledSession): void {
    this.#connecting.delete(connection)
    this.#context.connectionOpened(false)
    this.#expected = this.#limited(connection.capacity)
    for (let first = this.#waiting[0]; first !== undefined && this.#takes(connection); first = this.#waiting[0]) {
      this.#waiting.shift()
      connection.dispatch(first.request, first.handler, false)
    }
    if (this.#takes(connection)) this.#serve(connection)
    // It carries fewer requests than the one before.
    while (this.#waiting.length > this.#connecting.size * this.#expected) this.#dial(this.#waiting.pop()!)
  }

  connectFailed(connection: PooledSession, error: GatewayError): void {
    this.#connecting.delete(connection)
    // First its place is given back: a request that fails may need it for another attempt.
    this.#left()
    this.#context.connectionFailed()
    // Others may have been served by what was given back; those that no connection is being made for have failed.
    while (this.#waiting.length > this.#connecting.size * this.#expected) this.#waiting.shift()!.handler.onError(error)
  }

  available(connection: PooledSession): void {
    const over = this.#retired || connection.ending || this.#requestsLeft(connection) <= 0
    if (!over && connection.usable) return this.#serve(connection)
    this.#unfree(connection)
    if (over || connection.active === 0) this.#end(connection)
  }

  /** Gives it requests that wait, as many as it takes; then it waits for requests itself. */
  #serve(connection: PooledSession): void {
    while (this.#takes(connection)) {
      const waiting = this.#nextForUsed()
      if (waiting === undefined) return this.#rest(connection)
      const reused = connection.requests > 0
      if (reused) this.#context.connectionOpened(true)
      connection.dispatch(waiting.request, waiting.handler, reused)
    }
    this.#unfree(connection)
  }

  /** Takes the longest waiting request that accepts a used connection out of the queues. */
  #nextForUsed(): WaitingRequest | undefined {
    for (let i = 0; i < this.#waiting.length; i++) if (!this.#waiting[i]!.fresh) return this.#waiting.splice(i, 1)[0]
    const first = this.#pending[0]
    return first === undefined || first.fresh ? undefined : this.#unqueue()
  }

  #rest(connection: PooledSession): void {
    if (this.#retired) {
      this.#end(connection)
      return
    }
    if (connection.active === 0) connection.idleSince = this.#context.timers.now
    if (connection.free) return
    connection.free = true
    this.#free.push(connection)
  }

  #unfree(connection: PooledSession): void {
    if (!connection.free) return
    connection.free = false
    this.#free.splice(this.#free.indexOf(connection), 1)
  }

  closed(connection: PooledSession): void {
    this.#unfree(connection)
    this.#left()
    this.#context.connectionClosed()
  }

  #left(): void {
    this.open--
    this.#context.unreserve(this)
  }

  /** Closes what has been idle or open too long; called about once a second for pools with idle connections. */
  sweep(now: number): void {
    for (const connection of [...this.#free])
      if (this.#stale(connection, now) || (connection.active === 0 && !connection.usable)) {
        this.#unfree(connection)
        this.#end(connection)
      }
  }

  /** The endpoint left its set: idle connections close now, busy ones after their requests. */
  retire(): void {
    this.#retired = true
    for (const connection of [...this.#free]) {
      this.#unfree(connection)
      this.#end(connection)
    }
  }
}
