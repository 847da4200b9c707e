/**
 * Which entries were evicted lately without having been asked for twice: who comes back soon is kept at once. A table
 * of fingerprints whose size never changes; where four meet, the oldest goes.
 */
import { GHOST_WAYS } from './layout.ts'

const FINGERPRINT = 0
const STAMP = 1

export class Ghosts {
  readonly #words: Int32Array<SharedArrayBuffer>
  readonly #at: number
  readonly #buckets: number
  /** Counts what has been added, and goes round. */
  #now = 0

  /** @param at the first of two words for each way of each bucket */
  constructor(words: Int32Array<SharedArrayBuffer>, at: number, buckets: number) {
    this.#words = words
    this.#at = at
    this.#buckets = buckets
  }

  add(low: number, high: number): void {
    const first = this.#bucket(high)
    this.#now = (this.#now + 1) | 0
    let oldest = first
    for (let at = first; at < first + GHOST_WAYS * 2; at += 2) {
      if (this.#words[at + FINGERPRINT] === 0) {
        oldest = at
        break
      }
      if (this.#age(at) > this.#age(oldest)) oldest = at
    }
    this.#words[oldest + FINGERPRINT] = low === 0 ? 1 : low
    this.#words[oldest + STAMP] = this.#now
  }

  /** Forgets one. @param window how many were added since, at most @returns whether it was known */
  take(low: number, high: number, window: number): boolean {
    const first = this.#bucket(high)
    const fingerprint = low === 0 ? 1 : low
    for (let at = first; at < first + GHOST_WAYS * 2; at += 2) {
      if (this.#words[at + FINGERPRINT] !== fingerprint) continue
      this.#words[at + FINGERPRINT] = 0
      return this.#age(at) <= window
    }
    return false
  }

  #age(at: number): number {
    return (this.#now - this.#words[at + STAMP]!) >>> 0
  }

  #bucket(high: number): number {
    return this.#at + Math.floor(((high >>> 0) / 2 ** 32) * this.#buckets) * GHOST_WAYS * 2
  }
}
