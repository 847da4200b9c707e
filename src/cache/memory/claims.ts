/**
 * Who fetches what: one fill a key in the process. A row stands for each fill under way; a bucket is one word that
 * names up to two rows, so one compare-and-swap decides who claims a key, whatever others claim meanwhile. Keys are
 * compared whole: most stand in the row itself. Where a bucket is full, the request fetches without a claim.
 *
 * Rows belong to workers: the supervisor fails those of one that died. A row is used again after all others of the
 * worker; who still follows it sees another serial then.
 */
import type { Doorbells } from '../../shared-memory/doorbells.ts'
import { CLAIM_WAYS, type Layout, ROW_HEADER_WORDS, ROW_KEY_BYTES, ROW_WORDS, UNIT_BYTES } from './layout.ts'
import type { Readers } from './readers.ts'
import { KEY_RECORD_AT, NEXT_PIECE, type Records, STATE, State } from './record.ts'

const ROW_SERIAL = 0
const ROW_STATE = 1
const ROW_HASH_LOW = 2
const ROW_HASH_HIGH = 3
/** Where the key is, a record; 0: in the row. */
const ROW_KEY = 4
const ROW_KEY_LENGTH = 5
const ROW_ENTRY = 6
/** Bits of the workers that follow. */
const ROW_FOLLOWERS = 8
const FOLLOWER_BITS = (ROW_HEADER_WORDS - ROW_FOLLOWERS) * 32

export const RowState = {
  Free: 0,
  /** There is no head yet. */
  Waiting: 1,
  /** The entry is there and grows; no row has it in its word, which says {@link Waiting} still. */
  Filling: 2,
  /** It is under its key, or has been. */
  Recorded: 3,
  Failed: 4,
  /** Its body is not kept: who reads along gets it piece by piece, and nobody follows any more. */
  Passing: 5,
} as const
export type RowState = (typeof RowState)[keyof typeof RowState]
/** How the fill of a row may end. */
export type RowEnd = typeof RowState.Recorded | typeof RowState.Failed

const WAY_BITS = 32 / CLAIM_WAYS
const WAY_MASK = (1 << WAY_BITS) - 1

/** A claim that was made or found. */
export interface Claimed {
  readonly row: number
  readonly serial: number
}

export class Claims {
  readonly #records: Records
  readonly #words: Int32Array<SharedArrayBuffer>
  readonly #layout: Layout
  readonly #bells: Doorbells
  readonly #worker: number
  /** Rows of this worker, in the order in which they are used again. */
  readonly #free: Int32Array
  #next = 0
  #freeCount: number
  /** Of a row, those that workers have bits in. */
  readonly #followerWords: number

  constructor(records: Records, layout: Layout, bells: Doorbells, worker: number) {
    this.#records = records
    this.#words = records.words
    this.#followerWords = Math.ceil(Math.min(layout.workers, FOLLOWER_BITS) / 32)
    this.#layout = layout
    this.#bells = bells
    this.#worker = worker
    this.#free = Int32Array.from({ length: layout.rows }, (_, i) => worker * layout.rows + i)
    this.#freeCount = layout.rows
  }

