/** What callers see of the records: a view of this turn, or one that is held. */
import { NUMBERS_BYTES } from '../cache-numbers.ts'
import type { EntryBytes, EntryKind, EntryPlace, HeldEntry, StoredEntry } from '../response-memory.ts'
import { BodyReader } from './body-reader.ts'
import { type Layout, ownerOf, UNIT_BYTES, UNIT_WORDS } from './layout.ts'
import type { Readers } from './readers.ts'
import {
  BODY_BYTES,
  CHECKED,
  HEAD_BYTES,
  KIND_BYTE,
  LIMBO_BYTE,
  Limbo,
  NUMBERS_AT,
  type Records,
  SERIAL,
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
  readonly #letGo: (held: HeldRecord) => void
  #gone = false
  /** As it was. */
  #bodyBytes = -1

  /** @param letGo unpins the record */
  constructor(records: Records, layout: Layout, record: number, letGo: (held: HeldRecord) => void) {
    super(records, layout)
    this.#nobody = layout.nobodyAt
    this.#letGo = letGo
    this.open(record)
  }

  get gone(): boolean {
    return this.#gone
  }

  override get bodyBytes(): number {
    return this.#gone ? this.#bodyBytes : super.bodyBytes
  }

  release(): void {
    if (this.#gone) return
    this.#bodyBytes = super.bodyBytes
    this.#gone = true
    this.#letGo(this)
    // Whoever reads on by mistake finds nothing, and nothing of others.
    this.open(this.#nobody)
  }
}

/** Pins what is read over several turns. */
export class HeldRecords {
  readonly #records: Records
  readonly #layout: Layout
  readonly #readers: Readers
  readonly #statistics: MemoryStatistics
  readonly #all = new Set<HeldRecord>()
  readonly #letGo = (held: HeldRecord): void => {
    this.#all.delete(held)
    this.#readers.unpin(held.record)
  }

  constructor(records: Records, layout: Layout, readers: Readers, statistics: MemoryStatistics) {
    this.#records = records
    this.#layout = layout
    this.#readers = readers
    this.#statistics = statistics
  }

  /** While reading: the record is in the index, or that of a fill under way. */
  hold(record: number): HeldRecord | null {
    // Behind the turn it may be free already.
    if (!this.#readers.reading) return null
    if (!this.#readers.pin(record)) {
      this.#statistics.add(Statistic.NoPin)
      return null
    }
    const held = new HeldRecord(this.#records, this.#layout, record, this.#letGo)
    this.#all.add(held)
    return held
  }

  /** Lets go of what an owner needs back, because slow readers hold too much. */
  takeBack(): void {
    for (const held of [...this.#all])
      if (this.#records.byte(held.record, LIMBO_BYTE) === Limbo.TakenBack) {
        this.#statistics.add(Statistic.TakenBack)
        held.release()
      }
  }
}

/** No two entries of the process have the same, until a worker has stored 2^32. */
export function serialOf(records: Records, layout: Layout, record: number): number {
  return (records.get(record, SERIAL) >>> 0) * layout.workers + ownerOf(layout, record)
}
