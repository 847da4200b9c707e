/**
 * Connections of one worker to one endpoint. The last one used is taken first, so that a pool shrinks to what is
 * needed; what is idle or old too long is closed; a request waits for whichever comes first, a new connection or one
 * that another request gives back.
 */
import type { Endpoint } from '../balance/endpoint.ts'
import type { HeadLimits } from '../http/head.ts'
import { GatewayError } from '../lib/error.ts'
import { TimerEntry, type Timers } from '../transport/timers.ts'
import { type ConnectionOwner, UpstreamConnection } from './upstream-h1.ts'

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
  /** Its namespace has all that it may have of this worker's connections. */
  | 'overdrawn'

/** What the pools of a worker have in common. */
export interface PoolContext {
  readonly timers: Timers
  readonly limits: HeadLimits
  /** The dial guard: asked with the place of every connection, right before it is made. */
  mayDial(address: string, port: number): boolean
  /** Takes a place for one more connection, where there is one. */
  reserve(pool: EndpointPool): Reservation
  unreserve(pool: EndpointPool): void
  /** Takes a place in the queue for a connection, exact over all workers; false: `maxPending` are waiting already. */
  reservePending(): boolean
  unreservePending(): void
  /** The pool has requests that wait for a place: to be fed when one may have become free. */
  queued(pool: EndpointPool): void
  connectionOpened(reused: boolean): void
  connectionFailed(): void
  connectionClosed(): void
}

/** A request that waits for a connection. */
export interface PoolWaiter {
  /** Only a new connection will do: a second try after a reused one was dead. */
  readonly fresh: boolean
  onConnection(connection: UpstreamConnection, reused: boolean): void
  onConnectError(error: GatewayError): void
}

/** An upstream that says how long it keeps idle connections is believed, less this much for the way. Milliseconds. */
const KEEP_ALIVE_MARGIN = 1000
const OVERDRAWN = 'the namespace of the Backend has its share of all connections to upstreams'
/** A connection is given up after this long however busy it is, so that DNS and balancing changes reach it. */
const MAX_AGE = 30 * 60_000

export class EndpointPool implements ConnectionOwner {
  readonly endpoint: Endpoint
  readonly #context: PoolContext
  #options: PoolOptions
  readonly #idle: UpstreamConnection[] = []
  readonly #waiting: PoolWaiter[] = []
  /** Requests for which no connection may be made now, the oldest first. */
  readonly #pending: { readonly waiter: PoolWaiter; readonly until: number }[] = []
  readonly #connecting = new Map<UpstreamConnection, ConnectTimer>()
  /** Open or being opened. */
  open = 0
  #retired = false

  constructor(endpoint: Endpoint, options: PoolOptions, context: PoolContext) {
    this.endpoint = endpoint
    this.#options = options
    this.#context = context
  }

  get limits(): HeadLimits {
    return this.#context.limits
  }

  set options(options: PoolOptions) {
    this.#options = options
  }

  get idleCount(): number {
    return this.#idle.length
  }

  /** Hands over a connection, at once where one is idle; otherwise through the waiter, later. */
  acquire(waiter: PoolWaiter): void {
    if (!waiter.fresh) {
      const connection = this.#takeIdle()
      if (connection !== null) {
        this.#context.connectionOpened(true)
        waiter.onConnection(connection, true)
        return
      }
    }
    if (!this.#context.mayDial(this.endpoint.address, this.endpoint.port)) {
      waiter.onConnectError(new GatewayError('AddressNotAllowed', this.endpoint.authority))
      return
    }
    const reservation = this.#pending.length > 0 ? 'full' : this.#context.reserve(this)
    if (reservation === 'overdrawn') waiter.onConnectError(new GatewayError('Overloaded', OVERDRAWN))
    else if (reservation === 'full') this.#queue(waiter)
    else {
      this.#waiting.push(waiter)
      this.#connect()
    }
  }

