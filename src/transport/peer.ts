/** Who is at the other end of a client's connection, and which listener accepted it. */
import type { ClientCertificate } from '../message/client-certificate.ts'
import type { ProxiedConnection } from '../proxy-protocol/header.ts'
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
  /** Null: where clients find https is known by its default port alone. */
  readonly secureTwin: SecureTwin | null
}

/** The port that a client is connected to, as a PROXY header has it. @returns 0: there was none, or it does not say */
export function connectedPort({ proxied, connection }: Peer): number {
  return proxied === true && connection !== undefined ? connection.destinationPort : 0
}

/** For clients that reach the ports of the gateway under their own numbers: a port, and the one for the same in TLS. */
export interface SecureTwin {
  readonly port: number
  readonly securePort: number
}

/** What the handshake of a connection agreed on. */
export interface PeerTls {
  /** Name in the ClientHello in normal form; '' = none. */
  readonly serverName: string
  /** The options it was made with: a Host with others is not served on this connection (421). */
  readonly optionsKey: string
  /** `TLSv1.2` or `TLSv1.3`. */
  readonly protocol: string
  /** Name by IANA: `TLS_AES_128_GCM_SHA256`. */
  readonly cipher: string
  /** Null: none was asked for, or, where it is optional, sent. */
  readonly clientCertificate: ClientCertificate | null
}

/** Facts about the connection that all its requests share. */
export interface Peer {
  /** Of the socket's other end, or of the client that a trusted PROXY header names; canonical. */
  readonly address: string
  /** The client's own connection: to this process, or to the proxy that sent a PROXY header; absent: not known. */
  readonly connection?: ProxiedConnection
  /** A PROXY header has named the client. */
  readonly proxied?: boolean
  readonly scheme: 'http' | 'https'
  readonly listener: PeerListener
  /** Null in clear text. */
  readonly tls: PeerTls | null
}
