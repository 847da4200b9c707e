/** A tunnel in memory: the gateway's end and the one outside. */
import type { GatewayError } from '../../../src/lib/error.ts'
import type { Duplex, DuplexHandler } from '../../../src/message/duplex.ts'
import type { TunnelEnd } from '../../suite/transport-rig.ts'
import { Channel, pieces } from './channel.ts'

export class MemoryTunnel implements Duplex {
  readonly #closed: () => void
  readonly #inward: Channel
  readonly #outward: Channel
  #handler: DuplexHandler | null = null
  /** Directions that were ended, and whether all is over. */
  #inwardEnded = false
  #outwardEnded = false
  #over = false
  /** Written by the outer end before the gateway has begun to read. */
  readonly outer: OuterEnd

  /** @param closed it is over */
  constructor(closed: () => void) {
    this.#closed = closed
    const outer = new OuterEnd(this)
    this.outer = outer
    this.#inward = new Channel(() => outer.drained())
    this.#inward.pause()
    this.#outward = new Channel(() => this.#handler?.onDrain())
  }

  // ---- the gateway ----

  start(handler: DuplexHandler): void {
    this.#handler = handler
    this.#inward.resume()
  }

  write(bytes: Uint8Array): boolean {
    const copy = Buffer.from(bytes)
    return this.#outward.push(copy.length, () => this.outer.take(copy))
  }

  end(): void {
    if (this.#outwardEnded) return
    this.#outwardEnded = true
    this.#outward.push(0, () => {
      this.outer.ended = true
      this.#endIfDone()
    })
  }

  close(): void {
    this.#inward.cut()
    this.end()
    this.#outward.push(0, () => this.#finish(null))
  }

  destroy(): void {
    this.cut(null)
  }

  pause(): void {
    this.#inward.pause()
  }

  resume(): void {
    this.#inward.resume()
  }

  get unsent(): number {
    return this.#outward.buffered
  }

  /** @param error why the gateway cuts it */
  cut(error: GatewayError | null): void {
    this.#inward.cut()
    this.#outward.cut()
    queueMicrotask(() => this.#finish(error))
  }

  // ---- the outer end ----

  /** @returns false: wait */
  send(bytes: Buffer): boolean {
    return this.#inward.push(bytes.length, () => this.#handler!.onData(Buffer.from(bytes)))
  }

  sendEnd(): void {
    if (this.#inwardEnded) return
    this.#inwardEnded = true
    this.#inward.push(0, () => {
      this.#handler!.onEnd()
      this.#endIfDone()
    })
  }

  reading(paused: boolean): void {
    if (paused) this.#outward.pause()
    else this.#outward.resume()
  }

  get buffered(): number {
    return this.#inward.buffered
  }

  #endIfDone(): void {
    if (this.outer.ended && this.#inwardEnded && this.#inward.buffered === 0) this.#finish(null)
  }

  #finish(error: GatewayError | null): void {
    if (this.#over) return
    this.#over = true
    this.#inward.cut()
    this.#outward.cut()
    this.outer.ended = true
    this.outer.closed = true
    this.#closed()
    this.#handler?.onClose(error)
  }
}

class OuterEnd implements TunnelEnd {
  readonly #tunnel: MemoryTunnel
  readonly #waiting: Buffer[] = []
  #ending = false
  received = ''
  ended = false
  closed = false

  constructor(tunnel: MemoryTunnel) {
    this.#tunnel = tunnel
  }

  write(bytes: string | Buffer): void {
    this.#waiting.push(...pieces(bytes))
    this.drained()
  }

  drained(): void {
    while (this.#waiting.length > 0) if (!this.#tunnel.send(this.#waiting.shift()!)) return
    if (this.#ending) this.#tunnel.sendEnd()
  }

  end(): void {
    this.#ending = true
    if (this.#waiting.length === 0) this.#tunnel.sendEnd()
  }

  destroy(): void {
    this.#tunnel.destroy()
  }

  pause(): void {
    this.#tunnel.reading(true)
  }

  resume(): void {
    this.#tunnel.reading(false)
  }

  take(bytes: Buffer): void {
    this.received += bytes.toString('latin1')
  }

  get unsent(): number {
    let waiting = this.#tunnel.buffered
    for (const part of this.#waiting) waiting += part.length
    return waiting
  }
}
