/** What callers see of the records: a view of this turn, or one that is held. */
import { NUMBERS_BYTES } from '../cache-numbers.ts'
import {
  type EntryBytes,
  type EntryKind,
  type EntryPlace,
  type HeldEntry,
  LEAST_READ,
  type StoredEntry,
} from '../response-memory.ts'
import { BodyReader } from './body-reader.ts'
import { type Layout, ownerOf, STARTS, UNIT_BYTES, UNIT_WORDS, workerWords } from './layout.ts'
import type { Readers } from './readers.ts'
import {
  BODY_BYTES,
  CHECKED,
  HEAD_BYTES,
  HURRIED,
  KIND_BYTE,
  LIMBO_BYTE,
  Limbo,
  NEXT_PIECE,
  NUMBERS_AT,
  type Records,
  SERIAL,
  STATE,
  State,
  SUBJECT_AT,
  UNTIL,
  WRITTEN,
} from './record.ts'
import { type MemoryStatistics, Statistic } from './statistics.ts'

const SECOND = 1_000

class RecordBytes implements EntryBytes {
  readonly records: Records
  readonly bytes: Buffer
  readonly view: DataView
  readonly #layout: Layout
  readonly #reader: BodyReader
  record = 0

  constructor(records: Records, layout: Layout) {
    this.records = records
    this.bytes = records.bytes
    this.view = records.view
    this.#layout = layout
    this.#reader = new BodyReader(records)
  }

  open(record: number): void {
    this.record = record
    this.#reader.open(record)
  }

  get kind(): EntryKind {
    return this.records.byte(this.record, KIND_BYTE) as EntryKind
  }

  get serial(): number {
    return serialOf(this.records, this.#layout, this.record)
  }

  get numbersAt(): number {
    return this.record * UNIT_BYTES + NUMBERS_AT
  }

  get subjectAt(): number {
    return this.record * UNIT_BYTES + SUBJECT_AT
  }

  get subjectBytes(): number {
    return this.records.subjectBytes(this.record)
  }

  get keyAt(): number {
    return this.records.keyAt(this.record)
  }

  get keyBytes(): number {
    return this.records.keyBytes(this.record)
  }

  get headAt(): number {
    return this.records.headAt(this.record)
  }

  get headBytes(): number {
    return this.records.get(this.record, HEAD_BYTES)
  }

  get bodyBytes(): number {
    return this.records.load(this.record, BODY_BYTES)
  }

  get written(): number {
    return this.records.load(this.record, WRITTEN)
  }

  get until(): number {
    return (this.records.get(this.record, UNTIL) >>> 0) * SECOND
  }

  get checked(): number {
    return this.records.load(this.record, CHECKED) >>> 0
  }

  set checked(sequence: number) {
    this.records.store(this.record, CHECKED, sequence | 0)
  }

  setBits(offset: number, bits: number): void {
    if (offset < 0 || offset > NUMBERS_BYTES - 4 || offset % 4 !== 0) throw new RangeError(`no such word: ${offset}`)
    Atomics.or(this.records.words, this.record * UNIT_WORDS + (NUMBERS_AT + offset) / 4, bits)
  }

  bodyText(from: number, length: number): string | null {
    return this.#reader.text(from, length)
  }

  copyBody(from: number, target: Uint8Array, at: number, length: number): number {
    return this.#reader.copy(from, target, at, length)
  }
}

/** The one view that a worker has of what it has found in this turn. */
export class FoundEntry extends RecordBytes implements StoredEntry {
  readonly #held: HeldRecords
  slot = 0

  constructor(records: Records, layout: Layout, held: HeldRecords) {
    super(records, layout)
    this.#held = held
  }

  get place(): EntryPlace {
    const { slot, record, serial } = this
    return { slot, record, serial }
  }

  hold(): HeldEntry | null {
    return this.#held.hold(this.record)
  }
}

export class HeldRecord extends RecordBytes implements HeldEntry {
  readonly #nobody: number
  readonly #holds: HeldRecords
  /** How often the segment had begun. */
  readonly starts: number
  #gone = false
  /** As it was; where it has gone on to another piece, as it was told. */
  #bodyBytes = -1
  /** It has gone on to another piece of a body that is not kept. */
  #isPiece: boolean
  /** Bytes of the body before those of the record. */
  #before: number
  /** Up to where it is read; and how often it was told to hurry, and where it was then. */
  #reached = 0
  #hurried = 0
  #reachedThen = 0
  /** Whether nobody tells it to hurry. */
  spared: (() => boolean) | null = null
  /** Called where memory may have become free of a body that is not kept. Must not throw. */
  moved: (() => void) | null = null

  /** @param before bytes of the body before those of the record */
  constructor(records: Records, layout: Layout, record: number, holds: HeldRecords, before: number) {
    super(records, layout)
    this.#nobody = layout.nobodyAt
    this.#holds = holds
    this.#before = before
    this.#isPiece = before > 0
    this.open(record)
    this.starts = startsOf(records, layout, record)
  }

  get gone(): boolean {
    return this.#gone
  }

