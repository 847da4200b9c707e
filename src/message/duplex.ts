/**
 * One side of a tunnel: bytes both ways after an upgrade, with back-pressure and half-close in each direction. What is
 * below it is the codec's business: a whole HTTP/1.1 connection, or one HTTP/2 stream (RFC 8441).
 */
export interface Duplex {
  /** Begins to hand over what arrives: first `early`, what came before the upgrade was complete. To be called once. */
  start(handler: DuplexHandler): void
  /**
   * The bytes must not be changed until they have left.
   * @returns false: write nothing more until `onDrain`
   */
  write(bytes: Uint8Array): boolean
  /** Ends this direction behind what was written; the other goes on. */
  end(): void
  /** Ends both directions now; what is unsent is lost. `onClose` follows. */
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
  /** The other end has ended its direction; the opposite one stays open. */
  onEnd(): void
  /** Bytes may be written again. */
  onDrain(): void
  /** Nothing moves in either direction any more. Exactly once, last. */
  onClose(): void
}
