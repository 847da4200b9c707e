/**
 * Requests that come again in the same bytes, each with what answers it. Bounded in requests and bytes. Two requests
 * are the same where every byte of their heads is, and they came by the same listener: the hash only says where to
 * look.
 */
import type { Peer, PeerListener } from '../transport/peer.ts'

/** Of requests, each in the one place that its hash gives it. */
const PLACES = 1_024
/** Bytes of a head; longer ones are read anew each time. */
const MAX_HEAD = 1_024
/** Bytes of heads and responses; beyond them all are forgotten, and those that go on coming are soon there again. */
const MAX_BYTES = 2 * 1024 * 1024
/** Of a head, this many bytes make its hash, evenly spread. */
const SAMPLES = 32

/** What answers a request that has come again. */
export interface Repeat {
  /** @returns head and body, a character for each byte; null: it does not any more, and the request is to be read */
  again(peer: Peer): string | null
}

interface Recurring {
  readonly head: Uint8Array
  readonly listener: PeerListener
  readonly repeat: Repeat
  readonly bytes: number
}

export class RecurringRequests {
  readonly #places: (Recurring | null)[] = new Array(PLACES).fill(null)
  /** Hashes of what has come once at least. */
  readonly #seen = new Int32Array(PLACES)
  /** Of all that is kept; 0: nothing is. */
  #bytes = 0

  /** Whatever led to the responses may be different now: tables, settings. */
  clear(): void {
    if (this.#bytes === 0) return
    this.#places.fill(null)
    this.#bytes = 0
  }

  /** @param bytes of which the first `length` are all that was read of a connection between two requests */
  find({ listener }: Peer, bytes: Uint8Array, length: number): Repeat | null {
    if (this.#bytes === 0 || length > MAX_HEAD) return null
    const known = this.#places[hashOf(bytes, length) & (PLACES - 1)]!
    if (known === null || known.listener !== listener || known.head.length !== length) return null
    const { head } = known
    for (let i = 0; i < length; i++) if (head[i] !== bytes[i]) return null
    return known.repeat
  }

  /** Whether this head has come before, so that it is worth keeping. */
  wants(head: Uint8Array): boolean {
    if (head.length > MAX_HEAD) return false
    const hash = hashOf(head, head.length)
    const place = hash & (PLACES - 1)
    if (this.#seen[place] === hash) return true
    this.#seen[place] = hash
    return false
  }

  /** @param head copied @param bytes that the repeat takes */
  keep({ listener }: Peer, head: Uint8Array, repeat: Repeat, bytes: number): void {
    if (this.#bytes + bytes + head.length > MAX_BYTES) this.clear()
    const place = hashOf(head, head.length) & (PLACES - 1)
    this.#bytes -= this.#places[place]?.bytes ?? 0
    const recurring = { head: Uint8Array.from(head), listener, repeat, bytes: bytes + head.length }
    this.#places[place] = recurring
    this.#bytes += recurring.bytes
  }
}

/** FNV-1a (draft-eastlake-fnv) over some of the bytes: who makes others meet in a place gains nothing. */
function hashOf(bytes: Uint8Array, length: number): number {
  const step = length > SAMPLES ? Math.floor(length / SAMPLES) : 1
  let hash = 0x811c9dc5 ^ length
  for (let i = length - 1; i >= 0; i -= step) hash = Math.imul(hash ^ bytes[i]!, 0x01000193)
  return hash ^ (hash >>> 15)
}
