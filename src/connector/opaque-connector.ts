/** Connections to endpoints whose bytes are the client's own: TCP, and nothing of the gateway's on it. */
import { Fields } from '../message/fields.ts'
import type { OutgoingSocket } from '../socket/outgoing-socket.ts'
import { SocketDuplex } from '../socket/socket-duplex.ts'
import type { Connector, SessionOwner, UpstreamSession } from '../transport/connector.ts'
import type { UpstreamHandler, UpstreamRequest, UpstreamStream } from '../transport/upstream.ts'
import { tcpConnectorOf } from './tcp-connector.ts'

/**
 * Milliseconds that a connection is kept whose client went away while it was made: a server gives clients little time
 * for their first bytes.
 */
const UNUSED = 2_000

/** One connection, for one tunnel. */
class OpaqueSession implements UpstreamSession, UpstreamStream {
  readonly capacity = 1
  readonly idleTimeout = UNUSED
  readonly takesRest = false
  readonly sending = false
  readonly #connection: OutgoingSocket
  #duplex: SocketDuplex | null = null
  #closed = false

  constructor(connection: OutgoingSocket, owner: SessionOwner) {
    this.#connection = connection
    const { socket } = connection
    connection.receive = (bytes, length) => {
      // A server that speaks first does not speak TLS, and its bytes belong to nobody yet.
      if (this.#duplex === null) this.destroy()
      else this.#duplex.receive(Buffer.from(bytes.subarray(0, length)))
    }
    socket.on('error', () => {})
    socket.on('close', () => {
      if (this.#closed) return
      this.#closed = true
      owner.closed()
    })
  }

  get active(): number {
    return this.#duplex === null ? 0 : 1
  }

  get usable(): boolean {
    return this.#duplex === null && !this.#closed && this.#connection.socket.writable
  }

  dispatch(_request: UpstreamRequest, handler: UpstreamHandler, reused: boolean): void {
    const duplex = new SocketDuplex(this.#connection.socket, null, false)
    this.#duplex = duplex
    handler.onStream(this, reused)
    handler.onUpgrade({ status: 101, fields: new Fields(), bodyLength: 0 }, duplex)
  }

  // ---- the stream, until it is a tunnel in the same call ----

  write(): boolean {
    return true
  }

  end(): void {}

  pause(): void {}

  resume(): void {}

  abort(): void {
    this.destroy()
  }

  destroy(): void {
    this.#connection.socket.destroy()
  }
}

export const opaqueConnector: Connector = tcpConnectorOf(OpaqueSession)
