/** Writes one entry into the segment of this worker, run by run. */
import { NUMBERS_BYTES } from '../cache-numbers.ts'
import type { EntryHead } from '../response-memory.ts'
import { SERIALS, UNIT_BYTES, UNIT_WORDS, workerWords } from './layout.ts'
import type { MemoryParts } from './parts.ts'
import {
  ALL_UNITS,
  BODY_BYTES,
  CHECKED,
  EXTENT_AT,
  EXTENT_NEXT,
  EXTENT_UNITS,
  HASH_HIGH,
  HEAD_BYTES,
  HITS_BYTE,
  KEY_AND_SUBJECT,
  KIND_BYTE,
  LIMBO_BYTE,
  MAX_SUBJECT_BYTES,
  NEXT_DEAD,
  NEXT_EXTENT,
  NUMBERS_AT,
  QUEUE_BYTE,
  SERIAL,
  SLOT,
  STATE,
  State,
  SUBJECT_AT,
  TENANT,
  UNITS,
  UNTIL,
  unitsFor,
  WRITTEN,
} from './record.ts'
import type { Tenant } from './tenants.ts'

/** The longest run: room for it is made in one turn, so it is short. */
const RUN_BYTES = 64 * 1_024
/** Of a body whose length nobody knows: its first and shortest run. */
const FIRST_BYTES = 4_096
/** Shorter pieces of free memory are not used for long bodies. */
const LEAST_UNITS = 128

const SECOND = 1_000
const MAX_U32 = 0xffff_ffff

/** Whose entry it is. */
export interface EntryOwner {
  readonly tenant: Tenant
  readonly low: number
  readonly high: number
  readonly key: Uint8Array
}

export class EntryWriter {
  readonly #parts: MemoryParts
  readonly #tenant: Tenant
  readonly record: number
  /** As it was said, -1: nobody knows. */
  readonly bodyBytes: number
  readonly #fixedBytes: number
  /** The run that is written: where it begins, and where its next byte and its end are in the buffer. */
  #run: number
  #at: number
  #end: number
  #written = 0

  private constructor(parts: MemoryParts, tenant: Tenant, record: number, units: number, fixed: number, body: number) {
    this.#parts = parts
    this.#tenant = tenant
    this.record = record
    this.bodyBytes = body
    this.#fixedBytes = fixed
    this.#run = record
    this.#at = record * UNIT_BYTES + fixed
    this.#end = (record + units) * UNIT_BYTES
  }

  /** @returns undefined: there is no room */
  static begin(parts: MemoryParts, owner: EntryOwner, head: EntryHead): EntryWriter | undefined {
    const { bodyBytes } = head
    const fixed = SUBJECT_AT + head.subject.length + owner.key.length + head.head.length
    if (head.numbers.length !== NUMBERS_BYTES) return undefined
    if (head.subject.length > MAX_SUBJECT_BYTES || fixed + Math.max(bodyBytes, 0) > parts.maxEntryBytes)
      return undefined
    const first = bodyBytes < 0 ? FIRST_BYTES : Math.min(bodyBytes, RUN_BYTES)
    const units = parts.segment.available(unitsFor(fixed + first), unitsFor(fixed), owner.tenant)
    const record = units === 0 ? 0 : parts.segment.take(units, owner.tenant)
    if (record === 0) return undefined
    owner.tenant.records++
    writeHeader(parts, owner, head, record, units)
    return new EntryWriter(parts, owner.tenant, record, units, fixed, bodyBytes)
  }

  get written(): number {
    return this.#written
  }

  /** Whether the body has as many bytes as was said. */
  get whole(): boolean {
    return this.bodyBytes < 0 || this.bodyBytes === this.#written
  }

  /** @returns false: there is no room, or it is longer than was said */
  write(bytes: Uint8Array, start: number, end: number): boolean {
    for (let at = start; at < end; ) {
      const room = this.#room(end - at)
      if (room === 0) return false
      this.#parts.records.put(this.#at, bytes, at, at + room)
      this.#wrote(room)
      at += room
    }
    return true
  }

