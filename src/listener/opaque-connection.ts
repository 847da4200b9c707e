/** The client's side of a TLS connection that is not ended here: its ClientHello is held until a backend takes it. */
import type { Socket } from 'node:net'
import { GatewayError } from '../lib/error.ts'
import type { Duplex } from '../message/duplex.ts'
import type { ResponseHead } from '../message/head.ts'
import type { CompleteResponse } from '../message/local-response.ts'
import { ClosingSocket } from '../socket/closing-socket.ts'
import type { OpenConnection, ServerContext } from '../socket/server-context.ts'
import { SocketDuplex } from '../socket/socket-duplex.ts'
import { ALERT } from '../tls/client-hello.ts'
import type { Downstream, DownstreamHandler, ResponseProgress } from '../transport/downstream.ts'
import type { Peer } from '../transport/peer.ts'
import { alertRecord } from './tls-alert.ts'

/** Nothing of a response is ever sent. */
const NO_PROGRESS: ResponseProgress = { retract: () => true, bodySent: 0, lost: 0 }

export class OpaqueConnection implements Downstream, OpenConnection {
  readonly peer: Peer
  readonly progress = NO_PROGRESS
  readonly room = true
  readonly idle = false
  readonly #socket: Socket
  readonly #context: ServerContext
  #hello: Buffer | null
  #handler: DownstreamHandler | null = null
  #duplex: SocketDuplex | null = null
  /** The exchange has ended on this side. */
  #over = false

  /**
   * @param socket paused
   * @param hello what was read of it
   */
  constructor(socket: Socket, hello: Buffer, peer: Peer, context: ServerContext) {
    this.peer = peer
    this.#socket = socket
    this.#hello = hello
    this.#context = context
    context.connections.add(this)
    context.requests.connectionOpened(peer.listener)
    socket.on('error', (error: NodeJS.ErrnoException) => this.#gone(error.code ?? error.message))
    socket.on('close', () => {
      context.connections.delete(this)
      context.requests.connectionClosed(peer.listener)
      this.#gone('closed')
    })
  }

  begin(handler: DownstreamHandler): void {
    if (!this.#over) this.#handler = handler
  }

  upgrade(): Duplex {
    const duplex = new SocketDuplex(this.#socket, this.#hello, this.#socket.readableEnded)
    this.#socket.on('data', (bytes: Buffer) => duplex.receive(bytes))
    this.#finish()
    this.#duplex = duplex
    return duplex
  }

  /** Before anything is agreed on, an alert in clear says that there is nobody (RFC 8446 §6.2). */
  sendComplete({ status }: CompleteResponse): void {
    this.#refuse(status)
  }

  sendHead({ status }: ResponseHead): void {
    this.#refuse(status)
  }

  #refuse(status: number): void {
    if (this.#over) return
    this.#finish()
    const alert = status === 404 ? ALERT.unrecognizedName : ALERT.internalError
    new ClosingSocket(this.#socket, this.#context, alertRecord(alert))
  }

  #finish(): void {
    this.#over = true
    this.#handler = null
    this.#hello = null
  }

  #gone(detail: string): void {
    const handler = this.#handler
    this.#finish()
    handler?.onClientGone(detail)
  }

  abort(): void {
    this.#finish()
    if (!this.#socket.destroyed) this.#socket.resetAndDestroy()
  }

  sendEarlyEnd(): boolean {
    return false
  }

  sendInformational(): void {}

  sendBody(): void {}

  sendEnd(): void {}

  endRest(): void {}

  flush(): void {}

  resumeBody(): void {}

  /** A tunnel is waited for. */
  drain(): void {}

  destroy(): void {
    const error = new GatewayError('ShuttingDown')
    if (this.#duplex !== null) return this.#duplex.cut(error)
    this.#handler?.onRequestFailed(error)
    this.#socket.destroy()
  }
}
