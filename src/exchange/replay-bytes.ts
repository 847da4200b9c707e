/**
 * What was sent of a request's body, for another attempt (RFC 9113 §8.7). Bounded for each request and for all of the
 * thread: uploads that take hours must not hold memory for a retry that will never be.
 */
import { HELD_BODIES } from '../transport/held-memory.ts'
import { HeldBytes } from './held-bytes.ts'

/** Bytes of memory for one request; a body that is larger is sent once. */
export const REPLAY_BYTES = 64 * 1024
/** Bytes of memory for all requests of the thread; beyond, bodies are sent once. */
export const ALL_REPLAY_BYTES = 16 * 1024 * 1024

let kept = 0

/** @returns bytes of memory, over all requests of the thread */
export function replayBytes(): number {
  return kept
}

export class ReplayBytes {
  readonly #held = new HeldBytes()
  #size = 0
  /** Some of what was sent is not kept. */
  incomplete = false

  add(chunk: Uint8Array): void {
    if (this.incomplete) return
    const size = this.#held.add(chunk)
    this.#count(size)
    if (size > REPLAY_BYTES || kept > ALL_REPLAY_BYTES || HELD_BODIES.pressed) this.drop()
  }

  #count(size: number): void {
    kept += size - this.#size
    HELD_BODIES.countDroppable(size - this.#size)
    this.#size = size
  }

  /** All of it, in order; none is kept from here. */
  take(): readonly Uint8Array[] {
    this.#count(0)
    return this.#held.take()
  }

  /** No other attempt follows. */
  drop(): void {
    this.incomplete = true
    this.take()
  }
}