  override get bodyBytes(): number {
    if (this.#gone) return this.#bodyBytes
    if (!this.#isPiece) return super.bodyBytes
    const whole = this.records.load(this.record, STATE) === State.Dead
    return whole ? this.#before + super.written : this.#bodyBytes
  }

  override get written(): number {
    return this.#before + super.written
  }

  /** @returns whether it is so slow that others should not wait for it */
  dawdles(): boolean {
    if (this.spared?.() === true || this.records.load(this.record, STATE) !== State.Continues) return false
    const hurried = this.records.load(this.record, HURRIED)
    if (hurried === 0 || hurried === this.#hurried) return false
    const read = this.#reached - this.#reachedThen
    this.#hurried = hurried
    this.#reachedThen = this.#reached
    return read < LEAST_READ
  }

  reach(at: number): number {
    this.#reached = at
    while (this.records.load(this.record, STATE) === State.Continues && at >= this.written) {
      const before = super.written
      const next = this.#holds.next(this)
      if (next === 0) {
        this.release()
        break
      }
      if (!this.#isPiece) this.#bodyBytes = super.bodyBytes
      this.#isPiece = true
      this.#before += before
      this.open(next)
      this.moved?.()
    }
    return this.written
  }

  override copyBody(from: number, target: Uint8Array, at: number, length: number): number {
    this.reach(from)
    if (from < this.#before) return 0
    const copied = super.copyBody(from - this.#before, target, at, length)
    this.#reached = from + copied
    return copied
  }

  override bodyText(from: number, length: number): string | null {
    return this.#isPiece ? null : super.bodyText(from, length)
  }

  release(): void {
    if (this.#gone) return
    const isPassed = this.#isPiece || this.records.load(this.record, STATE) === State.Continues
    this.#bodyBytes = this.bodyBytes
    this.#isPiece = false
    this.#before = 0
    this.#gone = true
    this.#holds.letGo(this)
    // Whoever reads on by mistake finds nothing, and nothing of others.
    this.open(this.#nobody)
    if (isPassed) this.moved?.()
  }
}

/** Pins what is read over several turns. */
export class HeldRecords {
  readonly #records: Records
  readonly #layout: Layout
  readonly #readers: Readers
  readonly #statistics: MemoryStatistics
  readonly #all = new Set<HeldRecord>()

  constructor(records: Records, layout: Layout, readers: Readers, statistics: MemoryStatistics) {
    this.#records = records
    this.#layout = layout
    this.#readers = readers
    this.#statistics = statistics
  }

  /**
   * While reading: the record is in the index, or that of a fill under way.
   *
   * @param before bytes of the body before those of the record
   */
  hold(record: number, before = 0): HeldRecord | null {
    // Behind the turn it may be free already.
    if (!this.#readers.reading) return null
    if (!this.#readers.pin(record)) {
      this.#statistics.add(Statistic.NoPin)
      return null
    }
    const held = new HeldRecord(this.#records, this.#layout, record, this, before)
    this.#all.add(held)
    return held
  }

  /**
   * The same at any time: it is of a fill of this worker, which frees nothing meanwhile.
   *
   * @param heard called where memory may have become free
   * @param spared whether it may be as slow as it is
   */
  holdOwn(record: number, before: number, heard: () => void, spared: () => boolean): HeldRecord | null {
    const { reading } = this.#readers
    this.#readers.enter()
    const held = this.hold(record, before)
    if (!reading) this.#readers.leave()
    if (held === null) return null
    held.moved = heard
    held.spared = spared
    return held
  }

  letGo(held: HeldRecord): void {
    this.#all.delete(held)
    this.#readers.unpin(held.record)
  }

  /**
   * From a piece of a body that is not kept to the one behind it. The owner frees no piece before those in front of it;
   * one that has died frees what nobody holds, behind the epoch in which another one began.
   *
   * @returns the piece, 0: it is gone, or as many as may be are held
   */
  next({ record, starts }: HeldRecord): number {
    const { reading } = this.#readers
    this.#readers.enter()
    const next = this.#records.get(record, NEXT_PIECE)
    const isThere = startsOf(this.#records, this.#layout, record) === starts && this.#readers.pin(next)
    if (isThere) this.#readers.unpin(record)
    if (!reading) this.#readers.leave()
    return isThere ? next : 0
  }

  /** Lets go of what an owner needs back, because slow readers hold too much. */
  takeBack(): void {
    for (const held of [...this.#all])
      if (this.#records.byte(held.record, LIMBO_BYTE) === Limbo.TakenBack || held.dawdles()) {
        this.#statistics.add(Statistic.TakenBack)
        held.release()
      }
  }
}

function startsOf({ words }: Records, layout: Layout, record: number): number {
  return Atomics.load(words, workerWords(layout, ownerOf(layout, record)) + STARTS)
}

/** No two entries of the process have the same, until a worker has stored 2^32. */
export function serialOf(records: Records, layout: Layout, record: number): number {
  return (records.get(record, SERIAL) >>> 0) * layout.workers + ownerOf(layout, record)
}
