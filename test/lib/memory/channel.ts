/** One direction of a connection in memory: deliveries in order, each in a turn of its own, with back-pressure. */

/** Bytes that may lie in a channel before its writer is asked to wait. */
const HIGH_WATER = 128 * 1024

interface Delivery {
  readonly bytes: number
  readonly deliver: () => void
}

export class Channel {
  readonly #deliveries: Delivery[] = []
  readonly #drained: () => void
  #paused = false
  #scheduled = false
  #full = false
  #cut = false
  /** Bytes that were not delivered. */
  buffered = 0

  /** @param drained there is room again, after a push that found none */
  constructor(drained: () => void) {
    this.#drained = drained
  }

  /** @returns false: the writer should wait */
  push(bytes: number, deliver: () => void): boolean {
    if (this.#cut) return true
    this.buffered += bytes
    this.#deliveries.push({ bytes, deliver })
    this.#schedule()
    this.#full = this.buffered >= HIGH_WATER
    return !this.#full
  }

  get room(): boolean {
    return !this.#full
  }

  pause(): void {
    this.#paused = true
  }

  resume(): void {
    this.#paused = false
    this.#schedule()
  }

  /** Nothing is delivered any more; what lies here stays counted. */
  cut(): void {
    this.#cut = true
    this.#deliveries.length = 0
  }

  #schedule(): void {
    if (this.#scheduled || this.#paused || this.#deliveries.length === 0) return
    this.#scheduled = true
    queueMicrotask(() => {
      this.#scheduled = false
      this.#next()
    })
  }

  #next(): void {
    const next = this.#paused ? undefined : this.#deliveries.shift()
    if (next === undefined) return
    this.buffered -= next.bytes
    next.deliver()
    if (this.#full && this.buffered < HIGH_WATER / 2 && !this.#cut) {
      this.#full = false
      this.#drained()
    }
    this.#schedule()
  }
}

/** Bytes of text, in pieces that an upstream or a client might send at a time. */
export function pieces(bytes: string | Buffer): Buffer[] {
  const all = typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes
  const parts: Buffer[] = []
  for (let at = 0; at < all.length; at += PIECE) parts.push(all.subarray(at, at + PIECE))
  return parts
}

const PIECE = 16 * 1024
