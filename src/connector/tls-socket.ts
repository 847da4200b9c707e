/** A TLS connection to an endpoint. */
import type { Socket } from 'node:net'
import { type ConnectionOptions, connect, type TLSSocket } from 'node:tls'
import { getSystemErrorName } from 'node:util'
import { OutgoingSocket, tcpOptions } from '../socket/outgoing-socket.ts'
import { refusesCertificate } from './tls-fault.ts'

interface WithHandle {
  _handle?: { readonly _parent?: { readStart?: () => number } | null } | null
}

export class TlsSocket extends OutgoingSocket {
  declare readonly socket: TLSSocket
  #endIsAuthentic = false

  private constructor(open: ConstructorParameters<typeof OutgoingSocket>[0]) {
    super(open)
    const { socket } = this
    const push = socket.push.bind(socket)
    // The end of the stream, before anything else that the connection brings can be read.
    socket.push = (chunk: unknown, encoding?: BufferEncoding) => {
      if (chunk === null) this.#endIsAuthentic = isStillReading(socket)
      return push(chunk, encoding)
    }
  }

  /** Begins to connect. @param address literal */
  static open(address: string, port: number, options: ConnectionOptions): TlsSocket {
    // The types of node:tls lack `onread`.
    return new TlsSocket((onread) => connect(Object.assign({ ...tcpOptions(address, port), ...options }, { onread })))
  }

  /** Begins the handshake on a connection whose bytes were not read. */
  static over(connected: Socket, options: ConnectionOptions): TlsSocket {
    const connection = new TlsSocket(() => connect({ ...options, socket: connected }))
    // Over a socket that was made before, node:tls takes no buffer to read into.
    connection.socket.on('data', (bytes: Buffer) => connection.receive(bytes, bytes.length))
    return connection
  }

  /** An end without `close_notify` may have been made by anybody on the path. */
  override get endIsAuthentic(): boolean {
    return this.#endIsAuthentic
  }

  override refused(code: string): boolean {
    return refusesCertificate(code)
  }

  /** TLS cannot be reset: the endpoint sees a connection that ends without `close_notify`. */
  override reset(): void {
    if (!this.socket.destroyed) this.socket.destroy()
  }
}

/**
 * node:tls reports the end of a stream in the same way for `close_notify` and for the end of the TCP connection. But
 * within the report of the former TCP is still being read, so that a second order to read it is refused (EALREADY);
 * within that of the latter it is not. Where the handle is not as expected, no end is believed.
 */
function isStillReading(socket: TLSSocket): boolean {
  const tcp = (socket as unknown as WithHandle)._handle?._parent
  if (typeof tcp?.readStart !== 'function') return false
  const code = tcp.readStart()
  return code < 0 && getSystemErrorName(code) === 'EALREADY'
}
