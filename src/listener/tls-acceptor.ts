/** Takes the sockets of listeners that speak TLS through their handshakes, and gives them to what was agreed on. */
import type { Socket } from 'node:net'
import type { TLSSocket } from 'node:tls'
import { FairGate, type FairGateBounds } from '../limit/fair-gate.ts'
import { CertifiedConnections } from './certified-connections.ts'
import type { SecureServer, ServerEvents } from './secure-server.ts'
import { type HandshakeOwner, TlsHandshake, type TlsHost } from './tls-handshake.ts'
import { TlsServers, type TlsSettings } from './tls-servers.ts'
import type { UnservedSocket } from './unserved-socket.ts'

/**
 * A handshake takes about a millisecond, and some 60 KiB until it is complete. In one turn of the loop there are so few
 * that the requests of open connections go on between them.
 */
const BOUNDS: FairGateBounds = { all: 1_024, perSource: 512, perTurn: 4 }
/** Of the connections of a worker, those that one source may have in handshakes. */
const SOURCE_SHARE = 0.75

export class TlsAcceptor implements HandshakeOwner, ServerEvents {
  readonly host: TlsHost
  readonly servers: TlsServers
  readonly gate: FairGate
  readonly certified: CertifiedConnections
  sourceLimit = BOUNDS.perSource
  /** Handshakes that node:tls has, by the addresses and ports of their sockets. */
  readonly #under = new Map<string, TlsHandshake>()
  readonly #bySocket = new WeakMap<Socket, TlsHandshake>()

  constructor(host: TlsHost) {
    this.host = host
    this.gate = new FairGate(host.bounds ?? BOUNDS, setImmediate)
    const { contents, wall, ticketMaster, clock, memory } = host
    this.servers = new TlsServers({
      contents,
      wall,
      ticketMaster,
      events: this,
      ...memory,
      problem: (message) => host.problem(message),
    })
    this.certified = new CertifiedConnections(clock, (options) => this.servers.trustOf(options))
  }

  /** @param connections that the worker may have */
  use(settings: TlsSettings, connections: number): void {
    this.sourceLimit = Math.ceil(connections * SOURCE_SHARE)
    this.servers.use(settings)
  }

  /** @param early what was read before */
  accept(unserved: UnservedSocket, early: Buffer | null): void {
    unserved.read(new TlsHandshake(this, unserved), early)
  }

  /**
   * Gives a socket to node:tls, whose server says of a handshake only which TLS socket it was: the two are brought
   * together by their addresses and ports.
   */
  start(server: SecureServer, handshake: TlsHandshake, socket: Socket): string {
    const place = placeOf(socket)
    this.#under.set(place, handshake)
    this.#bySocket.set(socket, handshake)
    // A client that ends its side within the handshake has given it up.
    socket.allowHalfOpen = false
    server.accept(socket)
    return place
  }

  /**
   * Ends connections whose certificates are not accepted any more, and handshakes that keep others from theirs: to be
   * called every second or so.
   */
  sweep(): void {
    this.gate.relieve()
    if (this.certified.size > 0) this.certified.check(this.host.wall())
  }

  forget(place: string): void {
    this.#under.delete(place)
  }

  secured(server: SecureServer, socket: TLSSocket): void {
    const handshake = this.#under.get(placeOf(socket))
    socket.allowHalfOpen = true
    // The client has gone in the same moment.
    if (handshake === undefined) socket.destroy()
    else handshake.secured(server, socket)
  }

  failed(error: NodeJS.ErrnoException, socket: TLSSocket): void {
    const handshake = this.#under.get(placeOf(socket)) ?? this.#ofClosed(socket)
    handshake?.failed(error, socket)
    socket.destroy()
  }

  /** A socket that is closed has no addresses; Node keeps the one below, for itself: without it the log knows less. */
  #ofClosed(socket: TLSSocket): TlsHandshake | undefined {
    const { _parent: below } = socket as unknown as { readonly _parent?: Socket }
    return below === undefined ? undefined : this.#bySocket.get(below)
  }
}

function placeOf({ remoteAddress, remotePort, localAddress, localPort }: Socket): string {
  return `${remoteAddress} ${remotePort} ${localAddress} ${localPort}`
}
