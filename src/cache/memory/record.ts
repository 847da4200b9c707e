/**
 * The records in the segments. An entry is a run of units: a header of fixed layout, what purges look at, the key, the
 * head, and the body as far as it fits; more runs follow for the rest, each of which begins with the next one and its
 * own size. Written by the owner of the segment before others can find the entry, and never changed while they can,
 * but for: state, written, hits, judgements and flags.
 */
import { Buffer } from 'node:buffer'
import { NUMBERS_BYTES } from '../cache-numbers.ts'
import { UNIT_BYTES, UNIT_WORDS } from './layout.ts'

/** Words of the header: */
export const STATE = 0
export const SERIAL = 1
/** The upper half: the lower one stands in the index. */
export const HASH_HIGH = 2
/** Four bytes: kind, hits, queue, and what of {@link Limbo}. */
const BYTES = 3
export const KIND_BYTE = BYTES * 4
export const HITS_BYTE = KIND_BYTE + 1
export const QUEUE_BYTE = KIND_BYTE + 2
export const LIMBO_BYTE = KIND_BYTE + 3
/** Units of this run. Of further runs: see {@link EXTENT_UNITS}. */
export const UNITS = 4
/** The next run, 0: none. */
export const NEXT_EXTENT = 5
/** Bytes of the key, and above them those of the subject. */
export const KEY_AND_SUBJECT = 6
export const HEAD_BYTES = 7
/** -1: nobody knows yet. */
export const BODY_BYTES = 8
export const WRITTEN = 9
/** Of a queue of the owner. */
export const PREVIOUS = 10
export const NEXT = 11
/** Where it stands in the index. */
export const SLOT = 12
/** The piece behind this one, of what {@link State.Continues} and is in no index. */
export const NEXT_PIECE = SLOT
/** Of the entries that others have taken out of the index. */
export const NEXT_DEAD = 13
/** Of what {@link State.Continues}: how often those who read it were told to hurry. */
export const HURRIED = NEXT_DEAD
/** Whom its bytes are counted to: a number of the owner of the segment. */
export const TENANT = 14
export const CHECKED = 15
/** Of all its runs. */
export const ALL_UNITS = 16
/** Seconds, rounded up. */
export const UNTIL = 17
const NUMBERS = 18
/** Offset of the numbers in the record, in bytes. */
export const NUMBERS_AT = NUMBERS * 4
/** Where the subject begins, in bytes; a multiple of eight. */
export const SUBJECT_AT = NUMBERS_AT + NUMBERS_BYTES

export const MAX_KEY_BYTES = 0xffff
export const MAX_SUBJECT_BYTES = 0xffff

/** Words of further runs: */
export const EXTENT_NEXT = 0
export const EXTENT_UNITS = 1
/** Bytes before the body in them. */
export const EXTENT_AT = 8

/** States of an entry. */
export const State = {
  /** Its body grows; only who follows its fill knows of it. */
  Filling: 1,
  /** In the index, or about to be. */
  Whole: 2,
  /** Out of the index, or never in it; the body is whole. */
  Dead: 3,
  /** No more of the body comes. */
  Failed: 4,
  /** A piece of a body that is not kept; more of it stands in {@link NEXT_PIECE}. */
  Continues: 5,
} as const

/** On the way of an entry from its queue to free memory. */
export const Limbo = {
  No: 0,
  /** It is freed as soon as nobody reads it. */
  Waits: 1,
  /** Who holds it has to let go. */
  TakenBack: 2,
} as const

export function unitsFor(bytes: number): number {
  return Math.ceil(bytes / UNIT_BYTES)
}

/** A run with a key alone, of a fill: its units and tenant, then the key. */
export const KEY_RECORD_UNITS = 0
export const KEY_RECORD_TENANT = 1
export const KEY_RECORD_AT = 8

/** Of any array of bytes. */
const { copy } = Buffer.prototype

/** What the words of all records are read and written by; one for each thread. */
export class Records {
  readonly words: Int32Array<SharedArrayBuffer>
  readonly bytes: Buffer
  readonly view: DataView

  constructor(buffer: SharedArrayBuffer) {
    this.words = new Int32Array(buffer)
    this.bytes = Buffer.from(buffer)
    this.view = new DataView(buffer)
  }

  get(record: number, word: number): number {
    return this.words[record * UNIT_WORDS + word]!
  }

  set(record: number, word: number, value: number): void {
    this.words[record * UNIT_WORDS + word] = value
  }

  load(record: number, word: number): number {
    return Atomics.load(this.words, record * UNIT_WORDS + word)
  }

  store(record: number, word: number, value: number): void {
    Atomics.store(this.words, record * UNIT_WORDS + word, value)
  }

  /** @returns whether the word had the value expected, and has the new one */
  swap(record: number, word: number, expected: number, value: number): boolean {
    return Atomics.compareExchange(this.words, record * UNIT_WORDS + word, expected, value) === expected
  }

  byte(record: number, offset: number): number {
    return this.bytes[record * UNIT_BYTES + offset]!
  }

  setByte(record: number, offset: number, value: number): void {
    this.bytes[record * UNIT_BYTES + offset] = value
  }

  /** Copies bytes of the heap to an offset. */
  put(at: number, bytes: Uint8Array, start: number, end: number): void {
    copy.call(bytes, this.bytes, at, start, end)
  }

  keyBytes(record: number): number {
    return this.get(record, KEY_AND_SUBJECT) & MAX_KEY_BYTES
  }

  subjectBytes(record: number): number {
    return this.get(record, KEY_AND_SUBJECT) >>> 16
  }

  /** Offset of the key in the buffer. */
  keyAt(record: number): number {
    return record * UNIT_BYTES + SUBJECT_AT + this.subjectBytes(record)
  }

  headAt(record: number): number {
    return this.keyAt(record) + this.keyBytes(record)
  }

  /** Where the body begins in the first run. */
  bodyAt(record: number): number {
    return this.headAt(record) + this.get(record, HEAD_BYTES)
  }

  /** Whether these bytes of the buffer are that key. */
  isKey(at: number, bytes: number, key: Uint8Array, length: number): boolean {
    if (bytes !== length) return false
    const { bytes: all } = this
    for (let i = 0; i < length; i++) if (all[at + i] !== key[i]) return false
    return true
  }

  hasKey(record: number, key: Uint8Array, length: number): boolean {
    return this.isKey(this.keyAt(record), this.keyBytes(record), key, length)
  }
}
