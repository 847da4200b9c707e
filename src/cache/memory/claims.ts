/**
 * Who fetches what: one fill a key in the process. A row stands for each fill under way; a bucket is one word of 64
 * bits that names up to four rows, so one compare-and-swap decides who claims a key, whatever others claim meanwhile.
 * Keys are compared whole. Where a bucket is full, the request fetches without a claim.
 *
 * Rows belong to workers: the supervisor fails those of one that died. A row is used again after all others of the
 * worker; who still follows it sees another serial then.
 */
import type { Doorbells } from '../../shared-memory/doorbells.ts'
import { CLAIM_WAYS, type Layout, ROW_WORDS, UNIT_BYTES } from './layout.ts'
import { KEY_RECORD_AT, type Records, STATE, State } from './record.ts'

const ROW_SERIAL = 0
const ROW_STATE = 1
const ROW_HASH_LOW = 2
const ROW_HASH_HIGH = 3
const ROW_KEY = 4
const ROW_KEY_BYTES = 5
const ROW_ENTRY = 6
/** Bits of the workers that follow. */
const ROW_FOLLOWERS = 8
const FOLLOWER_BITS = (ROW_WORDS - ROW_FOLLOWERS) * 32

export const RowState = {
  Free: 0,
  /** There is no head yet. */
  Waiting: 1,
  /** The entry is there and grows. */
  Filling: 2,
  /** It is under its key, or has been. */
  Recorded: 3,
  Failed: 4,
} as const
export type RowState = (typeof RowState)[keyof typeof RowState]
/** How the fill of a row may end. */
export type RowEnd = typeof RowState.Recorded | typeof RowState.Failed

const WAY_BITS = 64 / CLAIM_WAYS
const WAY_MASK = (1n << BigInt(WAY_BITS)) - 1n

/** A claim that was made or found. */
export interface Claimed {
  readonly row: number
  readonly serial: number
}

export class Claims {
  readonly #records: Records
  readonly #words: Int32Array<SharedArrayBuffer>
  readonly #buckets: BigUint64Array<SharedArrayBuffer>
  readonly #layout: Layout
  readonly #bells: Doorbells
  readonly #worker: number
  /** Rows of this worker, in the order in which they are used again. */
  readonly #free: Int32Array
  #next = 0
  #freeCount: number

  constructor(records: Records, layout: Layout, bells: Doorbells, worker: number) {
    this.#records = records
    this.#words = records.words
    this.#buckets = new BigUint64Array(records.words.buffer)
    this.#layout = layout
    this.#bells = bells
    this.#worker = worker
    this.#free = Int32Array.from({ length: layout.rows }, (_, i) => worker * layout.rows + i)
    this.#freeCount = layout.rows
  }

