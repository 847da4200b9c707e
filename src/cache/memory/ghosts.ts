/**
 * Which entries were evicted lately without having been asked for twice: who comes back soon is kept at once. A table
 * of fingerprints whose size never changes; where four meet, the oldest goes. All workers write to it, since who comes
 * back may come to another one; a fingerprint that two of them write at once is nobody's, or one that is too old.
 */
import { GHOST_WAYS, GHOSTS } from './layout.ts'

const FINGERPRINT = 0
const STAMP = 1
/** Stamps that a worker takes at a time: all workers count in one word. */
const STAMPS = 16

export class Ghosts {
  readonly #words: Int32Array<SharedArrayBuffer>
  readonly #at: number
  readonly #buckets: number
  /** The last stamp, and how many follow that are taken already. */
  #now = 0
  #left = 0

  /** @param at the first of two words for each way of each bucket */
  constructor(words: Int32Array<SharedArrayBuffer>, at: number, buckets: number) {
    this.#words = words
    this.#at = at
    this.#buckets = buckets
  }

  /** @param hash upper half of the hash of its key */
  add(hash: number): void {
    const first = this.#bucket(hash)
    const now = this.#stamp()
    let oldest = first
    for (let at = first; at < first + GHOST_WAYS * 2; at += 2) {
      if (this.#words[at + FINGERPRINT] === 0) {
        oldest = at
        break
      }
      if (this.#age(at, now) > this.#age(oldest, now)) oldest = at
    }
    this.#words[oldest + FINGERPRINT] = fingerprintOf(hash)
    this.#words[oldest + STAMP] = now
  }

  /** Forgets one. @param window how many were added since, at most @returns whether it was known */
  take(hash: number, window: number): boolean {
    const first = this.#bucket(hash)
    const fingerprint = fingerprintOf(hash)
    for (let at = first; at < first + GHOST_WAYS * 2; at += 2) {
      if (this.#words[at + FINGERPRINT] !== fingerprint) continue
      this.#words[at + FINGERPRINT] = 0
      return this.#age(at, (Atomics.load(this.#words, GHOSTS) - this.#left) | 0) <= window
    }
    return false
  }

  #stamp(): number {
    if (this.#left === 0) {
      this.#now = Atomics.add(this.#words, GHOSTS, STAMPS)
      this.#left = STAMPS
    }
    this.#left--
    this.#now = (this.#now + 1) | 0
    return this.#now
  }

  /** Below 0: another worker has added it meanwhile. */
  #age(at: number, now: number): number {
    return (now - this.#words[at + STAMP]!) | 0
  }

  #bucket(hash: number): number {
    return this.#at + Math.floor(((hash >>> 0) / 2 ** 32) * this.#buckets) * GHOST_WAYS * 2
  }
}

/** 0 is nobody's. */
function fingerprintOf(hash: number): number {
  return hash === 0 ? 1 : hash
}