  /** The Backend is at `maxConnections`: wait for a place as long as connecting itself might take. */
  #queue(waiter: PoolWaiter): void {
    if (!this.#context.reservePending()) {
      waiter.onConnectError(new GatewayError('Overloaded', 'maxConnections and maxPending are reached'))
      return
    }
    this.#pending.push({ waiter, until: this.#context.timers.now + this.#options.connectTimeout })
    this.#context.queued(this)
  }

  /**
   * Gives places that have become free to those who wait; sends away who has waited too long.
   * @returns whether somebody still waits
   */
  feed(now: number): boolean {
    for (let first = this.#pending[0]; first !== undefined; first = this.#pending[0]) {
      if (first.until <= now) {
        this.#unqueue().onConnectError(new GatewayError('Overloaded', 'no connection became free'))
      } else if (this.#context.reserve(this) === 'taken') {
        this.#waiting.push(this.#unqueue())
        this.#connect()
      } else return true
    }
    return false
  }

  /** Takes the longest waiting out of the queue; there must be one. */
  #unqueue(): PoolWaiter {
    this.#context.unreservePending()
    return this.#pending.shift()!.waiter
  }

  /** Makes room for another endpoint's connection by closing one that lies idle. */
  dropIdle(): boolean {
    const connection = this.#idle[0]
    connection?.destroy()
    return connection !== undefined
  }

  /** Takes a waiter out of the queue, e.g. because its client is gone. What is being connected goes to the pool. */
  cancel(waiter: PoolWaiter): void {
    const at = this.#waiting.indexOf(waiter)
    if (at >= 0) {
      this.#waiting.splice(at, 1)
      return
    }
    const place = this.#pending.findIndex((entry) => entry.waiter === waiter)
    if (place < 0) return
    this.#pending.splice(place, 1)
    this.#context.unreservePending()
  }

  #takeIdle(): UpstreamConnection | null {
    const now = this.#context.timers.now
    for (;;) {
      const connection = this.#idle.pop()
      if (connection === undefined) return null
      if (connection.usable && !this.#stale(connection, now)) return connection
      connection.destroy()
    }
  }

  #stale(connection: UpstreamConnection, now: number): boolean {
    const idle = now - connection.idleSince
    if (idle >= this.#options.idleTimeout && this.#options.idleTimeout > 0) return true
    if (
      connection.idleTimeout > 0 &&
      idle >= Math.max(connection.idleTimeout - KEEP_ALIVE_MARGIN, connection.idleTimeout / 2)
    )
      return true
    return now - connection.openedAt >= MAX_AGE
  }

  #connect(): void {
    this.open++
    const connection = new UpstreamConnection(this.endpoint, this)
    const timer = new ConnectTimer(connection, this)
    this.#connecting.set(connection, timer)
    this.#context.timers.arm(timer, this.#context.timers.now + this.#options.connectTimeout)
  }

  connected(connection: UpstreamConnection): void {
    this.#settled(connection)
    connection.openedAt = this.#context.timers.touch()
    this.#context.connectionOpened(false)
    const waiter = this.#waiting.shift()
    if (waiter === undefined) this.#rest(connection)
    else waiter.onConnection(connection, false)
  }

  connectFailed(connection: UpstreamConnection, error: Error): void {
    this.#settled(connection)
    const code = (error as NodeJS.ErrnoException).code ?? error.message
    this.#unserved()?.onConnectError(
      new GatewayError(
        code === 'ETIMEDOUT' ? 'ConnectTimeout' : 'ConnectFailure',
        `${this.endpoint.authority}: ${code}`,
      ),
    )
  }

  connectTimedOut(connection: UpstreamConnection): void {
    this.#settled(connection)
    const waiter = this.#unserved()
    connection.destroy()
    waiter?.onConnectError(new GatewayError('ConnectTimeout', this.endpoint.authority))
  }

  /**
   * The waiter that no connection is being made for any more, if there is one: others may have been served by what was
   * given back.
   */
  #unserved(): PoolWaiter | undefined {
    return this.#waiting.length > this.#connecting.size ? this.#waiting.shift() : undefined
  }

  released(connection: UpstreamConnection): void {
    const { maxRequestsPerConnection } = this.#options
    const used = maxRequestsPerConnection > 0 && connection.requests >= maxRequestsPerConnection
    if (used || this.#retired || !connection.socket.writable) {
      connection.destroy()
      return
    }
    const waiter = this.#content()
    if (waiter === undefined) {
      this.#rest(connection)
      return
    }
    // The last bytes of the response before may have filled the client's buffers and stopped the reading.
    connection.resume()
    this.#context.connectionOpened(true)
    waiter.onConnection(connection, true)
  }

  /** Takes the longest waiting that is content with a used connection out of the queues. */
  #content(): PoolWaiter | undefined {
    for (let i = 0; i < this.#waiting.length; i++) if (!this.#waiting[i]!.fresh) return this.#waiting.splice(i, 1)[0]
    const first = this.#pending[0]
    return first === undefined || first.waiter.fresh ? undefined : this.#unqueue()
  }

  closed(connection: UpstreamConnection): void {
    this.#settled(connection)
    this.open--
    this.#context.unreserve(this)
    if (connection.openedAt > 0) this.#context.connectionClosed()
    else this.#context.connectionFailed()
    const at = this.#idle.indexOf(connection)
    if (at >= 0) this.#idle.splice(at, 1)
  }

  #rest(connection: UpstreamConnection): void {
    if (this.#retired) {
      connection.destroy()
      return
    }
    connection.idleSince = this.#context.timers.now
    // A paused socket would not notice that the upstream has closed it.
    connection.resume()
    this.#idle.push(connection)
  }

  #settled(connection: UpstreamConnection): void {
    const timer = this.#connecting.get(connection)
    if (timer === undefined) return
    this.#connecting.delete(connection)
    this.#context.timers.disarm(timer)
  }

  /** Closes what has been idle or open too long; called about once a second for pools with idle connections. */
  sweep(now: number): void {
    // The oldest lie at the front; each destroy takes its own entry out.
    while (this.#idle.length > 0 && (this.#stale(this.#idle[0]!, now) || !this.#idle[0]!.usable))
      this.#idle[0]!.destroy()
  }

  /** The endpoint left its set: idle connections close now, busy ones after their request. */
  retire(): void {
    this.#retired = true
    while (this.#idle.length > 0) this.#idle[this.#idle.length - 1]!.destroy()
  }

  /** The endpoint is back in its set. */
  revive(): void {
    this.#retired = false
  }
}

class ConnectTimer extends TimerEntry {
  readonly #connection: UpstreamConnection
  readonly #pool: EndpointPool

  constructor(connection: UpstreamConnection, pool: EndpointPool) {
    super()
    this.#connection = connection
    this.#pool = pool
  }

  expired(): void {
    this.#pool.connectTimedOut(this.#connection)
  }
}
