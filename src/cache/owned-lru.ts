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
  readonly #dropped: (key: string, value: Value) => void
  /** Where {@link sweep} goes on. */
  #swept: Iterator<[string, string, Entry<Value>]> | null = null
  readonly #owners = new Map<string, Owned<Value>>()
  #bytes = 0
  #entries = 0
  #hits = 0
  #misses = 0
  #evictions = 0

  /**
   * @param maxBytes of all entries, as they are given to {@link set}
   * @param dropped hears of each entry that is forgotten, and neither replaced nor deleted
   */
  constructor(
    maxBytes: number,
    clock: Pick<Clock, 'monotonic'>,
    dropped: (key: string, value: Value) => void = () => {},
  ) {
    this.#maxBytes = maxBytes
    this.#clock = clock
    this.#dropped = dropped
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
    if (entry !== undefined) this.#drop(owner, key, entry)
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

  /**
   * Forgets the entry that a full map would.
   *
   * @returns its bytes; 0: there is none
   */
  evict(): number {
    const before = this.#bytes
    if (this.#entries > 0) this.#evict('')
    return before - this.#bytes
  }

  /** Forgets entries whose time is over. @param limit entries that are looked at */
  sweep(limit: number): void {
    const now = this.#clock.monotonic()
    this.#swept ??= this.#all()
    for (let i = 0; i < limit; i++) {
      const { done, value } = this.#swept.next()
      if (done === true) {
        this.#swept = null
        return
      }
      const [owner, key, entry] = value
      if (entry.expires <= now) this.#drop(owner, key, entry)
    }
  }

  *#all(): Generator<[string, string, Entry<Value>], void> {
    for (const [owner, { entries }] of this.#owners) for (const [key, entry] of entries) yield [owner, key, entry]
  }

  #drop(owner: string, key: string, { value }: Entry<Value>): void {
    this.delete(owner, key)
    this.#dropped(key, value)
  }

  /** @param inserting loses an entry of its own where no other owner has more */
  #evict(inserting: string): void {
    let largest = inserting
    let most = this.#owners.get(inserting)?.bytes ?? 0
    for (const [owner, { bytes }] of this.#owners) if (bytes > most) [largest, most] = [owner, bytes]
    const [[key, entry]] = this.#owners.get(largest)!.entries as unknown as [[string, Entry<Value>]]
    if (entry.expires > this.#clock.monotonic()) this.#evictions++
    this.#drop(largest, key, entry)
  }
}
