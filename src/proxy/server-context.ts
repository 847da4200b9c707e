/** What the connections of one worker share. */
import type { Socket } from 'node:net'
import type { HeadLimits } from '../message/head.ts'
import type { RequestHandler } from '../transport/downstream.ts'
import type { Peer } from '../transport/peer.ts'
import type { Timers } from '../transport/timers.ts'

/** A client's connection as the drain sees it. */
export interface OpenConnection {
  /** Ends the connection as soon as that costs no request. */
  drain(): void
  /** Ends it now. */
  destroy(): void
}

export interface ServerOptions {
  readonly limits: HeadLimits
  /** Milliseconds from the first byte of a head to its end. */
  readonly requestHead: number
  /** Milliseconds a connection may wait for its next request. */
  readonly keepAlive: number
}

/** Serves the sockets that a listener has accepted. */
export interface ClientProtocol {
  readonly scheme: Peer['scheme']
  /** @param socket paused, not yet read */
  accept(socket: Socket, peer: Peer, context: ServerContext): void
}

/** What the connections of one listener share. */
export interface ServerContext {
  readonly requests: RequestHandler
  readonly timers: Timers
  /** Replaced as a whole when the settings change; read at the start of each request. */
  options: ServerOptions
  /** Each answer ends its connection, so that clients go elsewhere before there is nothing here any more. */
  leaving: boolean
  /** No further request on any connection; leaving, too. */
  draining: boolean
  readonly wall: () => number
  /**
   * Bytes of heads that have come in part, over all connections of the thread, from which on no connection may add to
   * them.
   */
  readonly heldLimit: number
  /** All that are open: a drain goes through them. */
  readonly connections: Set<OpenConnection>
}
