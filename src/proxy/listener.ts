/**
 * The accept stage: one `net.Server` a port. It accepts a socket and decides what speaks on it. Today that is HTTP/1.1 in clear;
 * PROXY protocol, TLS and passthrough are further steps between accept and {@link H1Connection}.
 */
import { createServer, type Server, type Socket } from 'node:net'
import type { ListenerSettings } from '../link/messages.ts'
import { canonicalAddress } from '../pattern/cidr.ts'
import { adopt } from './accepted-socket.ts'
import type { Peer } from './downstream.ts'
import { H1Connection } from './downstream-h1.ts'
import type { ServerContext } from './server-context.ts'

/** Bytes a client connection may hold unsent before the upstream is asked to wait. */
const HIGH_WATER = 128 * 1024
/** Connections the kernel holds for us while a worker is busy; the system caps it at net.core.somaxconn. */
const BACKLOG = 4096

export interface ListenerContext extends ServerContext {
  readonly reusePort: boolean
  /** Open connections over all listeners of this worker that are allowed. */
  connectionLimit: number
  /** Closed at once because the limit is reached. */
  refusedConnection(listener: number): void
}

export class Listener {
  readonly settings: ListenerSettings
  readonly index: number
  readonly #server: Server
  readonly #context: ListenerContext

  constructor(settings: ListenerSettings, index: number, context: ListenerContext) {
    this.settings = settings
    this.index = index
    this.#context = context
    this.#server = createServer(
      { pauseOnConnect: true, allowHalfOpen: true, noDelay: true, keepAlive: true, highWaterMark: HIGH_WATER },
      (socket) => this.#accept(socket),
    )
  }

  /** The port as bound. */
  get port(): number {
    const address = this.#server.address()
    return address !== null && typeof address === 'object' ? address.port : this.settings.port
  }

  listen(): Promise<void> {
    const { address, port } = this.settings
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject)
      this.#server.listen(
        { host: address, port, backlog: BACKLOG, reusePort: this.#context.reusePort, ipv6Only: false },
        () => {
          this.#server.off('error', reject)
          // EMFILE and the like: the connection is lost, the listener goes on.
          this.#server.on('error', () => {})
          resolve()
        },
      )
    })
  }

  #accept(socket: Socket): void {
    const context = this.#context
    if (context.draining || context.connections.size >= context.connectionLimit) {
      context.refusedConnection(this.index)
      socket.destroy()
      return
    }
    const remote = socket.remoteAddress
    if (remote === undefined) {
      // Gone between accept and here.
      socket.destroy()
      return
    }
    const peer: Peer = {
      address: canonicalAddress(remote) ?? remote,
      scheme: 'http',
      listener: this.index,
      listenerName: this.settings.name,
    }
    new H1Connection((receive) => adopt(socket, { highWaterMark: HIGH_WATER }, receive), peer, context)
  }

  /** Accepts nothing more; open connections go on. */
  close(): void {
    this.#server.close()
  }
}
