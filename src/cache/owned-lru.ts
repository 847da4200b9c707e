/**
 * Values by key that share a number of bytes: each owner's entries are in the order of their last use, and a full map
 * forgets the last in this order of the owner who has the most bytes. So an owner below an equal share never loses an
 * entry to another.
 */
import type { Clock, Milliseconds } from '../lib/clock.ts'

export interface OwnedLruStatistics {
  readonly entries: number
  readonly bytes: number
  readonly hits: number
  readonly misses: number
  /** Forgotten before their time, to make room. */
  readonly evictions: number
}

interface Entry<Value> {
  readonly value: Value
  readonly bytes: number
  /** Monotonic milliseconds. */
  readonly expires: Milliseconds
}

interface Owned<Value> {
  bytes: number
  /** The least recently used first. */
  readonly entries: Map<string, Entry<Value>>
}

export class OwnedLru<Value> {
  readonly #maxBytes: number
  readonly #clock: Pick<Clock, 'monotonic'>
  readonly #owners = new Map<string, Owned<Value>>()
  #bytes = 0
  #entries = 0
  #hits = 0
  #misses = 0
  #evictions = 0

  /** @param maxBytes of all entries, as they are given to {@link set} */
  constructor(maxBytes: number, clock: Pick<Clock, 'monotonic'>) {
    this.#maxBytes = maxBytes
    this.#clock = clock
  }

  get statistics(): OwnedLruStatistics {
    return {
      entries: this.#entries,
      bytes: this.#bytes,
      hits: this.#hits,
      misses: this.#misses,
      evictions: this.#evictions,
    }
  }

  get(owner: string, key: string): Value | undefined {
    const entries = this.#owners.get(owner)?.entries
    const entry = entries?.get(key)
    if (entry !== undefined && entry.expires > this.#clock.monotonic()) {
      this.#hits++
      entries!.delete(key)
      entries!.set(key, entry)
      return entry.value
    }
    this.#misses++
    if (entry !== undefined) this.delete(owner, key)
    return undefined
  }

  /**
   * @param bytes what the entry takes, with its key
   * @param ttl at 0 and below nothing is kept
   * @returns false: it is not kept, and neither is what was there before
   */
  set(owner: string, key: string, value: Value, bytes: number, ttl: Milliseconds): boolean {
    this.delete(owner, key)
    if (!(ttl > 0) || bytes > this.#maxBytes) return false
    let owned = this.#owners.get(owner)
    if (owned === undefined) this.#owners.set(owner, (owned = { bytes: 0, entries: new Map() }))
    owned.entries.set(key, { value, bytes, expires: this.#clock.monotonic() + ttl })
    owned.bytes += bytes
    this.#bytes += bytes
    this.#entries++
    while (this.#bytes > this.#maxBytes) this.#evict(owner)
    // The new entry itself may be what had to go: all others have less.
    return owned.entries.has(key)
  }

  delete(owner: string, key: string): void {
    const owned = this.#owners.get(owner)
    const entry = owned?.entries.get(key)
    if (owned === undefined || entry === undefined) return
    owned.entries.delete(key)
    owned.bytes -= entry.bytes
    this.#bytes -= entry.bytes
    this.#entries--
    if (owned.entries.size === 0) this.#owners.delete(owner)
  }

  /** @param inserting loses an entry of its own where no other owner has more */
  #evict(inserting: string): void {
    let largest = inserting
    let most = this.#owners.get(inserting)?.bytes ?? 0
    for (const [owner, { bytes }] of this.#owners) if (bytes > most) [largest, most] = [owner, bytes]
    const [oldest] = this.#owners.get(largest)!.entries
    this.delete(largest, oldest![0])
    if (oldest![1].expires > this.#clock.monotonic()) this.#evictions++
  }
}
