/** A stream on which the endpoint has agreed to another protocol (RFC 8441), as one side of a tunnel. */
import type { Duplex } from '../message/duplex.ts'
import type { Fields } from '../message/fields.ts'
import { StreamDuplex, type TunnelStream } from '../socket/stream-duplex.ts'
import type { UpstreamHandler, UpstreamStream } from '../transport/upstream.ts'

/** The handler of the stream from the agreement on. */
export class StreamTunnel implements UpstreamHandler, TunnelStream {
  readonly #stream: UpstreamStream & { readonly unsent: number }
  readonly #duplex: StreamDuplex

  /** @param stream paused until the tunnel begins */
  constructor(stream: UpstreamStream & { readonly unsent: number }) {
    this.#stream = stream
    this.#duplex = new StreamDuplex(this)
  }

  get duplex(): Duplex {
    return this.#duplex
  }

  /** Both directions have ended. */
  over(): void {
    this.#duplex.closed(null)
  }

  // ---- what comes from the endpoint ----

  onData(bytes: Buffer, start: number, end: number): void {
    this.#duplex.receive(Buffer.from(bytes.subarray(start, end)))
  }

  onEnd(_trailers: Fields | null): void {
    this.#duplex.receiveEnd()
  }

  onError(): void {
    this.#duplex.closed(null)
  }

  onDrain(): void {
    this.#duplex.drained()
  }

  onStream(): void {}
  onInformational(): void {}
  onHead(): void {}
  onBatchEnd(): void {}
  onUpgrade(): void {}

  // ---- what the tunnel does ----

  tunnelWrite(bytes: Uint8Array): boolean {
    return this.#stream.write(bytes)
  }

  tunnelEnd(): void {
    this.#stream.end(null)
  }

  tunnelCut(): void {
    this.#stream.abort()
    this.#duplex.closed(null)
  }

  pauseBody(): void {
    this.#stream.pause()
  }

  resumeBody(): void {
    this.#stream.resume()
  }

  get unsent(): number {
    return this.#stream.unsent
  }
}
