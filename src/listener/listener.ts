/**
 * One `net.Server` for each address and port. What it accepts goes through the accept stage of its listener.
 *
 * A socket and a listener are two things: settings give a socket to another name without closing it, and what it
 * accepted before stays with the listener that accepted it.
 */
import { createServer, type Server, type Socket } from 'node:net'
import { isDeepStrictEqual } from 'node:util'
import { CidrSet, canonicalAddress } from '../pattern/cidr.ts'
import { FrontendHandle } from '../snapshot/frontend-handle.ts'
import { HIGH_WATER } from '../socket/accepted-socket.ts'
import type { ServerContext } from '../socket/server-context.ts'
import type { PeerListener, SecureTwin } from '../transport/peer.ts'
import { acceptSocket, type StageContext, type StageListener } from './accept-stage.ts'
import type { ConnectionRoom } from './connection-room.ts'

/** Connections of a socket that the kernel holds for us while a worker is busy; net.core.somaxconn caps it. */
export const BACKLOG = 1_024

export interface ListenerContext extends StageContext {
  readonly reusePort: boolean
  /**
   * At one address and port, where the kernel balances connections among them. The event loop accepts one connection of
   * a socket in a turn, however many wait, and a turn is as long as all the requests that it has: see
   * docs/decisions/0070.
   */
  readonly sockets: number
  /** For the open connections of all listeners of this worker. */
  readonly room: ConnectionRoom
  /** Refused because there is no room. */
  refusedConnection(listener: PeerListener): void
}

/** A listener by name, with what its clients begin with. */
export interface ListenerSpeech {
  readonly name: string
  readonly tls: boolean
  readonly secureTwin: SecureTwin | null
  /** Who begins connections with a PROXY header; null = nobody does. */
  readonly proxyProtocol: { readonly trusted: readonly string[] } | null
}

/**
 * What the settings call a listener, on one socket. With another socket it is another one, and so is another name on
 * the same socket.
 */
export class Listener implements StageListener {
  readonly frontend: FrontendHandle
  readonly metricsRow: number
  readonly tls: boolean
  readonly proxies: CidrSet | null
  readonly #proxyProtocol: ListenerSpeech['proxyProtocol']
  secureTwin: SecureTwin | null
  /** Its socket is closed, or another listener's. */
  retired = false
  readonly #context: Pick<ServerContext, 'leaving'>

  constructor(settings: ListenerSpeech, metricsRow: number, context: Pick<ServerContext, 'leaving'>) {
    this.tls = settings.tls
    this.#proxyProtocol = settings.proxyProtocol
    this.proxies = settings.proxyProtocol === null ? null : new CidrSet(settings.proxyProtocol.trusted)
    this.secureTwin = settings.secureTwin
    this.frontend = new FrontendHandle(settings.name)
    this.metricsRow = metricsRow
    this.#context = context
  }

  get name(): string {
    return this.frontend.name
  }

  /** Whether the settings mean this one: its connections would not differ from those of a new one. */
  is({ name, tls, proxyProtocol }: ListenerSpeech): boolean {
    return name === this.name && tls === this.tls && isDeepStrictEqual(proxyProtocol, this.#proxyProtocol)
  }

  get leaving(): boolean {
    return this.retired || this.#context.leaving
  }
}

export class ListenSocket {
  readonly address: string
  /** The port in the settings; 0 = any free port. */
  readonly port: number
  #listener: Listener
  readonly #context: ListenerContext
  #servers: readonly Server[] = []
  /** Connections so far. */
  accepted = 0

  /** @param address literal */
  constructor(address: string, port: number, listener: Listener, context: ListenerContext) {
    this.address = address
    this.port = port
    this.#listener = listener
    this.#context = context
  }

  /** The listener that owns the connections this socket accepts. */
  get listener(): Listener {
    return this.#listener
  }

  get boundPort(): number {
    const address = this.#servers[0]?.address()
    return typeof address === 'object' && address !== null ? address.port : this.port
  }

  /**
   * What is accepted from now on is this listener's; what was accepted before ends after the response that is under
   * way.
   */
  give(listener: Listener): void {
    this.#listener.retired = true
    this.#listener = listener
  }

  async listen(): Promise<void> {
    const count = this.#context.reusePort ? this.#context.sockets : 1
    try {
      while (this.#servers.length < count) this.#servers = [...this.#servers, await this.#open()]
    } catch (error) {
      this.#closeServers()
      throw error
    }
  }

  #open(): Promise<Server> {
    const { reusePort } = this.#context
    const server = createServer(
      { pauseOnConnect: true, allowHalfOpen: true, noDelay: true, keepAlive: true, highWaterMark: HIGH_WATER },
      (socket) => this.#accept(socket),
    )
    return new Promise((resolve, reject) => {
      server.once('error', reject)
      server.listen(
        {
          host: this.address,
          port: this.boundPort,
          backlog: BACKLOG,
          reusePort,
          ipv6Only: false,
        },
        () => {
          server.off('error', reject)
          // EMFILE and the like: the connection is lost, and the socket keeps listening.
          server.on('error', () => {})
          resolve(server)
        },
      )
    })
  }

  #accept(socket: Socket): void {
    const context = this.#context
    const listener = this.#listener
    this.accepted++
    if (context.draining) return void socket.destroy()
    if (!context.room.make(listener.tls)) {
      context.refusedConnection(listener)
      return context.room.refuse(socket, listener.tls)
    }
    const remote = socket.remoteAddress
    if (remote === undefined) {
      // The client closed the connection right after it was accepted.
      socket.destroy()
      return
    }
    if (listener.tls) context.room.countSecure(socket)
    acceptSocket(socket, canonicalAddress(remote) ?? remote, listener, context)
  }

  /** Accepts no connection; open ones close after their current response. */
  close(): void {
    this.#listener.retired = true
    this.#closeServers()
  }

  #closeServers(): void {
    for (const server of this.#servers) server.close()
  }
}
