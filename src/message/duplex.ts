import type { GatewayError } from '../lib/error.ts'

/**
 * One side of a tunnel: bytes both ways after an upgrade, with back-pressure and an end for each direction. What is
 * below it is the codec's business: a whole HTTP/1.1 connection, or one HTTP/2 stream (RFC 8441).
 */
export interface Duplex {
  /**
   * Begins to hand over what arrives, what came right behind the upgrade first and within the call. To be called once,
   * in the turn in which the duplex was received.
   */
  start(handler: DuplexHandler): void
  /**
   * The bytes are not to be changed after.
   * @returns false: write nothing more until `onDrain`
   */
  write(bytes: Uint8Array): boolean
  /** Ends this direction behind what was written; the other goes on. */
  end(): void
  /**
   * Closes both directions once what was written has left. From now on there is only `onClose`: what arrives is
   * dropped.
   */
  close(): void
  /** Closes both directions now: what has not left never will. `onClose` follows, after the return. */
  destroy(): void
  /** Hands over no more bytes until `resume`. */
  pause(): void
  resume(): void
  /** Bytes written that have not left; after the close, those that never will. */
  readonly unsent: number
}

export interface DuplexHandler {
  /** The bytes are the receiver's own. */
  onData(bytes: Uint8Array): void
  /** The other end has ended its direction. */
  onEnd(): void
  /** Bytes may be written again. */
  onDrain(): void
  /**
   * Nothing moves in either direction any more. Exactly once, last.
   * @param error why the gateway itself cut the connection; null where it or one of its ends closed it
   */
  onClose(error: GatewayError | null): void
}
