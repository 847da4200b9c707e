/**
 * Leads from keys to entries: a table of words whose size never changes. A key may stand in one of the eight slots of
 * two buckets. A slot is taken and emptied by one compare-and-swap of its entry. The tag beside it only saves looking
 * at most other keys: it is written behind the entry, and keys are compared whole, so where a thread ends in between,
 * or somebody looks, that entry is not found, and no other one is found in its place.
 */
import { BUCKET_SLOTS, type Layout } from './layout.ts'
import type { Readers } from './readers.ts'
import type { Records } from './record.ts'

export class EntryIndex {
  readonly #records: Records
  readonly #words: Int32Array<SharedArrayBuffer>
  readonly #at: number
  readonly #buckets: number
  /** Where the last entry that {@link find} returned stands. */
  slot = 0

  constructor(records: Records, layout: Layout) {
    this.#records = records
    this.#words = records.words
    this.#at = layout.indexAt
    this.#buckets = layout.indexBuckets
  }

  get slots(): number {
    return this.#buckets * BUCKET_SLOTS
  }

  /**
   * Reads entries where a tag is that of the key, and enters before it does: most keys that are not there cost no more
   * than two lines of the table.
   *
   * @param readers left by the caller
   * @returns the entry of this key, 0: there is none
   */
  find(low: number, high: number, key: Uint8Array, length: number, readers: Readers): number {
    const first = this.#bucket(high)
    const found = this.#findIn(first, low, key, length, readers)
    if (found !== 0) return found
    const second = this.#second(low, high)
    return second === first ? 0 : this.#findIn(second, low, key, length, readers)
  }

  /** The entry in a slot, 0: none. */
  at(slot: number): number {
    return Atomics.load(this.#words, this.#at + slot * 2 + 1)
  }

  /** @returns false: somebody else has done so, or there is another entry */
  remove(slot: number, entry: number): boolean {
    return this.replace(slot, entry, 0)
  }

  /** One entry by another of the same key. @returns false: that one is not there any more */
  replace(slot: number, entry: number, by: number): boolean {
    return Atomics.compareExchange(this.#words, this.#at + slot * 2 + 1, entry, by) === entry
  }

  /**
   * A free slot that a key may take, of the bucket with more of them.
   *
   * @returns -1: there is none
   */
  vacant(low: number, high: number): number {
    const first = this.#bucket(high)
    const second = this.#second(low, high)
    return this.#vacantIn(this.#used(second) < this.#used(first) ? second : first)
  }

  /** First slots of the two buckets in which a key may stand. */
  buckets(low: number, high: number): readonly [number, number] {
    return [this.#bucket(high), this.#second(low, high)]
  }

  /** @returns false: somebody else has taken the slot */
  insert(slot: number, entry: number, low: number): boolean {
    const word = this.#at + slot * 2
    if (Atomics.compareExchange(this.#words, word + 1, 0, entry) !== 0) return false
    // Whoever claims the key next sees it: the end of this claim is written behind it.
    this.#words[word] = low
    return true
  }

  #findIn(bucket: number, low: number, key: Uint8Array, length: number, readers: Readers): number {
    const words = this.#words
    const end = bucket + BUCKET_SLOTS
    for (let slot = bucket, at = this.#at + bucket * 2; slot < end; slot++, at += 2) {
      if (words[at] !== low) continue
      readers.enter()
      const entry = Atomics.load(words, at + 1)
      if (entry === 0 || !this.#records.hasKey(entry, key, length)) continue
      this.slot = slot
      return entry
    }
    return 0
  }

  // Where others write meanwhile, whoever inserts finds out: see {@link insert}.

  #vacantIn(bucket: number): number {
    const end = bucket + BUCKET_SLOTS
    for (let slot = bucket, at = this.#at + bucket * 2 + 1; slot < end; slot++, at += 2)
      if (this.#words[at] === 0) return slot
    return -1
  }

  #used(bucket: number): number {
    const first = this.#at + bucket * 2 + 1
    let used = 0
    for (let at = first; at < first + BUCKET_SLOTS * 2; at += 2) if (this.#words[at] !== 0) used++
    return used
  }

  #second(low: number, high: number): number {
    return this.#bucket(Math.imul(low ^ (high >>> 15), 0x9e3779b1))
  }

  #bucket(hash: number): number {
    return Math.floor(((hash >>> 0) / 2 ** 32) * this.#buckets) * BUCKET_SLOTS
  }
}
