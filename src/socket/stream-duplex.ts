/**
 * One side of a tunnel that is a stream of an HTTP/2 connection, as extended CONNECT opens it (RFC 8441): END_STREAM is
 * the end of a direction, RST_STREAM with CANCEL is what a reset is to TCP.
 */
import type { GatewayError } from '../lib/error.ts'
import type { Duplex, DuplexHandler } from '../message/duplex.ts'

/** The stream, as its tunnel uses it. */
export interface TunnelStream {
  /** Copies the bytes. @returns false: wait for the drain */
  tunnelWrite(bytes: Uint8Array): boolean
  /** Ends this direction behind what was written. */
  tunnelEnd(): void
  /** Closes both directions now. */
  tunnelCut(): void
  pauseBody(): void
  resumeBody(): void
  readonly unsent: number
}

export class StreamDuplex implements Duplex {
  readonly #stream: TunnelStream
  #handler: DuplexHandler | null = null
  #paused = true
  /** Nothing is handed over any more. */
  closing = false
  #closed = false
  #error: GatewayError | null = null

  constructor(stream: TunnelStream) {
    this.#stream = stream
  }

  start(handler: DuplexHandler): void {
    this.#handler = handler
    if (this.#closed) this.#report()
    else this.resume()
  }

  /** @param bytes the receiver's own. @returns false: no more until the stream is resumed */
  receive(bytes: Buffer): boolean {
    if (this.closing) return true
    this.#handler?.onData(bytes)
    return !this.#paused
  }

  /** The other end has ended its direction. */
  receiveEnd(): void {
    if (!this.closing) this.#handler?.onEnd()
  }

  drained(): void {
    if (!this.closing) this.#handler?.onDrain()
  }

  /** Nothing moves any more. */
  closed(error: GatewayError | null): void {
    if (this.#closed) return
    this.#closed = true
    this.#error = error
    this.closing = true
    if (this.#handler !== null) this.#report()
  }

  /** Behind the call that closed it, which may be one of the handler's own. */
  #report(): void {
    setImmediate(() => this.#handler?.onClose(this.#error))
  }

  write(bytes: Uint8Array): boolean {
    return this.#closed || this.#stream.tunnelWrite(bytes)
  }

  end(): void {
    if (!this.#closed) this.#stream.tunnelEnd()
  }

  close(): void {
    if (this.#closed) return
    this.closing = true
    // What still comes is dropped.
    this.resume()
    this.#stream.tunnelEnd()
  }

  destroy(): void {
    if (!this.#closed) this.#stream.tunnelCut()
  }

  pause(): void {
    this.#paused = true
    this.#stream.pauseBody()
  }

  resume(): void {
    this.#paused = false
    this.#stream.resumeBody()
  }

  get unsent(): number {
    return this.#stream.unsent
  }
}
