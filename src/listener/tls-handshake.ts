/** One handshake: from the first bytes of a socket to the connection that serves it, or to a refusal. */
import type { Socket } from 'node:net'
import type { TLSSocket } from 'node:tls'
import { GatewayError } from '../lib/error.ts'
import type { SliceClock } from '../lib/time-slice.ts'
import type { FairGate, FairGateBounds, GatedWork } from '../limit/fair-gate.ts'
import { networkOf } from '../policy/client-network.ts'
import type { Contents } from '../policy/contents.ts'
import type { HandshakeFailure } from '../shared-memory/metric-labels.ts'
import type { FrontendHandle } from '../snapshot/frontend-handle.ts'
import type { HostTls } from '../snapshot/host-tls.ts'
import { ClosingSocket } from '../socket/closing-socket.ts'
import type { ServerContext } from '../socket/server-context.ts'
import { ALERT, type Alert, type ClientHello, ClientHelloReader, HelloFault } from '../tls/client-hello.ts'
import { normalizeServerName } from '../tls/server-name.ts'
import type { Downstream, DownstreamHandler, RequestHandler } from '../transport/downstream.ts'
import type { PeerTls } from '../transport/peer.ts'
import type { CertifiedConnections } from './certified-connections.ts'
import { clearText } from './clear-text.ts'
import { clientCertificateOf } from './client-certificate.ts'
import { detailOf, type FailedHandshake, failureOf } from './handshake-failure.ts'
import { OpaqueConnection } from './opaque-connection.ts'
import { SECURE_PROTOCOLS, serveHttp1 } from './secure-protocols.ts'
import type { SecureServer } from './secure-server.ts'
import { alertRecord } from './tls-alert.ts'
import type { ServerChoice, TlsServers } from './tls-servers.ts'
import type { FirstBytes, UnservedSocket } from './unserved-socket.ts'

/** Of an IPv6 address, what a site has for itself. */
const SITE_BITS = 64

export interface TlsHost {
  readonly contents: Contents
  readonly clock: SliceClock
  readonly wall: () => number
  /** See `TlsServersHost.ticketMaster`. */
  readonly ticketMaster: Uint8Array
  /** Bounds of what `TlsServers` keeps. */
  readonly memory?: { readonly kept: number; readonly trustBytes: number }
  /** Default: see tls-acceptor.ts. */
  readonly bounds?: FairGateBounds
  /** TLS of a hostname on a frontend by the tables in force; null: nobody states any. */
  tlsOf(frontend: FrontendHandle, serverName: string): HostTls | null
  /** Joins a connection with one to a backend of the hostname: see `HostTls.mode`. */
  passThrough(downstream: Downstream, serverName: string): DownstreamHandler
  /** @param resumed without a full handshake */
  handshakeDone(resumed: boolean): void
  handshakeFailed(failure: FailedHandshake): void
  problem(message: string): void
}

export interface HandshakeOwner {
  readonly host: TlsHost
  readonly servers: TlsServers
  readonly gate: FairGate
  readonly certified: CertifiedConnections
  /** Handshakes of one source that may be under way or wait. */
  readonly sourceLimit: number
  /** Gives a socket to node:tls. @returns by what {@link forget} knows it */
  start(server: SecureServer, handshake: TlsHandshake, socket: Socket): string
  forget(place: string): void
}

export class TlsHandshake implements FirstBytes, GatedWork {
  /** Of the client: an address, of IPv6 the network of a site. */
  readonly source: string
  readonly #owner: HandshakeOwner
  readonly #unserved: UnservedSocket
  readonly #hello = new ClientHelloReader()
  #serverName = ''
  /** By which its server is found, once its turn has come. */
  #tls: HostTls | null = null
  #choice: ServerChoice | null = null
  #begun = false
  /** Key of the acceptor's while node:tls has the socket; '' = not yet, or not any more. */
  #place = ''
  #over = false

  constructor(owner: HandshakeOwner, unserved: UnservedSocket) {
    this.#owner = owner
    this.#unserved = unserved
    this.source = networkOf(unserved.address, SITE_BITS)
  }