  /** As {@link write}, of another body. */
  copy(copyBody: (from: number, target: Uint8Array, at: number, length: number) => number, bytes: number): boolean {
    for (let left = bytes; left > 0; ) {
      const room = this.#room(left)
      if (room === 0) return false
      const copied = copyBody(this.#written, this.#parts.records.bytes, this.#at, room)
      if (copied === 0) return false
      this.#wrote(copied)
      left -= copied
    }
    return true
  }

  /** The body is whole. */
  finish(): void {
    const { records, segment } = this.#parts
    const used = unitsFor(this.#at - this.#run * UNIT_BYTES)
    const word = this.#run === this.record ? UNITS : EXTENT_UNITS
    const units = records.get(this.#run, word)
    if (this.bodyBytes < 0) records.store(this.record, BODY_BYTES, this.#written)
    if (used === units) return
    records.set(this.#run, word, used)
    records.set(this.record, ALL_UNITS, records.get(this.record, ALL_UNITS) - (units - used))
    segment.giveBack(this.#run + used, units - used, this.#tenant)
  }

  #wrote(bytes: number): void {
    this.#at += bytes
    this.#written += bytes
    // Stored last: what is counted can be read.
    this.#parts.records.store(this.record, WRITTEN, this.#written)
  }

  /** Bytes that may be written at once, of so many. */
  #room(wanted: number): number {
    const most = this.bodyBytes < 0 ? this.#parts.maxEntryBytes - this.#fixedBytes : this.bodyBytes
    const allowed = Math.min(wanted, most - this.#written)
    if (allowed < wanted || (this.#at === this.#end && !this.#grow(wanted))) return 0
    return Math.min(allowed, this.#end - this.#at)
  }

  #grow(least: number): boolean {
    const { segment, records } = this.#parts
    const guess = Math.max(FIRST_BYTES, least, Math.floor(this.#written / 2))
    const rest = this.bodyBytes < 0 ? guess : this.bodyBytes - this.#written
    const wanted = unitsFor(Math.min(rest, RUN_BYTES) + EXTENT_AT)
    const units = segment.available(wanted, Math.min(wanted, LEAST_UNITS), this.#tenant)
    const run = units === 0 ? 0 : segment.take(units, this.#tenant)
    if (run === 0) return false
    records.set(run, EXTENT_NEXT, 0)
    records.set(run, EXTENT_UNITS, units)
    records.store(this.#run, this.#run === this.record ? NEXT_EXTENT : EXTENT_NEXT, run)
    records.set(this.record, ALL_UNITS, records.get(this.record, ALL_UNITS) + units)
    this.#run = run
    this.#at = run * UNIT_BYTES + EXTENT_AT
    this.#end = (run + units) * UNIT_BYTES
    return true
  }
}

function writeHeader(parts: MemoryParts, owner: EntryOwner, head: EntryHead, record: number, units: number): void {
  const { records, layout, readers } = parts
  const { words, bytes } = records
  const serials = workerWords(layout, readers.worker) + SERIALS
  words[serials] = (words[serials]! + 1) | 0 || 1
  const at = record * UNIT_WORDS
  words[at + SERIAL] = words[serials]!
  words[at + HASH_HIGH] = owner.high
  words[at + UNITS] = units
  words[at + ALL_UNITS] = units
  words[at + NEXT_EXTENT] = 0
  words[at + KEY_AND_SUBJECT] = owner.key.length | (head.subject.length << 16)
  words[at + HEAD_BYTES] = head.head.length
  words[at + BODY_BYTES] = head.bodyBytes
  words[at + WRITTEN] = 0
  words[at + SLOT] = 0
  words[at + NEXT_DEAD] = 0
  words[at + TENANT] = owner.tenant.id
  words[at + CHECKED] = head.began | 0
  const first = record * UNIT_BYTES
  bytes[first + KIND_BYTE] = head.kind
  bytes[first + HITS_BYTE] = 0
  bytes[first + QUEUE_BYTE] = 0
  bytes[first + LIMBO_BYTE] = 0
  words[at + UNTIL] = Math.min(Math.ceil(head.until / SECOND), MAX_U32)
  records.put(first + NUMBERS_AT, head.numbers, 0, NUMBERS_BYTES)
  const subjectAt = first + SUBJECT_AT
  const keyAt = subjectAt + head.subject.length
  records.put(subjectAt, head.subject, 0, head.subject.length)
  records.put(keyAt, owner.key, 0, owner.key.length)
  records.put(keyAt + owner.key.length, head.head, 0, head.head.length)
  // Others come to it by its row or the index, which are written behind it.
  records.set(record, STATE, State.Filling)
}
