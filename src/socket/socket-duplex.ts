/** One side of a tunnel that has a socket to itself, as after an upgrade of HTTP/1.1. */
import type { Socket } from 'node:net'
import type { GatewayError } from '../lib/error.ts'
import type { Duplex, DuplexHandler } from '../message/duplex.ts'
import { unsentBytes } from './unsent-bytes.ts'

export class SocketDuplex implements Duplex {
  readonly #socket: Socket
  readonly #early: Uint8Array | null
  readonly #ended: boolean
  #handler: DuplexHandler | null = null
  #lost = 0
  /** Nothing is handed over any more. */
  #closing = false
  #error: GatewayError | null = null

  /**
   * The codec that had the socket so far gives what arrives to {@link receive}, and listens to its close at most.
   *
   * @param early what came behind the upgrade
   * @param ended the other end has sent its FIN already
   */
  constructor(socket: Socket, early: Uint8Array | null, ended: boolean) {
    this.#socket = socket
    this.#early = early
    this.#ended = ended
    const destroy = socket.destroy.bind(socket)
    // Only before the socket is destroyed can it be asked what it holds.
    socket.destroy = (error?: Error) => {
      if (!socket.destroyed) this.#lost = unsentBytes(socket)
      return destroy(error)
    }
    socket.removeAllListeners('end').on('end', () => {
      if (!this.#closing) this.#handler?.onEnd()
    })
    socket.removeAllListeners('drain').on('drain', () => {
      if (!this.#closing) this.#handler?.onDrain()
    })
    socket.on('close', () => this.#handler?.onClose(this.#error))
  }

  start(handler: DuplexHandler): void {
    this.#handler = handler
    this.#socket.resume()
    if (this.#early !== null) handler.onData(this.#early)
    if (this.#ended) handler.onEnd()
  }

  /** @param bytes the receiver's own */
  receive(bytes: Uint8Array): void {
    if (!this.#closing) this.#handler?.onData(bytes)
  }

  write(bytes: Uint8Array): boolean {
    return !this.#socket.writable || this.#socket.write(bytes)
  }

  end(): void {
    this.#socket.end()
  }

  close(): void {
    this.#closing = true
    this.#socket.destroySoon()
    // Further data is read and discarded, since otherwise the peer's end would not be noticed.
    this.#socket.resume()
  }

  destroy(): void {
    this.#socket.destroy()
  }

  /** The connection is closed by the gateway, not by those that use it. */
  cut(error: GatewayError): void {
    this.#error = error
    this.#socket.destroy()
  }

  pause(): void {
    this.#socket.pause()
  }

  resume(): void {
    this.#socket.resume()
  }

  get unsent(): number {
    return this.#socket.destroyed ? this.#lost : unsentBytes(this.#socket)
  }
}