  /**
   * The fill under way of a key, which this worker follows from now on.
   *
   * @param readers entered where there are keys to read, and left by the caller
   * @returns undefined: there is none
   */
  follow(low: number, high: number, key: Uint8Array, length: number, readers?: Readers): Claimed | undefined {
    const bucket = this.#rowsIn(this.#bucket(high), readers)
    if (bucket === 0) return undefined
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
   * Claims a key that nobody claims; not where none is {@link free}.
   *
   * @param keyRecord the key in memory of this worker; 0: it is not longer than {@link ROW_KEY_BYTES}
   * @param readers as of {@link follow}
   * @returns undefined: somebody else does, or there is no place
   */
  claim(
    low: number,
    high: number,
    keyRecord: number,
    key: Uint8Array,
    length: number,
    readers?: Readers,
  ): Claimed | undefined {
    const bucket = this.#bucket(high)
    const row = this.#free[this.#next]!
    const serial = this.#prepare(row, low, high, keyRecord, key, length)
    for (;;) {
      const before = this.#rowsIn(bucket, readers)
      const way = this.#vacant(before, low, high, key, length)
      if (way < 0) {
        Atomics.store(this.#words, this.#at(row) + ROW_STATE, RowState.Free)
        return undefined
      }
      const after = before | ((row + 1) << (way * WAY_BITS))
      if (Atomics.compareExchange(this.#words, bucket, before, after) !== before) continue
      this.#next = (this.#next + 1) % this.#layout.rows
      this.#freeCount--
      return { row, serial }
    }
  }

  /** How many more fills this worker may have. */
  get free(): number {
    return this.#freeCount
  }

  serial(row: number): number {
    return Atomics.load(this.#words, this.#at(row) + ROW_SERIAL)
  }

  state(row: number): RowState {
    const state = Atomics.load(this.#words, this.#at(row) + ROW_STATE) as RowState
    return state === RowState.Waiting && this.entry(row) !== 0 ? RowState.Filling : state
  }

  /**
   * What is being filled, 0: no head yet, or no fill any more. Whoever reads may pin it: the end of the fill is written
   * to its state before the epoch begins in which the entry may be freed.
   */
  entry(row: number): number {
    const at = this.#at(row)
    return Atomics.load(this.#words, at + ROW_STATE) === RowState.Waiting
      ? Atomics.load(this.#words, at + ROW_ENTRY)
      : 0
  }

  followed(row: number): boolean {
    const first = this.#at(row) + ROW_FOLLOWERS
    for (let at = first; at < first + this.#followerWords; at++) if (Atomics.load(this.#words, at) !== 0) return true
    return false
  }

  /** There is a head: the entry is what its state says. */
  fill(row: number, entry: number): void {
    Atomics.store(this.#words, this.#at(row) + ROW_ENTRY, entry)
    this.ring(row)
  }

  /** The fill is over: others may claim the key. */
  end(row: number, state: RowEnd): void {
    const at = this.#at(row)
    Atomics.store(this.#words, at + ROW_STATE, state)
    // Behind the state it counts for nothing.
    this.#words[at + ROW_ENTRY] = 0
    this.#leave(row)
    this.ring(row)
    this.#free[(this.#next + this.#freeCount) % this.#layout.rows] = row
    this.#freeCount++
  }

  /** The body is not kept: others may claim the key, and who holds the entry reads on. The row stays in use. */
  pass(row: number): void {
    Atomics.store(this.#words, this.#at(row) + ROW_STATE, RowState.Passing)
    this.#leave(row)
    this.ring(row)
  }

  /** What is written now, of a row that passes. */
  passOn(row: number, entry: number): void {
    Atomics.store(this.#words, this.#at(row) + ROW_ENTRY, entry)
  }

  /** Tells those who follow that something has changed. */
  ring(row: number): void {
    const first = this.#at(row) + ROW_FOLLOWERS
    for (let i = 0; i < this.#followerWords; i++)
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
      if (state !== RowState.Waiting && state !== RowState.Filling && state !== RowState.Passing) continue
      const entry = this.#written(Atomics.load(this.#words, this.#at(row) + ROW_ENTRY))
      if (entry !== 0) this.#records.swap(entry, STATE, State.Filling, State.Failed)
      Atomics.store(this.#words, this.#at(row) + ROW_STATE, RowState.Failed)
      Atomics.store(this.#words, this.#at(row) + ROW_ENTRY, 0)
      this.ring(row)
    }
    this.#removeAll(worker)
  }

  /** The last piece, where the worker ended before the row named it. */
  #written(entry: number): number {
    let last = entry
    while (last !== 0 && this.#records.load(last, STATE) === State.Continues) last = this.#records.get(last, NEXT_PIECE)
    return last
  }

  /** Also those of fills that had ended when the worker did, and still stood in their buckets. */
  #removeAll(worker: number): void {
    const { rows, claimsAt, claimBuckets } = this.#layout
    for (let bucket = claimsAt; bucket < claimsAt + claimBuckets; bucket++)
      for (let way = 0; way < CLAIM_WAYS; way++) {
        const before = Atomics.load(this.#words, bucket)
        const row = rowIn(before, way)
        if (row < 0 || Math.floor(row / rows) !== worker) continue
        const after = before & ~(WAY_MASK << (way * WAY_BITS))
        // Lost to another worker: once more.
        if (Atomics.compareExchange(this.#words, bucket, before, after) !== before) way--
      }
  }

  #prepare(row: number, low: number, high: number, keyRecord: number, key: Uint8Array, length: number): number {
    const at = this.#at(row)
    const words = this.#words
    // Odd while the row is nobody's: those who still follow the fill before, or look for another one, see it change. It
    // is so already where the worker before ended in here.
    Atomics.or(words, at + ROW_SERIAL, 1)
    words[at + ROW_STATE] = RowState.Waiting
    words[at + ROW_ENTRY] = 0
    for (let i = ROW_FOLLOWERS; i < ROW_FOLLOWERS + this.#followerWords; i++) words[at + i] = 0
    words[at + ROW_HASH_LOW] = low
    words[at + ROW_HASH_HIGH] = high
    words[at + ROW_KEY_LENGTH] = length
    words[at + ROW_KEY] = keyRecord
    if (keyRecord === 0) this.#records.put(keyInRow(at), key, 0, length)
    return (Atomics.add(words, at + ROW_SERIAL, 1) + 1) | 0
  }

  /** What stands in a bucket: its rows may have their keys in records, which are not freed while this worker reads. */
  #rowsIn(bucket: number, readers: Readers | undefined): number {
    const rows = Atomics.load(this.#words, bucket)
    if (rows === 0 || readers === undefined || readers.reading) return rows
    readers.enter()
    return Atomics.load(this.#words, bucket)
  }

  #vacant(bucket: number, low: number, high: number, key: Uint8Array, length: number): number {
    if (bucket === 0) return CLAIM_WAYS - 1
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
    if (this.#words[at + ROW_HASH_LOW] !== low || this.#words[at + ROW_HASH_HIGH] !== high) return false
    const keyRecord = this.#words[at + ROW_KEY]!
    const keyAt = keyRecord === 0 ? keyInRow(at) : keyRecord * UNIT_BYTES + KEY_RECORD_AT
    return this.#records.isKey(keyAt, this.#words[at + ROW_KEY_LENGTH]!, key, length)
  }

  /** Takes the row out of its bucket. */
  #leave(row: number): void {
    const bucket = this.#bucket(this.#words[this.#at(row) + ROW_HASH_HIGH]!)
    for (;;) {
      const before = Atomics.load(this.#words, bucket)
      let way = 0
      while (way < CLAIM_WAYS && rowIn(before, way) !== row) way++
      if (way === CLAIM_WAYS) return
      const after = before & ~(WAY_MASK << (way * WAY_BITS))
      if (Atomics.compareExchange(this.#words, bucket, before, after) === before) return
    }
  }

  #bucket(high: number): number {
    return this.#layout.claimsAt + Math.floor(((high >>> 0) / 2 ** 32) * this.#layout.claimBuckets)
  }

  #at(row: number): number {
    return this.#layout.rowsAt + row * ROW_WORDS
  }
}

/** @returns -1: nobody has this way */
function rowIn(bucket: number, way: number): number {
  return ((bucket >>> (way * WAY_BITS)) & WAY_MASK) - 1
}

/** @param at of the row, in words */
function keyInRow(at: number): number {
  return (at + ROW_HEADER_WORDS) * 4
}
