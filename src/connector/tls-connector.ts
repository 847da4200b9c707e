/**
 * Connections to endpoints over TLS: verified before anything of a request is sent, with HTTP/1.1 or HTTP/2 on them by
 * ALPN. One connector for each Backend and version of its options.
 */
import { connect, isIP, type Socket } from 'node:net'
import type { ConnectionOptions, SecureContext, TLSSocket } from 'node:tls'
import type { Endpoint } from '../balance/endpoint.ts'
import { GatewayError } from '../lib/error.ts'
import { namespaceOf } from '../snapshot/backend-id.ts'
import type { UpstreamTls } from '../snapshot/upstream-tls.ts'
import { type OutgoingSocket, tcpOptions } from '../socket/outgoing-socket.ts'
import type { Connector, PendingConnection, SessionOwner } from '../transport/connector.ts'
import { connectFault } from './connect-fault.ts'
import { identityFault, tlsFault } from './tls-fault.ts'
import { TlsSocket } from './tls-socket.ts'
import type { ContextWaiter, UpstreamContexts } from './upstream-contexts.ts'
import type { UpstreamSessionEntry, UpstreamSessions } from './upstream-sessions.ts'

/** What is spoken on a connection once it is secured. */
export interface SecuredProtocol {
  /** Its name in ALPN, the only one that is offered (RFC 7301). */
  readonly alpn: 'http/1.1' | 'h2'
  /** Endpoints that know no ALPN speak it, too: true for HTTP/1.1 (RFC 9113 §3.2). */
  readonly withoutAlpn: boolean
  /** See {@link Connector.expectedCapacity}. */
  readonly expectedCapacity: number
  /**
   * Begins to speak, and tells the owner that it is connected.
   *
   * @param authority of the endpoint
   * @returns null: it has told the owner so; otherwise it waits for something of the endpoint
   */
  begin(connection: OutgoingSocket, owner: SessionOwner, authority: string): PendingConnection | null
}

/** State of the worker that all connectors share. */
export interface UpstreamTlsState {
  readonly contexts: UpstreamContexts
  readonly sessions: UpstreamSessions
}

export interface TlsConnectorOptions {
  /** Id of the Backend. */
  readonly backend: string
  readonly tls: UpstreamTls
  readonly protocol: SecuredProtocol
}

export class TlsConnector implements Connector {
  readonly expectedCapacity: number
  readonly #options: TlsConnectorOptions
  readonly #state: UpstreamTlsState

  constructor(options: TlsConnectorOptions, state: UpstreamTlsState) {
    this.expectedCapacity = options.protocol.expectedCapacity
    this.#options = options
    this.#state = state
  }

  connect(endpoint: Endpoint, owner: SessionOwner, first?: Uint8Array): PendingConnection {
    const dial = new TlsDial(this.#options, this.#state, endpoint, owner, first)
    dial.begin()
    return dial
  }
}

class TlsDial implements PendingConnection, ContextWaiter {
  readonly #options: TlsConnectorOptions
  readonly #state: UpstreamTlsState
  readonly #endpoint: Endpoint
  readonly #owner: SessionOwner
  readonly #namespace: string
  readonly #first: Uint8Array | undefined
  /** Connected in clear first, to write what stands before TLS. */
  #clear: Socket | null = null
  #connection: TlsSocket | null = null
  /** It is secured, and waits for something of the protocol on it. */
  #session: PendingConnection | null = null
  #tcp = false
  #over = false

  constructor(
    options: TlsConnectorOptions,
    state: UpstreamTlsState,
    endpoint: Endpoint,
    owner: SessionOwner,
    first: Uint8Array | undefined,
  ) {
    this.#first = first
    this.#options = options
    this.#state = state
    this.#endpoint = endpoint
    this.#owner = owner
    this.#namespace = namespaceOf(options.backend)
  }

  begin(): void {
    const context = this.#state.contexts.get(this.#options.tls, this.#namespace, this)
    if (context instanceof GatewayError) queueMicrotask(() => this.contextReady(context))
    else if (context !== null) this.contextReady(context)
  }

