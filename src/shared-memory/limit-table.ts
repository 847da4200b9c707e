/**
 * One number for each key of a limit, exact over all workers: a table in shared memory whose size never changes,
 * whatever number of keys clients bring. A key may stand in the sixteen cells of one set; in a set that is full it
 * takes the place of one whose number means nothing any more, or else of one of the owner who has most there.
 *
 * No locks, since a worker may end at any point. The number of a cell changes by one compare-and-swap, and carries a
 * part of its key: who still believes in a key that has lost its cell changes nothing. A key enters by one
 * compare-and-swap of the head of its set, which says where; whoever comes next writes what the first one has not
 * written yet. So no key ever stands in two cells, however many workers bring it at once.
 */
const WAYS = 16
const WAY_SHIFT = 4
/** Bytes of a slot, with its part of the head of the set. */
export const LIMIT_SLOT_BYTES = 4 + 4 + 4 + 8 + 8 / WAYS

const HEADER_BYTES = 64
const SECRET = 0
const EVICTIONS = 2
const BASE = 2

/** Of the number in a cell; the twelve above are of the key. */
export const LIMIT_VALUE_BITS = 52
const VALUE_BITS = BigInt(LIMIT_VALUE_BITS)
const VALUE_MASK = (1n << VALUE_BITS) - 1n
const HEAD_TAG_BITS = 32n
const HEAD_SEQUENCE = 36n

/** Part of a second, in which the end of a number is noted: 31 bits of them are eight years. */
const TICKS = 8 / 1_000

export class LimitTable {
  readonly slots: number
  /** For `hashPrefix`. */
  readonly secret: readonly [number, number]
  /** Monotonic milliseconds when the table began. */
  readonly base: number
  readonly #header: Int32Array<SharedArrayBuffer>
  readonly #heads: BigUint64Array<SharedArrayBuffer>
  readonly #states: BigUint64Array<SharedArrayBuffer>
  readonly #tags: Int32Array<SharedArrayBuffer>
  readonly #owners: Int32Array<SharedArrayBuffer>
  readonly #ends: Int32Array<SharedArrayBuffer>
  readonly #setMask: number
  /** As it was read last. */
  #raw = 0n

