/** One connection of a pool, from dial to close: its session, and the pool's bookkeeping for it. */
import type { Endpoint } from '../balance/endpoint.ts'
import { GatewayError } from '../lib/error.ts'
import type { HeadLimits } from '../message/head.ts'
import type { Connector, PendingConnection, SessionOwner, UpstreamSession } from './connector.ts'
import { TimerEntry, type Timers } from './timers.ts'
import type { UpstreamHandler, UpstreamRequest } from './upstream.ts'

export interface SessionPool {
  readonly endpoint: Endpoint
  readonly limits: HeadLimits
  connected(connection: PooledSession): void
  connectFailed(connection: PooledSession, error: GatewayError): void
  available(connection: PooledSession): void
  closed(connection: PooledSession): void
}

/** Its timer is the deadline of the dial. */
export class PooledSession extends TimerEntry implements SessionOwner {
  readonly #pool: SessionPool
  readonly #timers: Timers
  #session: UpstreamSession | null = null
  #dial: PendingConnection | null = null
  /** Monotonic milliseconds: since when it is open, and since when it lies idle. */
  openedAt = 0
  idleSince = 0
  /** Requests it has carried, including those in flight. */
  requests = 0
  /** Whether it is in the pool's list of free sessions. */
  free = false
  /** It is open and carries nothing. */
  idle = false
  /** It accepts no more requests. */
  ending = false
  /** The gateway closes it, and not the upstream. */
  dropped = false

  constructor(pool: SessionPool, timers: Timers) {
    super()
    this.#pool = pool
    this.#timers = timers
  }

  /** @param timeout milliseconds */
  connect(connector: Connector, endpoint: Endpoint, timeout: number): void {
    this.#timers.arm(this, this.#timers.now + timeout)
    this.#dial = connector.connect(endpoint, this)
  }

  get limits(): HeadLimits {
    return this.#pool.limits
  }

  get usable(): boolean {
    return !this.ending && this.#session!.usable
  }

  get capacity(): number {
    return this.#session!.capacity
  }

  get active(): number {
    return this.#session!.active
  }

  get idleTimeout(): number {
    return this.#session!.idleTimeout
  }

  dispatch(request: UpstreamRequest, handler: UpstreamHandler, reused: boolean): void {
    this.requests++
    this.#session!.dispatch(request, handler, reused)
  }

  destroy(): void {
    this.dropped = true
    this.#session!.destroy()
  }

  connected(session: UpstreamSession): void {
    this.#session = session
    this.#dial = null
    this.openedAt = this.#timers.touch()
    this.#timers.disarm(this)
    this.#pool.connected(this)
  }

  connectFailed(error: GatewayError): void {
    this.#dial = null
    this.#timers.disarm(this)
    this.#pool.connectFailed(this, error)
  }

  /** The dial timed out. */
  expired(): void {
    const stage = this.#dial?.stage ?? ''
    this.#dial?.cancel()
    const { authority } = this.#pool.endpoint
    this.connectFailed(new GatewayError('ConnectTimeout', stage === '' ? authority : `${authority}: ${stage}`))
  }

  available(): void {
    this.#pool.available(this)
  }

  closed(): void {
    this.#pool.closed(this)
  }
}
