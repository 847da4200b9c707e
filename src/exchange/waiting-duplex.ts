/**
 * An upstream's side of a tunnel while a filter decides whether there will be one: nothing is read of it, and what has
 * come already is handed over in the end.
 */
import type { GatewayError } from '../lib/error.ts'
import type { Duplex, DuplexHandler } from '../message/duplex.ts'

export class WaitingDuplex implements Duplex, DuplexHandler {
  readonly #duplex: Duplex
  #handler: DuplexHandler | null = null
  /** What had come before the reading stopped: at most one read. */
  #early: Uint8Array[] = []
  #ended = false
  closed = false

  constructor(duplex: Duplex) {
    this.#duplex = duplex
    duplex.start(this)
    duplex.pause()
  }

  start(handler: DuplexHandler): void {
    this.#handler = handler
    for (const bytes of this.#early) handler.onData(bytes)
    this.#early = []
    if (this.#ended) handler.onEnd()
    this.#duplex.resume()
  }

  write(bytes: Uint8Array): boolean {
    return this.#duplex.write(bytes)
  }

  end(): void {
    this.#duplex.end()
  }

  close(): void {
    this.#duplex.close()
  }

  destroy(): void {
    this.#duplex.destroy()
  }

  pause(): void {
    this.#duplex.pause()
  }

  resume(): void {
    this.#duplex.resume()
  }

  get unsent(): number {
    return this.#duplex.unsent
  }

  onData(bytes: Uint8Array): void {
    if (this.#handler === null) this.#early.push(bytes)
    else this.#handler.onData(bytes)
  }

  onEnd(): void {
    this.#ended = true
    this.#handler?.onEnd()
  }

  onDrain(): void {
    this.#handler?.onDrain()
  }

  onClose(error: GatewayError | null): void {
    this.closed = true
    this.#handler?.onClose(error)
  }
}
