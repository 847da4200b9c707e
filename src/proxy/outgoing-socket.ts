/** Outgoing sockets, which all read into one buffer of the thread. */
import { connect, type NetConnectOpts, type Socket } from 'node:net'

/** Bytes an upstream connection may hold unsent before the client is asked to wait. */
const HIGH_WATER = 128 * 1024
/** Bytes of one read. */
const READ_BYTES = 64 * 1024
/**
 * What every read of the thread goes into. It cannot be given away and replaced: Node binds a buffer to a connection at
 * the end of the read before, so the others would go on reading into the one that was given away.
 */
const READING = Buffer.allocUnsafeSlow(READ_BYTES)

export class OutgoingSocket {
  readonly socket: Socket
  /** Takes the first `length` bytes of the buffer, which the next read overwrites. */
  receive: (bytes: Buffer, length: number) => void = () => {}

  /** Starts to connect. @param address literal */
  constructor(address: string, port: number) {
    this.socket = connect({
      host: address,
      port,
      noDelay: true,
      keepAlive: true,
      keepAliveInitialDelay: 15_000,
      allowHalfOpen: false,
      highWaterMark: HIGH_WATER,
      // One buffer for all connections of the thread instead of one for each read, and none of a stream's work on the
      // way to us.
      onread: {
        buffer: READING,
        callback: (length: number) => {
          this.receive(READING, length)
          return true
        },
      },
    } as NetConnectOpts)
  }
}
