/** Stores in the memory of one worker, which share a number of bytes: see {@link OwnedLru}. */
import type { Clock, Milliseconds } from '../lib/clock.ts'
import { OwnedLru, type OwnedLruStatistics } from './owned-lru.ts'
import type { Store, StoreScope, Stores } from './store.ts'

export interface MemoryStoreBounds {
  /** Of all keys and values, and what keeping them takes. */
  readonly bytes: number
  readonly maxValueBytes: number
}

export interface MemoryStoreStatistics extends OwnedLruStatistics {
  /** Values that were not kept, because they are too long. */
  readonly refused: number
}

/** What an entry takes besides its key and value: map slot, object, array and its buffer. */
const ENTRY_BYTES = 256

export class MemoryStores implements Stores {
  readonly #bounds: MemoryStoreBounds
  readonly #entries: OwnedLru<Uint8Array>
  #refused = 0

  constructor(bounds: MemoryStoreBounds, clock: Clock) {
    this.#bounds = bounds
    this.#entries = new OwnedLru(bounds.bytes, clock)
  }

  open({ owner, name }: StoreScope): Store {
    // Unambiguous, whatever characters name and key have.
    const keyOf = (key: string): string => `${name.length} ${name} ${key}`
    return {
      maxValueBytes: this.#bounds.maxValueBytes,
      get: async (key, signal) => {
        signal?.throwIfAborted()
        return this.#entries.get(owner, keyOf(key))
      },
      set: async (key, value, ttl, signal) => {
        signal?.throwIfAborted()
        return this.#set(owner, keyOf(key), value, ttl)
      },
      delete: async (key, signal) => {
        signal?.throwIfAborted()
        this.#entries.delete(owner, keyOf(key))
      },
    }
  }

  statistics(): MemoryStoreStatistics {
    return { ...this.#entries.statistics, refused: this.#refused }
  }

  #set(owner: string, key: string, value: Uint8Array, ttl: Milliseconds): boolean {
    const bytes = ENTRY_BYTES + 2 * key.length + value.length
    if (ttl > 0 && (value.length > this.#bounds.maxValueBytes || bytes > this.#bounds.bytes)) {
      this.#entries.delete(owner, key)
      this.#refused++
      return false
    }
    // A copy of its own: what is given may be a window into a far larger buffer, or change.
    return this.#entries.set(owner, key, new Uint8Array(value), bytes, ttl)
  }
}
