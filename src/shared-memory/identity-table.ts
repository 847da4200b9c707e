/**
 * Maps names to slots in shared memory: an open-addressed table of 64-bit digests in which a name's position *is* its
 * slot. An entry is one word, written by one compare-and-swap, so it is complete or absent at any point at which a
 * thread is terminated. No thread owns the table: a new control thread finds every name at its slot.
 *
 * Either one thread inserts and removes (control, for endpoints), or many insert and none removes. Both together would
 * need an inserter to reserve a cell before it fills it, which is a lock that a terminated thread never releases.
 */
import { createHash } from 'node:crypto'

const EMPTY = 0n
const REMOVED = 1n

/** One in eight slots stays empty, so that the search for an absent name ends soon. */
const RESERVE_SHIFT = 3

export class IdentityTable {
  readonly slots: number
  /** Maximum number of names. */
  readonly capacity: number
  readonly #words: BigUint64Array<SharedArrayBuffer>
  readonly #count: Int32Array<SharedArrayBuffer>
  readonly #mask: number

  constructor(buffer: SharedArrayBuffer) {
    this.#count = new Int32Array(buffer, 0, 2)
    this.#words = new BigUint64Array(buffer, 8)
    this.slots = this.#words.length
    this.capacity = this.slots - (this.slots >> RESERVE_SHIFT)
    this.#mask = this.slots - 1
  }

  /** @param slots a power of two; seven eighths of it can be used */
  static allocate(slots: number): SharedArrayBuffer {
    if (slots < 8 || (slots & (slots - 1)) !== 0) throw new TypeError(`slots must be a power of two from 8: ${slots}`)
    return new SharedArrayBuffer(8 + slots * BigUint64Array.BYTES_PER_ELEMENT)
  }

  /** Number of names. */
  get size(): number {
    return Atomics.load(this.#count, 0)
  }

  /** @returns the name's slot, or -1 */
  find(digest: bigint): number {
    let at = Number(digest & BigInt(this.#mask))
    for (let probes = 0; probes < this.slots; probes++) {
      const word = Atomics.load(this.#words, at)
      if (word === digest) return at
      if (word === EMPTY) return -1
      at = (at + 1) & this.#mask
    }
    return -1
  }

  /**
   * Returns the slot of a name, and inserts it if absent. Any number of threads may insert at once while none removes:
   * all try the first empty cell of the same chain, and a thread that loses the race reads the winner's name there.
   *
   * @returns -1 when the table is full
   */
  insert(digest: bigint): number {
    let at = Number(digest & BigInt(this.#mask))
    for (let probes = 0; probes < this.slots; probes++) {
      let word = Atomics.load(this.#words, at)
      if (word === EMPTY) {
        if (this.size >= this.capacity) return -1
        word = Atomics.compareExchange(this.#words, at, EMPTY, digest)
        if (word === EMPTY) {
          Atomics.add(this.#count, 0, 1)
          return at
        }
      }
      if (word === digest) return at
      at = (at + 1) & this.#mask
    }
    return -1
  }

  /** Like {@link insert}, but also reuses cells of removed names. Only for the one thread that also removes. */
  insertExclusive(digest: bigint): number {
    const found = this.find(digest)
    if (found !== -1) return found
    if (this.size >= this.capacity) return -1
    let at = Number(digest & BigInt(this.#mask))
    for (let probes = 0; probes < this.slots; probes++) {
      if (Atomics.load(this.#words, at) <= REMOVED) {
        Atomics.store(this.#words, at, digest)
        Atomics.add(this.#count, 0, 1)
        return at
      }
      at = (at + 1) & this.#mask
    }
    return -1
  }

  /**
   * Removes a name. Removed cells before an empty one become empty again, so that they do not accumulate and lengthen
   * every search. Only for the one thread that inserts with {@link insertExclusive}, and only once no worker uses the
   * slot (slot-reclaimer.ts).
   */
  remove(slot: number): void {
    if (Atomics.load(this.#words, slot) <= REMOVED) return
    Atomics.store(this.#words, slot, REMOVED)
    Atomics.sub(this.#count, 0, 1)
    if (Atomics.load(this.#words, (slot + 1) & this.#mask) !== EMPTY) return
    let at = slot
    while (Atomics.load(this.#words, at) === REMOVED) {
      Atomics.store(this.#words, at, EMPTY)
      at = (at - 1) & this.#mask
    }
  }

  /** Recounts the names, after the only writer was terminated between storing a word and the count. */
  recount(): void {
    let count = 0
    for (const _ of this.used()) count++
    Atomics.store(this.#count, 0, count)
  }

  /** Every slot that holds a name. */
  *used(): Generator<number> {
    for (let at = 0; at < this.slots; at++) if (Atomics.load(this.#words, at) > REMOVED) yield at
  }
}

/** A 64-bit digest of a name: truncated SHA-256, never one of the two words that mark an empty or a removed cell. */
export function identityDigest(...parts: readonly (string | number)[]): bigint {
  const bytes = createHash('sha256').update(parts.join('\0')).digest()
  const digest = bytes.readBigUInt64LE(0)
  return digest <= REMOVED ? digest + 2n : digest
}
