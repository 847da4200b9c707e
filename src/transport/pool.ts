/**
 * Connections of one worker to one endpoint. The last one used is taken first, so that a pool shrinks to what is
 * needed; what is idle or old too long is closed; a request waits for whichever comes first, a new connection or one
 * that takes another request. A connection carries as many requests at a time as its session can.
 */
import type { Endpoint } from '../balance/endpoint.ts'
import { GatewayError } from '../lib/error.ts'
import { type Link, LinkedList } from '../lib/linked-list.ts'
import type { HeadLimits } from '../message/head.ts'
import type { Places, Waiter } from './connection-places.ts'
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

/** Dependencies shared by the pools of a worker. */
export interface PoolContext {
  readonly timers: Timers
  readonly limits: HeadLimits
  /** The dial guard, called right before every connection is made. */
  mayDial(address: string, port: number): boolean
  /** For connections, within the limits of the Backend. */
  readonly places: Places
  connectionOpened(reused: boolean): void
  connectionFailed(): void
  connectionClosed(): void
}

/** A request without a connection. */
class WaitingRequest implements Waiter {
  readonly request: UpstreamRequest
  readonly handler: UpstreamHandler
  readonly fresh: boolean
  readonly #pool: EndpointPool
  since = 0
  until = 0
  place: Link<Waiter> | null = null
  /** Among those of the pool that wait for a place. */
  link: Link<WaitingRequest> | null = null

  constructor(pool: EndpointPool, request: UpstreamRequest, handler: UpstreamHandler, fresh: boolean) {
    this.#pool = pool
    this.request = request
    this.handler = handler
    this.fresh = fresh
  }

  admit(): void {
    this.#pool.admit(this)
  }

  expire(): void {
    this.#pool.expire(this)
  }
}

/** Subtracted from the time for which an upstream announces to keep idle connections: bytes take time. Milliseconds. */
const KEEP_ALIVE_MARGIN = 1000
const OVERDRAWN = 'the namespace of the Backend has its share of all connections to upstreams'
const NOT_IN_TIME = 'no connection became free within connectTimeout: maxConnections are in use'
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
  /** Requests for which no connection may be made now, the oldest first, and the same by handler. */
  readonly #pending = new LinkedList<WaitingRequest>()
  readonly #pendingOf = new Map<UpstreamHandler, WaitingRequest>()
  readonly #connecting = new Set<PooledSession>()
  /** Concurrent requests expected of a connection being opened, estimated from the last one. */
  #expected: number
  /** Open or being opened. */
  open = 0
  lostAt = Number.NEGATIVE_INFINITY
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
    return this.open === 0 && this.#waiting.length === 0 && this.#pending.size === 0
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
    this.#dial(new WaitingRequest(this, request, handler, fresh))
  }

  /** Makes a connection for the request where one may be made; else the request waits for a place, or fails. */
  #dial(waiting: WaitingRequest): void {
    if (this.#expected > 1 && this.#waiting.length < this.#connecting.size * this.#expected) {
      this.#waiting.push(waiting)
      return
    }
    const reservation = this.#context.places.reserve()
    if (reservation === 'overdrawn') waiting.handler.onError(new GatewayError('Overloaded', OVERDRAWN))
    else if (reservation === 'full') this.#wait(waiting)
    else {
      this.#waiting.push(waiting)
      this.#connect()
    }
  }

  /** The Backend is at `maxConnections`: the request waits for a place as long as connecting itself might take. */
  #wait(waiting: WaitingRequest): void {
    const { places, timers } = this.#context
    waiting.until = timers.now + this.#options.connectTimeout
    waiting.link = this.#pending.push(waiting)
    this.#pendingOf.set(waiting.handler, waiting)
    if (places.wait(waiting)) return
    this.#unlink(waiting)
    waiting.handler.onError(new GatewayError('Overloaded', places.refusal))
  }

  /** A place was taken for the request. */
  admit(waiting: WaitingRequest): void {
    this.#unlink(waiting)
    // It has waited for seconds, maybe.
    if (!this.#context.mayDial(this.endpoint.address, this.endpoint.port)) {
      this.#context.places.give()
      waiting.handler.onError(new GatewayError('AddressNotAllowed', this.endpoint.authority))
      return
    }
    this.#waiting.push(waiting)
    this.#connect()
  }

  expire(waiting: WaitingRequest): void {
    this.#unlink(waiting)
    waiting.handler.onError(new GatewayError('Overloaded', NOT_IN_TIME))
  }

  #unlink(waiting: WaitingRequest): void {
    if (waiting.link !== null) this.#pending.remove(waiting.link)
    this.#pendingOf.delete(waiting.handler)
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
    const pending = this.#pendingOf.get(handler)
    if (pending === undefined) return
    this.#unlink(pending)
    this.#context.places.leave(pending)
  }

  #takeFree(): PooledSession | null {
    const { now } = this.#context.timers
    for (;;) {
      const connection = this.#free.at(-1)
      if (connection === undefined) return null
      const stale = this.#stale(connection, now)
      const good = !stale && connection.usable
      if (good) this.#busy(connection)
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
    this.#context.places.serve()
  }

  available(connection: PooledSession): void {
    const over = this.#retired || connection.ending || this.#requestsLeft(connection) <= 0
    if (!over && connection.usable) return this.#serve(connection)
    this.#unfree(connection)
    if (connection.idle && !over) this.lostAt = this.#context.timers.now
    if (over || connection.active === 0) this.#end(connection)
  }

  /** Gives it requests that wait, as many as it takes; then it waits for requests itself. */
  #serve(connection: PooledSession): void {
    while (this.#takes(connection)) {
      const waiting = this.#nextForUsed(connection)
      if (waiting === undefined) return this.#rest(connection)
      const reused = connection.requests > 0
      if (reused) this.#context.connectionOpened(true)
      this.#busy(connection)
      connection.dispatch(waiting.request, waiting.handler, reused)
    }
    this.#unfree(connection)
  }

  /** Takes the longest waiting request that accepts a used connection out of the queues. */
  #nextForUsed(connection: PooledSession): WaitingRequest | undefined {
    for (let i = 0; i < this.#waiting.length; i++) if (!this.#waiting[i]!.fresh) return this.#waiting.splice(i, 1)[0]
    const first = this.#pending.first
    if (first === undefined || first.fresh) return undefined
    const { places } = this.#context
    if (connection.active === 0 && places.precedes(first)) return undefined
    this.#unlink(first)
    places.leave(first)
    return first
  }

  #rest(connection: PooledSession): void {
    const { places, timers } = this.#context
    if (this.#retired) {
      this.#end(connection)
      return
    }
    if (connection.active === 0) {
      if (places.short) {
        connection.destroy()
        return
      }
      connection.idleSince = timers.now
      if (!connection.idle) {
        connection.idle = true
        places.idle++
      }
    }
    if (connection.free) return
    connection.free = true
    this.#free.push(connection)
  }

  #busy(connection: PooledSession): void {
    if (!connection.idle) return
    connection.idle = false
    this.#context.places.idle--
  }

  #unfree(connection: PooledSession): void {
    if (!connection.free) return
    connection.free = false
    this.#free.splice(this.#free.indexOf(connection), 1)
  }

  closed(connection: PooledSession): void {
    if (connection.idle && !connection.dropped) this.lostAt = this.#context.timers.now
    this.#unfree(connection)
    this.#busy(connection)
    this.#left()
    this.#context.connectionClosed()
    this.#context.places.serve()
  }

  #left(): void {
    this.open--
    this.#context.places.give()
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