  /** @param buffer made by {@link LimitTable.allocate} */
  constructor(buffer: SharedArrayBuffer) {
    const slots = Math.floor((buffer.byteLength - HEADER_BYTES) / LIMIT_SLOT_BYTES)
    const sets = slots >> WAY_SHIFT
    this.slots = slots
    this.#setMask = sets - 1
    this.#header = new Int32Array(buffer, 0, HEADER_BYTES / 4)
    this.secret = [this.#header[SECRET]!, this.#header[SECRET + 1]!]
    this.base = new Float64Array(buffer, 0, HEADER_BYTES / 8)[BASE]!
    let at = HEADER_BYTES
    this.#heads = new BigUint64Array(buffer, at, sets)
    this.#states = new BigUint64Array(buffer, (at += sets * 8), slots)
    this.#tags = new Int32Array(buffer, (at += slots * 8), slots)
    this.#owners = new Int32Array(buffer, (at += slots * 4), slots)
    this.#ends = new Int32Array(buffer, at + slots * 4, slots)
  }

  /**
   * @param slots a power of two from 16
   * @param secret drawn by chance, known to nobody else
   * @param now monotonic milliseconds
   */
  static allocate(slots: number, secret: readonly [number, number], now: number): SharedArrayBuffer {
    if (slots < WAYS || (slots & (slots - 1)) !== 0) throw new TypeError(`slots must be a power of two: ${slots}`)
    const buffer = new SharedArrayBuffer(HEADER_BYTES + slots * LIMIT_SLOT_BYTES)
    new Int32Array(buffer, 0, 2).set(secret)
    new Float64Array(buffer, 0, HEADER_BYTES / 8)[BASE] = now
    return buffer
  }

  /** Keys that lost their cell before their number meant nothing any more. */
  get evictions(): number {
    return Atomics.load(this.#header, EVICTIONS) >>> 0
  }

  /** The cells in use, of numbers that still mean something. For tests and figures: it looks at each. */
  live(now: number): number {
    const tick = this.#tick(now)
    let live = 0
    for (let slot = 0; slot < this.slots; slot++) if (this.#tags[slot] !== 0 && this.#ends[slot]! > tick) live++
    return live
  }

  /**
   * The cell of a key, which takes one where it has none.
   *
   * @param low @param high the hash of the key
   * @param owner a number for whom the key is counted to
   * @param now monotonic milliseconds
   */
  place(low: number, high: number, owner: number, now: number): number {
    const set = high & this.#setMask
    const tag = tagOf(low)
    return this.#find(set, tag) ?? this.#insert(set, tag, owner, this.#tick(now))
  }

  /** The cell of a key, -1 where it has none. */
  find(low: number, high: number): number {
    return this.#find(high & this.#setMask, tagOf(low)) ?? -1
  }

  /**
   * The number of a key in its cell, 0 where it is new there.
   *
   * @returns -1: the cell is another key's by now
   */
  read(slot: number, low: number): number {
    const tag = tagOf(low)
    const raw = Atomics.load(this.#states, slot)
    this.#raw = raw
    if (Number(raw >> VALUE_BITS) === tag >>> 20) return Number(raw & VALUE_MASK)
    return Atomics.load(this.#tags, slot) === tag ? 0 : -1
  }

  /**
   * Replaces the number that was read last, by {@link read}.
   *
   * @param value a whole number of at most 52 bits
   * @param end monotonic milliseconds from when on the number means nothing
   * @returns false: number or cell are others by now, to be looked for anew
   */
  write(slot: number, low: number, value: number, end: number): boolean {
    const next = (BigInt(tagOf(low) >>> 20) << VALUE_BITS) | BigInt(value)
    if (Atomics.compareExchange(this.#states, slot, this.#raw, next) !== this.#raw) return false
    // A number that meant nothing any more may have lost its cell meanwhile.
    if (Atomics.load(this.#tags, slot) !== tagOf(low)) return false
    this.#ends[slot] = this.#tick(end) + 1
    return true
  }

  #tick(now: number): number {
    return Math.min(Math.floor((now - this.base) * TICKS), 0x7ffffffe)
  }

  #find(set: number, tag: number): number | undefined {
    const first = set << WAY_SHIFT
    for (let slot = first; slot < first + WAYS; slot++) if (Atomics.load(this.#tags, slot) === tag) return slot
    return undefined
  }

  #insert(set: number, tag: number, owner: number, tick: number): number {
    const first = set << WAY_SHIFT
    for (;;) {
      const head = Atomics.load(this.#heads, set)
      if (head !== 0n) this.#complete(set, head)
      const known = this.#find(set, tag)
      if (known !== undefined) return known
      const slot = this.#victim(first, owner, tick)
      const before = Atomics.load(this.#tags, slot)
      const state = Atomics.load(this.#states, slot)
      const lost = before !== 0 && this.#ends[slot]! > tick
      const entry = (BigInt(slot - first) << HEAD_TAG_BITS) | BigInt(tag >>> 0)
      const next = BigInt.asUintN(64, (((head >> HEAD_SEQUENCE) + 1n) << HEAD_SEQUENCE) | entry)
      if (Atomics.compareExchange(this.#heads, set, head, next) !== head) continue
      Atomics.compareExchange(this.#tags, slot, before, tag)
      // Its number is not that of the key before, even where both have these twelve bits.
      Atomics.compareExchange(this.#states, slot, state, BigInt(tag >>> 20) << VALUE_BITS)
      this.#owners[slot] = owner
      if (lost) Atomics.add(this.#header, EVICTIONS, 1)
      return slot
    }
  }

  /** Writes what the last one to enter a key has perhaps not written yet. */
  #complete(set: number, head: bigint): void {
    const slot = (set << WAY_SHIFT) + Number((head >> HEAD_TAG_BITS) & 15n)
    const tag = Number(head & 0xffffffffn) | 0
    const before = Atomics.load(this.#tags, slot)
    if (before === tag || Atomics.load(this.#heads, set) !== head) return
    Atomics.compareExchange(this.#tags, slot, before, tag)
  }

  /** An empty cell, or one whose number means nothing, or that of the owner who has most which ends first. */
  #victim(first: number, owner: number, tick: number): number {
    for (let slot = first; slot < first + WAYS; slot++)
      if (Atomics.load(this.#tags, slot) === 0 || this.#ends[slot]! <= tick) return slot
    // Who brings a key has one more than it has, so it loses one of its own where nobody has more.
    const own = this.#count(first, owner)
    let [whose, most] = [owner, own + 1]
    for (let slot = first; slot < first + WAYS; slot++) {
      const other = this.#owners[slot]!
      const count = this.#count(first, other)
      if (other !== owner && count > most) [whose, most] = [other, count]
    }
    // Sixteen owners with a key each, and here is one more.
    const any = whose === owner && own === 0
    let victim = -1
    for (let slot = first; slot < first + WAYS; slot++)
      if ((any || this.#owners[slot] === whose) && (victim < 0 || this.#ends[slot]! < this.#ends[victim]!))
        victim = slot
    return victim < 0 ? first : victim
  }

  #count(first: number, owner: number): number {
    let count = 0
    for (let slot = first; slot < first + WAYS; slot++) if (this.#owners[slot] === owner) count++
    return count
  }
}

/** 0 is the tag of an empty cell. */
function tagOf(low: number): number {
  return low === 0 ? 1 : low | 0
}
