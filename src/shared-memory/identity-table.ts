/**
 * Names to slots, in shared memory: an open-addressed table of 64-bit digests in which a name's position *is* its slot.
 * An entry is one word, written by one compare-and-swap, so it exists whole or not at all whichever thread was ended
 * when. It belongs to no thread: a new control thread finds every name at the slot where the old one left it.
 *
 * Either one thread inserts and removes (control, for endpoints), or many insert and none removes. Both at once would
 * need an inserter to own the cell it has not filled yet, and that is a lock that a terminated thread leaves held.
 */
import { createHash } from 'node:crypto'

const EMPTY = 0n
const REMOVED = 1n

/** Slots that are never filled, so that a search for an absent name ends soon: one in eight. */
const RESERVE_SHIFT = 3

export class IdentityTable {
  readonly slots: number
  /** Names it takes at most. */
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

  /** How many names it holds. */
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
   * The slot of a name, made where there is none. Any number of threads may do this at once as long as none removes:
   * all take the first empty cell of the same chain, and the one that loses it sees there what it lost it to.
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

  /** As {@link insert}, but takes the place of a removed name as well. Only for the one thread that also removes. */
  insertOwned(digest: bigint): number {
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
   * Takes a name out. Cells before an empty one become empty again, so that removed ones do not pile up and lengthen
   * every search. Only for the one thread that inserts with {@link insertOwned}, and only once nobody uses the slot
   * (epoch.ts).
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

  /** Counts again what is there, after the one thread that writes was ended between a word and the count. */
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

/** The 64-bit name of something: SHA-256 cut short, never one of the two words that mean an empty or a removed cell. */
export function identityDigest(...parts: readonly (string | number)[]): bigint {
  const bytes = createHash('sha256').update(parts.join('\0')).digest()
  const digest = bytes.readBigUInt64LE(0)
  return digest <= REMOVED ? digest + 2n : digest
}