  get stage(): string {
    if (this.#session !== null) return this.#session.stage ?? this.#options.protocol.alpn
    return this.#tcp ? 'TLS handshake' : ''
  }

  cancel(): void {
    if (this.#session !== null) return this.#session.cancel()
    this.#over = true
    this.#close()
  }

  contextReady(context: SecureContext | GatewayError): void {
    if (this.#over) return
    if (context instanceof GatewayError) this.#fail(context)
    else this.#dial(context)
  }

  #dial(context: SecureContext): void {
    const { tls, protocol } = this.#options
    const { address, port, authority } = this.#endpoint
    const name = serverNameFor(tls, this.#endpoint)
    const key = `${this.#options.backend} ${authority} ${name ?? ''} ${protocol.alpn}`
    const resumed = this.#state.sessions.get(this.#namespace, key, context)
    const options: ConnectionOptions = {
      secureContext: context,
      // Never an address (RFC 6066 §3). '' sends none.
      servername: name ?? '',
      ALPNProtocols: [protocol.alpn],
      rejectUnauthorized: !tls.insecureSkipVerify,
      checkServerIdentity: () => {
        if (tls.insecureSkipVerify) return undefined
        const certificate = this.#connection!.socket.getPeerX509Certificate()
        if (certificate === undefined)
          return new GatewayError('UpstreamCertificateInvalid', `${authority}: it has no certificate`)
        return identityFault(certificate, name, address, authority)
      },
      ...(resumed === undefined ? {} : { session: resumed.session }),
    }
    const remember = (socket: TLSSocket): void => {
      socket.on('session', (session: Buffer) => this.#remember(socket, key, { context, session }, resumed))
    }
    if (this.#first === undefined) this.#begin(TlsSocket.open(address, port, options), remember)
    else this.#dialInClear(this.#first, options, remember)
  }

  #dialInClear(first: Uint8Array, options: ConnectionOptions, remember: (socket: TLSSocket) => void): void {
    const { address, port } = this.#endpoint
    const socket = connect(tcpOptions(address, port))
    this.#clear = socket
    socket.once('error', this.#onError)
    socket.once('connect', () => {
      socket.off('error', this.#onError)
      this.#clear = null
      this.#tcp = true
      socket.write(first)
      this.#begin(TlsSocket.over(socket, { ...options, host: address }), remember)
    })
  }

  #begin(connection: TlsSocket, remember: (socket: TLSSocket) => void): void {
    this.#connection = connection
    const { socket } = connection
    socket.on('connect', this.#onConnect)
    remember(socket)
    socket.on('secureConnect', this.#onSecure)
    socket.on('error', this.#onError)
  }

  readonly #onConnect = (): void => {
    this.#tcp = true
  }

  readonly #onSecure = (): void => {
    const connection = this.#connection!
    const { socket } = connection
    const { protocol } = this.#options
    const agreed = socket.alpnProtocol
    const withoutAlpn = agreed === false || agreed === null
    if (withoutAlpn ? !protocol.withoutAlpn : agreed !== protocol.alpn) {
      const offered = `the endpoint did not agree to ${protocol.alpn} (ALPN)`
      this.#fail(new GatewayError('UpstreamTlsFailure', `${this.#endpoint.authority}: ${offered}`))
      return
    }
    this.#over = true
    this.#unlisten(socket)
    this.#session = protocol.begin(connection, this.#owner, this.#endpoint.authority)
  }

  readonly #onError = (error: NodeJS.ErrnoException): void => {
    const { authority } = this.#endpoint
    this.#fail(this.#tcp ? tlsFault(error, authority) : connectFault(error, authority))
  }

  #fail(error: GatewayError): void {
    if (this.#over) return
    this.#over = true
    this.#close()
    this.#owner.connectFailed(error)
  }

  #close(): void {
    this.#clear
      ?.off('error', this.#onError)
      .on('error', () => {})
      .destroy()
    const socket = this.#connection?.socket
    if (socket === undefined) return
    this.#unlisten(socket)
    socket.on('error', () => {})
    socket.destroy()
  }

  #unlisten(socket: TLSSocket): void {
    socket.off('connect', this.#onConnect)
    socket.off('secureConnect', this.#onSecure)
    socket.off('error', this.#onError)
  }

  #remember(
    socket: TLSSocket,
    key: string,
    made: Pick<UpstreamSessionEntry, 'context' | 'session'>,
    resumed: UpstreamSessionEntry | undefined,
  ): void {
    const expires = socket.getPeerX509Certificate()?.validToDate.getTime() ?? 0
    const reused = socket.isSessionReused()
    this.#state.sessions.put(this.#namespace, key, made, reused ? resumed : undefined, expires)
  }
}

/**
 * The name that SNI sends and the certificate must have: as stated, or the DNS name that the endpoint was resolved
 * from, or the one under which a Service is known in its cluster. Undefined: the certificate must have the address.
 */
function serverNameFor(tls: UpstreamTls, { hostname, address }: Endpoint): string | undefined {
  const name = (tls.serverName ?? hostname ?? tls.serviceName ?? address).toLowerCase().replace(/\.$/, '')
  return isIP(name) === 0 ? name : undefined
}