  push(bytes: Buffer): void {
    if (this.#over) return
    const found = this.#hello.push(bytes)
    if (found === null) return
    if (!(found instanceof HelloFault)) this.#choose(found)
    else if (found.notTls) this.#notTls()
    else this.#refuse('MalformedHello', found.detail, found.alert)
  }

  #choose(hello: ClientHello): void {
    const unserved = this.#unserved
    unserved.stopReading()
    this.#serverName = normalizeServerName(hello.serverName)
    const { host, gate } = this.#owner
    const tls = this.#serverName === '' ? null : host.tlsOf(unserved.listener.frontend, this.#serverName)
    if (tls?.mode === 'Passthrough') return this.#passThrough()
    if (gate.sizeOf(this.source) >= this.#owner.sourceLimit) {
      this.#fail('Limit', 'too many handshakes of this client are under way or wait')
      unserved.socket.destroy()
      return
    }
    this.#tls = tls
    this.#choice = {
      serverName: this.#serverName,
      ticketName: hello.ticketName,
      verifiesEcdsa: hello.verifiesEcdsa,
      place: clientPlace(unserved.address),
    }
    gate.enter(this)
  }

  /**
   * From here on it has the whole time of a handshake, however long it has waited for its turn. Authorities and lists
   * that OpenSSL has to parse first, some 30 ms where they are as large as can be, take all of the turn.
   */
  begin(): void {
    this.#begun = true
    const { servers, gate } = this.#owner
    const parsed = servers.parsed
    const server = servers.find(this.#tls, this.#choice!)
    if (servers.parsed > parsed) gate.endTurn()
    if (server === undefined) return this.#refuseUncertified()
    const { socket, context } = this.#unserved
    context.timers.arm(this.#unserved, context.timers.now + context.options.handshake)
    socket.unshift(this.#hello.bytes)
    this.#place = this.#owner.start(server, this, socket)
  }

  #refuseUncertified(): void {
    const name = this.#serverName === '' ? 'a client that names no host' : this.#serverName
    const detail = `there is no certificate for ${name}, and no default one`
    this.#refuse('NoCertificate', detail, ALERT.unrecognizedName)
  }

  /** Of a client that leaves the next step to itself for seconds. */
  interrupt(): void {
    const { socket } = this.#unserved
    this.#fail('Limit', 'the handshake took long, and others wait for its place')
    socket.destroy()
  }

  /** Nothing is answered here: what the client has sent so far is the beginning of what goes to the backend. */
  #passThrough(): void {
    const { socket, context } = this.#unserved
    const { host } = this.#owner
    this.#settle()
    const peer = this.#unserved.peerOf('https', null)
    const connection = new OpaqueConnection(socket, this.#hello.bytes, peer, context)
    connection.begin(host.passThrough(connection, this.#serverName))
  }

  secured(server: SecureServer, socket: TLSSocket): void {
    const { context } = this.#unserved
    const { host } = this.#owner
    const clientCertificate = clientCertificateOf(server, socket, host.wall())
    if (typeof clientCertificate === 'string') {
      this.#fail('ClientCertificateRefused', clientCertificate)
      socket.destroy()
      return
    }
    this.#settle()
    const tls: PeerTls = {
      serverName: this.#serverName,
      optionsKey: server.options.key,
      protocol: socket.getProtocol() ?? '',
      cipher: socket.getCipher()?.standardName ?? '',
      clientCertificate,
    }
    const peer = this.#unserved.peerOf('https', tls)
    if (clientCertificate !== null) this.#owner.certified.add(socket, server.options, server.trust!)
    host.handshakeDone(socket.isSessionReused())
    const serve = (socket.alpnProtocol && SECURE_PROTOCOLS.get(socket.alpnProtocol)) || serveHttp1
    serve(socket, peer, context)
  }

  failed(error: NodeJS.ErrnoException, socket: TLSSocket): void {
    const refused = socket.authorizationError as Error | string | null
    if (refused)
      this.#fail('ClientCertificateRefused', `the certificate of the client is not accepted: ${String(refused)}`)
    else this.#fail(failureOf(error.code ?? ''), detailOf(error))
  }

  end(why: string): void {
    if (why === 'timeout') this.#fail('Timeout', 'the handshake was not complete in time')
    // Node says in a moment what it has closed the socket for.
    else if (this.#place !== '') setImmediate(() => this.#fail('ClientGone', why))
    else this.#fail('ClientGone', why)
    this.#unserved.socket.destroy()
  }

  /** A person may have typed http:// for https://, and is told so. */
  #notTls(): void {
    const { socket, context } = this.#unserved
    this.#fail('NotTls', 'the client does not speak TLS, which this listener expects')
    const peer = this.#unserved.peerOf('http', null)
    clearText.accept(socket, peer, refusing(context), this.#hello.bytes)
  }

  #refuse(reason: HandshakeFailure, detail: string, alert: Alert): void {
    this.#fail(reason, detail)
    new ClosingSocket(this.#unserved.socket, this.#unserved.context, alertRecord(alert))
  }

  #fail(reason: HandshakeFailure, detail: string): void {
    if (this.#over) return
    this.#settle()
    const { address, listener } = this.#unserved
    this.#owner.host.handshakeFailed({ reason, detail, serverName: this.#serverName, address, listener })
  }

  #settle(): void {
    this.#over = true
    if (this.#place !== '') this.#owner.forget(this.#place)
    if (this.#choice !== null) this.#owner.gate.leave(this, this.#begun)
    this.#unserved.release()
  }
}

/** The same for a client each time, and spread evenly over all of them. */
function clientPlace(address: string): number {
  let hash = 0x811c9dc5
  for (let i = 0; i < address.length; i++) hash = Math.imul(hash ^ address.charCodeAt(i), 0x01000193)
  return ((hash ^ (hash >>> 15)) >>> 0) / 2 ** 32
}

/** For connections on which every request is refused because it is not within TLS. */
function refusing(context: ServerContext): ServerContext {
  const { requests } = context
  const handler: RequestHandler = {
    begin(downstream, request) {
      const response = requests.refused(downstream.peer, new GatewayError('ClearTextOnTls'), request)
      downstream.sendComplete(response, true)
      return NOBODY
    },
    refused: (peer, error, request) => requests.refused(peer, error, request),
    connectionOpened: (listener) => requests.connectionOpened(listener),
    connectionClosed: (listener) => requests.connectionClosed(listener),
  }
  // What the settings change in the context holds for these connections, too.
  return Object.create(context, { requests: { value: handler } }) as ServerContext
}

/** Hears of a request that was refused already. */
const NOBODY: DownstreamHandler = {
  onRequestBody: () => true,
  onRequestEnd() {},
  onRequestFailed() {},
  onClientEnd: () => true,
  onClientDrain() {},
  onClientGone() {},
}
