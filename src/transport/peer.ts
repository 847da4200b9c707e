/** Who is at the other end of a client's connection, and which listener accepted it. */
import type { FrontendHandle } from '../snapshot/frontend-handle.ts'

/**
 * A listener as its connections hold it: a connection keeps the one that accepted it, whatever the settings say of that
 * name or that port later.
 */
export interface PeerListener {
  readonly name: string
  /** The frontend whose rules match the requests of its connections. */
  readonly frontend: FrontendHandle
  /** Row in the metrics. */
  readonly metricsRow: number
  /**
   * Each answer ends its connection: the process is to end, or the listener is gone from the settings or has another
   * socket now.
   */
  readonly leaving: boolean
}

/** Facts about the connection that all its requests share. */
export interface Peer {
  /** Address of the socket's other end, canonical. */
  readonly address: string
  readonly scheme: 'http' | 'https'
  readonly listener: PeerListener
}