  /**
   * The fill under way of a key, which this worker follows from now on.
   *
   * @returns undefined: there is none
   */
  follow(low: number, high: number, key: Uint8Array, length: number): Claimed | undefined {
    const bucket = Atomics.load(this.#buckets, this.#bucket(high))
    for (let way = 0; way < CLAIM_WAYS; way++) {
      const row = rowIn(bucket, way)
      if (row < 0) continue
      const serial = this.serial(row)
      if ((serial & 1) !== 0 || !this.#isOf(row, low, high, key, length)) continue
      const bit = this.#worker % FOLLOWER_BITS
      Atomics.or(this.#words, this.#at(row) + ROW_FOLLOWERS + (bit >> 5), 1 << (bit & 31))
      // It was perhaps over, and the row another's, when the bit was set.
      if (this.serial(row) === serial) return { row, serial }
    }
    return undefined
  }

  /**
   * Claims a key that nobody claims; not while {@link full}.
   *
   * @param keyRecord the key in memory of this worker
   * @returns undefined: somebody else does, or there is no place
   */
  claim(low: number, high: number, keyRecord: number, key: Uint8Array, length: number): Claimed | undefined {
    const bucket = this.#bucket(high)
    const row = this.#free[this.#next]!
    const serial = this.#prepare(row, low, high, keyRecord, length)
    for (;;) {
      const before = Atomics.load(this.#buckets, bucket)
      const way = this.#vacant(before, low, high, key, length)
      if (way < 0) {
        Atomics.store(this.#words, this.#at(row) + ROW_STATE, RowState.Free)
        return undefined
      }
      const after = before | (BigInt(row + 1) << BigInt(way * WAY_BITS))
      if (Atomics.compareExchange(this.#buckets, bucket, before, after) !== before) continue
      this.#next = (this.#next + 1) % this.#layout.rows
      this.#freeCount--
      return { row, serial }
    }
  }

  /** Whether this worker has as many fills as it may have. */
  get full(): boolean {
    return this.#freeCount === 0
  }

  serial(row: number): number {
    return Atomics.load(this.#words, this.#at(row) + ROW_SERIAL)
  }

  state(row: number): RowState {
    return Atomics.load(this.#words, this.#at(row) + ROW_STATE) as RowState
  }

  /** What is being filled, 0: no head yet, or no fill any more. */
  entry(row: number): number {
    return Atomics.load(this.#words, this.#at(row) + ROW_ENTRY)
  }

  followed(row: number): boolean {
    const first = this.#at(row) + ROW_FOLLOWERS
    for (let at = first; at < first + FOLLOWER_BITS / 32; at++) if (Atomics.load(this.#words, at) !== 0) return true
    return false
  }

  /** There is a head. */
  fill(row: number, entry: number): void {
    const at = this.#at(row)
    Atomics.store(this.#words, at + ROW_ENTRY, entry)
    Atomics.store(this.#words, at + ROW_STATE, RowState.Filling)
    this.ring(row)
  }

  /** The fill is over: others may claim the key. */
  end(row: number, state: RowEnd): void {
    const at = this.#at(row)
    Atomics.store(this.#words, at + ROW_STATE, state)
    Atomics.store(this.#words, at + ROW_ENTRY, 0)
    this.#leave(row)
    this.ring(row)
    this.#free[(this.#next + this.#freeCount) % this.#layout.rows] = row
    this.#freeCount++
  }

  /** Tells those who follow that something has changed. */
  ring(row: number): void {
    const first = this.#at(row) + ROW_FOLLOWERS
    for (let i = 0; i < FOLLOWER_BITS / 32; i++)
      for (let bits = Atomics.load(this.#words, first + i); bits !== 0; bits &= bits - 1) {
        const bit = i * 32 + 31 - Math.clz32(bits & -bits)
        for (let worker = bit; worker < this.#layout.workers; worker += FOLLOWER_BITS) this.#bells.ring(worker, row)
      }
  }

  /** Ends the fills of a worker that has exited. Supervisor only. */
  failAll(worker: number): void {
    const { rows } = this.#layout
    for (let row = worker * rows; row < (worker + 1) * rows; row++) {
      const state = this.state(row)
      if (state !== RowState.Waiting && state !== RowState.Filling) continue
      const entry = this.entry(row)
      if (entry !== 0) this.#records.swap(entry, STATE, State.Filling, State.Failed)
      Atomics.store(this.#words, this.#at(row) + ROW_STATE, RowState.Failed)
      Atomics.store(this.#words, this.#at(row) + ROW_ENTRY, 0)
      this.ring(row)
    }
    this.#removeAll(worker)
  }

  /** Also those of fills that had ended when the worker did, and still stood in their buckets. */
  #removeAll(worker: number): void {
    const { rows, claimsAt, claimBuckets } = this.#layout
    for (let bucket = claimsAt / 2; bucket < claimsAt / 2 + claimBuckets; bucket++)
      for (let way = 0; way < CLAIM_WAYS; way++) {
        const before = Atomics.load(this.#buckets, bucket)
        const row = rowIn(before, way)
        if (row < 0 || Math.floor(row / rows) !== worker) continue
        const after = before & ~(WAY_MASK << BigInt(way * WAY_BITS))
        // Lost to another worker: once more.
        if (Atomics.compareExchange(this.#buckets, bucket, before, after) !== before) way--
      }
  }

  #prepare(row: number, low: number, high: number, keyRecord: number, length: number): number {
    const at = this.#at(row)
    const words = this.#words
    // Odd while the row is nobody's: those who still follow the fill before, or look for another one, see it change.
    Atomics.add(words, at + ROW_SERIAL, 1)
    Atomics.store(words, at + ROW_STATE, RowState.Waiting)
    Atomics.store(words, at + ROW_ENTRY, 0)
    for (let i = ROW_FOLLOWERS; i < ROW_WORDS; i++) Atomics.store(words, at + i, 0)
    words[at + ROW_HASH_LOW] = low
    words[at + ROW_HASH_HIGH] = high
    words[at + ROW_KEY_BYTES] = length
    Atomics.store(words, at + ROW_KEY, keyRecord)
    return (Atomics.add(words, at + ROW_SERIAL, 1) + 1) | 0
  }

  #vacant(bucket: bigint, low: number, high: number, key: Uint8Array, length: number): number {
    let vacant = -1
    for (let way = 0; way < CLAIM_WAYS; way++) {
      const row = rowIn(bucket, way)
      if (row < 0) vacant = way
      else if (this.#isOf(row, low, high, key, length)) return -1
    }
    return vacant
  }

  #isOf(row: number, low: number, high: number, key: Uint8Array, length: number): boolean {
    const at = this.#at(row)
    const keyRecord = Atomics.load(this.#words, at + ROW_KEY)
    if (this.#words[at + ROW_HASH_LOW] !== low || this.#words[at + ROW_HASH_HIGH] !== high) return false
    const keyAt = keyRecord * UNIT_BYTES + KEY_RECORD_AT
    return this.#records.isKey(keyAt, this.#words[at + ROW_KEY_BYTES]!, key, length)
  }

  /** Takes the row out of its bucket. */
  #leave(row: number): void {
    const bucket = this.#bucket(this.#words[this.#at(row) + ROW_HASH_HIGH]!)
    for (;;) {
      const before = Atomics.load(this.#buckets, bucket)
      let way = 0
      while (way < CLAIM_WAYS && rowIn(before, way) !== row) way++
      if (way === CLAIM_WAYS) return
      const after = before & ~(WAY_MASK << BigInt(way * WAY_BITS))
      if (Atomics.compareExchange(this.#buckets, bucket, before, after) === before) return
    }
  }

  #bucket(high: number): number {
    return this.#layout.claimsAt / 2 + Math.floor(((high >>> 0) / 2 ** 32) * this.#layout.claimBuckets)
  }

  #at(row: number): number {
    return this.#layout.rowsAt + row * ROW_WORDS
  }
}

/** @returns -1: nobody has this way */
function rowIn(bucket: bigint, way: number): number {
  return Number((bucket >> BigInt(way * WAY_BITS)) & WAY_MASK) - 1
}
