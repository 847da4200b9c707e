/**
 * Room for clients, by the number of connections and by the memory that they take, which is several times as much with
 * TLS. Where there is none, connections that lie idle are closed for new ones, those that were accepted first before
 * others, as clients open them again when they need them. Where all are busy, a new client is told so and closed.
 */
import type { Socket } from 'node:net'
import { CONNECTION_BYTES, TLS_BYTES } from '../lib/memory-budget.ts'
import { REASONS } from '../lib/reason.ts'
import { problemType } from '../policy/problem.ts'
import { ClosingSocket } from '../socket/closing-socket.ts'
import type { OpenConnection, ServerContext } from '../socket/server-context.ts'
import { ALERT } from '../tls/client-hello.ts'
import { alertRecord } from './tls-alert.ts'

/** Connections that are looked at for one new client. */
const LOOKS = 64
/** Refused clients that are being told so, over the limit; further ones are closed without a word. */
const TOLD = 64

export class ConnectionRoom {
  readonly #context: ServerContext
  /** Goes round, so that busy connections are not looked at again for each client. */
  #next: Iterator<OpenConnection> | null = null
  #told = 0
  readonly #bytes: number
  readonly #contexts: { readonly bytes: number }
  /** Sockets that were accepted for TLS. */
  #secure = 0
  /** Of those, how many are taken off already although they are about to be closed. */
  #closing = 0
  /** Open connections that are allowed, whatever they take. */
  most = 1_024
  /** Open connections, to clients and upstreams together. */
  mostOfAll = Number.POSITIVE_INFINITY
  readonly #upstreams: () => number

  /**
   * @param bytes of memory, for connections and contexts
   * @param contexts memory of what handshakes are made with
   * @param upstreams connections to upstreams that are open
   */
  constructor(
    context: ServerContext,
    bytes: number,
    contexts: { readonly bytes: number },
    upstreams: () => number = () => 0,
  ) {
    this.#upstreams = upstreams
    this.#context = context
    this.#bytes = bytes
    this.#contexts = contexts
  }

  /** Connections with TLS that are allowed. */
  get mostSecure(): number {
    return Math.min(this.most, Math.floor(this.#bytes / (CONNECTION_BYTES + TLS_BYTES)))
  }

  /**
   * Closes idle connections, as far as one more has no room.
   *
   * @param secure whether it takes the memory of TLS
   * @returns whether there is room now
   */
  make(secure: boolean): boolean {
    const { connections } = this.#context
    const free = Math.min(this.most, this.mostOfAll - this.#upstreams()) - connections.size
    if (free <= 0 && !this.#closeIdle()) return false
    const most = this.#bytes - CONNECTION_BYTES - (secure ? TLS_BYTES : 0)
    // Some leave the set of open connections as soon as they are told to close, others when they are closed.
    const before = connections.size
    for (let closed = 0; this.#used(before - closed) > most; closed++) if (!this.#closeIdle()) return false
    return true
  }

  #used(connections: number): number {
    return connections * CONNECTION_BYTES + this.#secure * TLS_BYTES + this.#contexts.bytes
  }

  /** @param socket of a new connection */
  countSecure(socket: Socket): void {
    this.#secure++
    socket.once('close', () => {
      if (this.#closing > 0) this.#closing--
      else this.#secure--
    })
  }

  #closeIdle(): boolean {
    for (let look = 0; look < LOOKS; look++) {
      this.#next ??= this.#context.connections.values()
      const { value, done } = this.#next.next()
      if (done === true) this.#next = null
      else if (value.idle) {
        if (value.peer?.scheme === 'https') {
          this.#secure--
          this.#closing++
        }
        value.destroy()
        return true
      }
    }
    return false
  }

  /** @param socket paused, not yet read */
  refuse(socket: Socket, tls: boolean): void {
    if (this.#told >= TOLD) return void socket.destroy()
    this.#told++
    socket.once('close', () => this.#told--)
    new ClosingSocket(socket, this.#context, tls ? alertRecord(ALERT.internalError) : UNAVAILABLE)
  }
}

const { status, title } = REASONS.ConnectionLimit
const PROBLEM = JSON.stringify({ type: problemType('ConnectionLimit'), title, status, reason: 'ConnectionLimit' })
const UNAVAILABLE = Buffer.from(
  'HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/problem+json\r\ncache-control: no-store\r\n' +
    `retry-after: 1\r\nconnection: close\r\ncontent-length: ${PROBLEM.length}\r\n\r\n${PROBLEM}`,
)
