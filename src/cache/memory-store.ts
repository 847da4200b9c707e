/**
 * Stores in the memory of one worker, which share a number of bytes: each owner's entries are in the order of their
 * last use, and full stores forget the last in this order of the owner who has the most bytes. So an owner below an
 * equal share never loses an entry to another.
 */
import type { Clock, Milliseconds } from '../lib/clock.ts'
import type { Store, StoreScope, Stores } from './store.ts'

export interface MemoryStoreBounds {
  /** Of all keys and values, and what keeping them takes. */
  readonly bytes: number
  readonly maxValueBytes: number
}

export interface MemoryStoreStatistics {
  readonly entries: number
  readonly bytes: number
  readonly hits: number
  readonly misses: number
  /** Forgotten before their time, to make room. */
  readonly evictions: number
  /** Values that were not kept, because they are too long. */
  readonly refused: number
}

/** What an entry takes besides its key and value: map slot, object, array and its buffer. */
const ENTRY_BYTES = 256

interface Entry {
  readonly value: Uint8Array
  readonly bytes: number
  /** Monotonic milliseconds. */
  readonly expires: Milliseconds
}

interface Owned {
  bytes: number
  /** The least recently used first. */
  readonly entries: Map<string, Entry>
}

export class MemoryStores implements Stores {
  readonly #bounds: MemoryStoreBounds
  readonly #clock: Clock
  readonly #owners = new Map<string, Owned>()
  #bytes = 0
  #entries = 0
  #hits = 0
  #misses = 0
  #evictions = 0
  #refused = 0

  constructor(bounds: MemoryStoreBounds, clock: Clock) {
    this.#bounds = bounds
    this.#clock = clock
  }

  open({ owner, name }: StoreScope): Store {
    // Unambiguous, whatever characters name and key have.
    const keyOf = (key: string): string => `${name.length} ${name} ${key}`
    return {
      maxValueBytes: this.#bounds.maxValueBytes,
      get: async (key, signal) => {
        signal?.throwIfAborted()
        return this.#get(owner, keyOf(key))
      },
      set: async (key, value, ttl, signal) => {
        signal?.throwIfAborted()
        return this.#set(owner, keyOf(key), value, ttl)
      },
      delete: async (key, signal) => {
        signal?.throwIfAborted()
        this.#delete(owner, keyOf(key))
      },
    }
  }

  statistics(): MemoryStoreStatistics {
    return {
      entries: this.#entries,
      bytes: this.#bytes,
      hits: this.#hits,
      misses: this.#misses,
      evictions: this.#evictions,
      refused: this.#refused,
    }
  }

  #get(owner: string, key: string): Uint8Array | undefined {
    const entries = this.#owners.get(owner)?.entries
    const entry = entries?.get(key)
    if (entry !== undefined && entry.expires > this.#clock.monotonic()) {
      this.#hits++
      entries!.delete(key)
      entries!.set(key, entry)
      return entry.value
    }
    this.#misses++
    if (entry !== undefined) this.#delete(owner, key)
    return undefined
  }

  #set(owner: string, key: string, value: Uint8Array, ttl: Milliseconds): boolean {
    this.#delete(owner, key)
    if (!(ttl > 0)) return false
    const bytes = ENTRY_BYTES + 2 * key.length + value.length
    if (value.length > this.#bounds.maxValueBytes || bytes > this.#bounds.bytes) {
      this.#refused++
      return false
    }
    let owned = this.#owners.get(owner)
    if (owned === undefined) this.#owners.set(owner, (owned = { bytes: 0, entries: new Map() }))
    // A copy of its own: what is given may be a window into a far larger buffer, or change.
    owned.entries.set(key, { value: new Uint8Array(value), bytes, expires: this.#clock.monotonic() + ttl })
    owned.bytes += bytes
    this.#bytes += bytes
    this.#entries++
    while (this.#bytes > this.#bounds.bytes) this.#evict(owner)
    // The new entry itself may be what had to go: all others have less.
    return owned.entries.has(key)
  }

  #delete(owner: string, key: string): void {
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
    this.#delete(largest, oldest![0])
    if (oldest![1].expires > this.#clock.monotonic()) this.#evictions++
  }
}
