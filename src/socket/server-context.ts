/** State shared by the connections of one worker. */
import type { Socket } from 'node:net'
import type { HeadLimits } from '../message/head.ts'
import type { RequestHandler } from '../transport/downstream.ts'
import type { Peer } from '../transport/peer.ts'
import type { Timers } from '../transport/timers.ts'
import type { ReadTurns } from './read-turns.ts'

/** A client's connection, for the drain, and for the room of new ones. */
export interface OpenConnection {
  /** No request is under way, and nothing of one has come: it can be closed without a loss. */
  readonly idle: boolean
  /** The client; absent before the connection is served. */
  readonly peer?: Peer
  /** Closes the connection as soon as no request would be lost. */
  drain(): void
  /** Closes it at once. */
  destroy(): void
}

export interface ServerOptions {
  readonly limits: HeadLimits
  /** Milliseconds from accepting a socket to the end of its handshake, the PROXY header included. */
  readonly handshake: number
  /** Milliseconds from the first byte of a head to its end. */
  readonly requestHead: number
  /** Milliseconds a connection may wait for its next request. */
  readonly keepAlive: number
}

/** Serves the sockets that a listener has accepted. */
export interface ClientProtocol {
  /**
   * @param socket paused
   * @param early what was read of it before, or null
   */
  accept(socket: Socket, peer: Peer, context: ServerContext, early: Buffer | null): void
}

/** State shared by the connections of one listener. */
export interface ServerContext {
  readonly requests: RequestHandler
  readonly timers: Timers
  readonly turns: ReadTurns
  /** Replaced as a whole when the settings change; read at the start of each request. */
  options: ServerOptions
  /** Every response closes its connection, so that clients reconnect elsewhere before the shutdown. */
  leaving: boolean
  /** No further request on any connection; leaving, too. */
  draining: boolean
  readonly wall: () => number
  /**
   * Bytes of heads that have come in part, over all connections of the thread, from which on no connection may add to
   * them.
   */
  readonly heldLimit: number
  /** All open connections, for the drain. */
  readonly connections: Set<OpenConnection>
}
