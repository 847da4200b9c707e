/**
 * An accepted socket on its way to the connection that serves it: readers of its first bytes take turns, under one
 * deadline.
 */
import type { Socket } from 'node:net'
import { canonicalAddress } from '../pattern/cidr.ts'
import type { ProxiedConnection } from '../proxy-protocol/header.ts'
import type { OpenConnection, ServerContext } from '../socket/server-context.ts'
import type { Peer, PeerListener, PeerTls } from '../transport/peer.ts'
import { TimerEntry } from '../transport/timers.ts'

/** Reads the first bytes of a connection, until it takes the socket or destroys it. */
export interface FirstBytes {
  push(bytes: Buffer): void
  /** No more bytes will come. @param why `timeout`, or how the client's side ended */
  end(why: string): void
}

/** @param address of its other end, canonical */
export function endsOf({ remotePort, localAddress, localPort }: Socket, address: string): ProxiedConnection {
  return {
    sourceAddress: address,
    sourcePort: remotePort ?? 0,
    destinationAddress: canonicalAddress(localAddress ?? '') ?? '',
    destinationPort: localPort ?? 0,
  }
}

export class UnservedSocket extends TimerEntry implements OpenConnection {
  readonly socket: Socket
  readonly listener: PeerListener
  readonly context: ServerContext
  /** Of the client, as far as is known. */
  address: string
  /** What a PROXY header says of the client's connection. */
  proxied: ProxiedConnection | null = null
  #reader: FirstBytes | null = null
  /** Bytes have come. */
  #begun = false

  /**
   * @param socket paused, not yet read
   * @param address of its other end, canonical
   */
  constructor(socket: Socket, address: string, listener: PeerListener, context: ServerContext) {
    super()
    this.socket = socket
    this.address = address
    this.listener = listener
    this.context = context
  }

  /** The client, as far as is known now. */
  peerOf(scheme: Peer['scheme'], tls: PeerTls | null): Peer {
    const { address, proxied, socket, listener } = this
    const connection = proxied ?? endsOf(socket, address)
    return { address, connection, proxied: proxied !== null, scheme, listener, tls }
  }

  /**
   * Gives what is read to `reader`. The deadline of all readers together begins with the first.
   *
   * @param early what was read before, behind what another step has taken
   */
  read(reader: FirstBytes, early: Buffer | null): void {
    const first = this.#reader === null
    this.#reader = reader
    if (first) this.#open()
    if (early !== null && early.length > 0) reader.push(early)
  }

  #open(): void {
    const { socket, context } = this
    context.connections.add(this)
    context.timers.arm(this, context.timers.touch() + context.options.handshake)
    socket.on('error', this.#onError)
    socket.on('close', this.#onClose)
    socket.on('end', this.#onEnd)
    socket.on('data', this.#onData)
    socket.resume()
  }

  /** Nothing is read any more; the deadline stays, and the reader still hears of the end. */
  stopReading(): void {
    this.socket.pause()
    this.socket.off('end', this.#onEnd)
    this.socket.off('data', this.#onData)
  }

  /** Somebody serves the socket from here on. */
  release(): void {
    const { socket, context } = this
    this.#reader = null
    context.connections.delete(this)
    context.timers.disarm(this)
    this.stopReading()
    socket.off('error', this.#onError)
    socket.off('close', this.#onClose)
  }

  readonly #onData = (bytes: Buffer): void => {
    this.#begun = true
    this.context.timers.touch()
    this.#reader?.push(bytes)
  }

  readonly #onEnd = (): void => this.#reader?.end('the client ended the connection')

  readonly #onError = (error: NodeJS.ErrnoException): void => this.#reader?.end(error.code ?? error.message)

  readonly #onClose = (): void => {
    const reader = this.#reader
    this.release()
    reader?.end('the client closed the connection')
  }

  expired(): void {
    const reader = this.#reader
    this.release()
    reader?.end('timeout')
    this.socket.destroy()
  }

  get idle(): boolean {
    return !this.#begun
  }

  drain(): void {
    if (!this.#begun) this.socket.destroy()
  }

  destroy(): void {
    this.socket.destroy()
  }
}
