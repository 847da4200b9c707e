/**
 * How a pool gets its connections, and what it needs of one. A connector decides the protocol: HTTP/1.1 over TCP,
 * or whatever the two sides agree on while they connect (ALPN).
 */
import type { Endpoint } from '../balance/endpoint.ts'
import type { GatewayError } from '../lib/error.ts'
import type { HeadLimits } from '../message/head.ts'
import type { UpstreamHandler, UpstreamRequest } from './upstream.ts'

export interface Connector {
  /** Requests that a connection is expected to carry at a time before the first one has come; 1 by default. */
  readonly expectedCapacity?: number
  /**
   * Begins to connect. The owner is called later, never within the call.
   *
   * @param first bytes that stand before everything else on the connection, TLS included: a PROXY header
   */
  connect(endpoint: Endpoint, owner: SessionOwner, first?: Uint8Array): PendingConnection
}

export interface PendingConnection {
  /** What it waits for once TCP is connected, for the log; '' or absent before. */
  readonly stage?: string
  /** Cancels a pending connection: the owner is not called. */
  cancel(): void
}

/** An open connection to an endpoint, whatever its protocol. */
export interface UpstreamSession {
  /** Requests it carries at a time: 1 over HTTP/1.1, what the peer's settings allow over HTTP/2. May change. */
  readonly capacity: number
  /** Requests in flight. */
  readonly active: number
  /** Whether another request can be dispatched. */
  readonly usable: boolean
  /** How long the upstream announces to keep an idle connection; 0 = not announced. Milliseconds. */
  readonly idleTimeout: number
  /** Only while it is usable. @param reused for the handler */
  dispatch(request: UpstreamRequest, handler: UpstreamHandler, reused: boolean): void
  /** Closes it at once; requests in flight fail. */
  destroy(): void
}

/** Receives the events of a connection. */
export interface SessionOwner {
  /** The current limits. */
  readonly limits: HeadLimits
  connected(session: UpstreamSession): void
  /** The connection failed; no further call follows. */
  connectFailed(error: GatewayError): void
  /**
   * It can take another request: one has ended, or the peer allows more at a time. Called before `onEnd` of the former.
   */
  available(): void
  /** Called once per established connection when it is closed, before its requests in flight fail. */
  closed(): void
}
