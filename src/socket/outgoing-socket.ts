/** Outgoing sockets, which all read into one buffer of the thread. */
import { connect, type NetConnectOpts, type OnReadOpts, type Socket } from 'node:net'
import { bulkTurns, PIECE } from './bulk-turns.ts'

/** Bytes an upstream connection may hold unsent before the client is asked to wait. */
const HIGH_WATER = 128 * 1024
/** Bytes of one read. */
const READ_BYTES = 64 * 1024
/**
 * What every read of the thread goes into. It cannot be given away and replaced: Node binds a buffer to a connection at
 * the end of the read before, so the others would go on reading into the one that was given away.
 */
const READING = Buffer.allocUnsafeSlow(READ_BYTES)

/** A connection to an endpoint: TCP here, TLS in a subclass. */
export class OutgoingSocket {
  readonly socket: Socket
  /** Takes the first `length` bytes of the buffer, which the next read overwrites. */
  receive: (bytes: Buffer, length: number) => void = () => {}
  /** Bytes that were read since others went first, and in which turn. */
  #sinceTurn = 0
  #turn = 0
  /** There may be more to read, which has to wait for its turn. */
  waits = false
  readonly #readOn = (): void => {
    this.waits = false
    const { socket } = this
    if (!socket.destroyed && !socket.isPaused()) socket.resume()
  }

  /** @param open begins to connect; the socket reads by `onread` */
  constructor(open: (onread: OnReadOpts) => Socket) {
    this.socket = open({
      // One buffer for all connections of the thread instead of one for each read, and none of a stream's work on the
      // way to us.
      buffer: READING,
      callback: (length: number) => {
        this.receive(READING, length)
        if (this.#turn !== bulkTurns.turn) {
          this.#turn = bulkTurns.turn
          this.#sinceTurn = 0
        }
        this.#sinceTurn += length
        if (this.#sinceTurn < PIECE) return true
        // libuv reads a socket up to 32 times in one go as long as there is more.
        this.#sinceTurn = 0
        if (!this.waits) {
          this.waits = true
          bulkTurns.wait(this.#readOn)
        }
        return false
      },
    })
  }

  /**
   * Whether the end of the stream was sent by the endpoint itself: anybody on the path can cut a TLS connection without
   * its consent (RFC 8446 §6.1). To be asked within the socket's `end`.
   */
  get endIsAuthentic(): boolean {
    return true
  }

  /** Whether the error by this code says that the endpoint has refused the connection, and so has read no request. */
  refused(_code: string): boolean {
    return false
  }

  /** Closes it at once, in a way that the endpoint notices while it works on a response. */
  reset(): void {
    if (!this.socket.destroyed) this.socket.resetAndDestroy()
  }
}

/** How every TCP connection to an endpoint is made. @param address literal */
export function tcpOptions(address: string, port: number): NetConnectOpts {
  return {
    host: address,
    port,
    noDelay: true,
    keepAlive: true,
    keepAliveInitialDelay: 15_000,
    allowHalfOpen: false,
    highWaterMark: HIGH_WATER,
  } as NetConnectOpts
}

/** Begins to connect. @param address literal */
export function openTcp(address: string, port: number): OutgoingSocket {
  return new OutgoingSocket((onread) => connect({ ...tcpOptions(address, port), onread }))
}
