/**
 * A body that is not kept, since it is too long or there is no room for it, and that others read along: it goes on in
 * pieces, each of which is freed as soon as nobody reads it and those before it are gone. The first piece is the entry
 * that was begun. Called by the owner of the segment alone.
 */
import { NUMBERS_BYTES } from '../cache-numbers.ts'
import { type EntryHead, EntryKind, type HeldEntry, type PassedBody } from '../response-memory.ts'
import { RowState } from './claims.ts'
import { HeldRecord } from './entries.ts'
import { type EntryOwner, EntryWriter } from './entry-writer.ts'
import type { Followers } from './followed-fill.ts'
import { UNIT_BYTES } from './layout.ts'
import type { MemoryParts } from './parts.ts'
import { ALL_UNITS, HURRIED, NEXT_PIECE, STATE, State, unitsFor } from './record.ts'

/** Of a segment: what is there of it, unless the first piece is longer. */
const AHEAD_SHARE = 1 / 4
const MAX_AHEAD_UNITS = (8 * 1_024 * 1_024) / UNIT_BYTES
/** Of what may be ahead. */
const PIECE_SHARE = 1 / 4
const MAX_PIECE_BYTES = 64 * 1_024

/** Of a segment: what all such bodies have together where none of them may stay as it is. One alone has no more. */
const CROWDED_SHARE = 5 / 8

const NOTHING = new Uint8Array(0)
const NO_NUMBERS = new Uint8Array(NUMBERS_BYTES)

export class PassedPieces implements PassedBody {
  readonly #parts: MemoryParts
  readonly #followers: Followers
  readonly #row: number
  readonly #owner: EntryOwner
  readonly #aheadUnits: number
  readonly #head: EntryHead
  /** Bytes of the body, -1: nobody has said so. */
  readonly #told: number
  /** That are not free yet, in order. */
  readonly #pieces: number[]
  /** Of the last one. */
  #writer: EntryWriter
  /** It is that which was begun. */
  #isFirst = true
  /** Bytes before it. */
  #before = 0
  /** Nobody comes to read along behind it. */
  readonly #epoch: number
  #closed = false
  #over = false
  #hurried = 0
  #changed: (() => void) | null = null

  /** @param writer of the entry that was begun; its row is that of a fill still */
  constructor(parts: MemoryParts, followers: Followers, row: number, owner: EntryOwner, writer: EntryWriter) {
    this.#parts = parts
    this.#followers = followers
    this.#row = row
    this.#owner = { ...owner, key: NOTHING }
    this.#writer = writer
    this.#told = writer.bodyBytes
    this.#pieces = [writer.record]
    this.#aheadUnits = Math.min(Math.floor(parts.layout.segmentUnits * AHEAD_SHARE), MAX_AHEAD_UNITS)
    const bodyBytes = Math.min(MAX_PIECE_BYTES, Math.floor(this.#aheadUnits * UNIT_BYTES * PIECE_SHARE))
    const { Response: kind } = EntryKind
    this.#head = { kind, numbers: NO_NUMBERS, head: NOTHING, subject: NOTHING, bodyBytes, until: 0, began: 0 }
    parts.claims.pass(row)
    this.#epoch = parts.readers.seal()
    parts.segment.passed.add(this)
    followers.add(row, this)
  }

  get written(): number {
    return this.#before + this.#writer.written
  }

  get unread(): boolean {
    this.trim()
    const [only] = this.#pieces
    return this.#over || (this.#closed && this.#pieces.length === 1 && !this.#parts.readers.isPinned(only!))
  }

  get isStuck(): boolean {
    return this.#pieces.length === 1
  }

  get isCrowded(): boolean {
    const { segment, layout } = this.#parts
    let units = 0
    for (const passed of segment.passed) units += passed.units
    return units > layout.segmentUnits * CROWDED_SHARE
  }

  /** Its own client is one of many who read what is left. */
  get ended(): boolean {
    return this.#over
  }

  get isAwaited(): boolean {
    return this.#parts.readers.isPinned(this.#writer.record)
  }

  write(bytes: Uint8Array, start: number, end: number): number {
    if (this.#told !== -1 && this.written + end - start > this.#told) this.fail()
    let at = start
    while (at < end && !this.#over) {
      const left = this.#isFirst ? 0 : this.#head.bodyBytes - this.#writer.written
      const before = this.#writer.written
      if (left > 0) this.#writer.write(bytes, at, Math.min(end, at + left))
      at += this.#writer.written - before
      // Where there is no room for more of this piece there may be some for another one.
      if (at < end && (this.#isFirst || this.#writer.written > 0) && this.#next()) continue
      break
    }
    if (at > start) this.#parts.claims.ring(this.#row)
    return at - start
  }

  #next(): boolean {
    const { claims, records } = this.#parts
    this.trim()
    // One more in any case: who has read all there is goes on to it, so that the first one becomes free.
    if (this.#pieces.length > 1 && this.units + unitsFor(this.#head.bodyBytes) > this.#aheadUnits) return false
    const writer = EntryWriter.begin(this.#parts, this.#owner, this.#head)
    if (writer === undefined) return false
    const { record } = this.#writer
    records.set(record, NEXT_PIECE, writer.record)
    records.store(record, STATE, State.Continues)
    claims.passOn(this.#row, writer.record)
    this.#before += this.#writer.written
    this.#writer = writer
    this.#isFirst = false
    this.#pieces.push(writer.record)
    return true
  }

  get units(): number {
    const { records } = this.#parts
    return this.#pieces.reduce((sum, piece) => sum + records.get(piece, ALL_UNITS), 0)
  }

  /** Frees what nobody reads any more. */
  trim(): void {
    const { readers, segment } = this.#parts
    this.#closed ||= readers.passed(this.#epoch)
    if (!this.#closed) return
    // Looked at one by one: a reader that goes on is in the next piece before it has left this one.
    while (this.#pieces.length > 1 && !readers.isPinned(this.#pieces[0]!)) segment.retire(this.#pieces.shift()!)
    // The last one waits for its readers as what is kept does: nobody comes to it any more.
    if (this.#over && this.#pieces.length === 1) segment.retire(this.#pieces.pop()!)
    if (this.#pieces.length === 0) segment.passed.delete(this)
  }

  isFirst(held: HeldEntry): boolean {
    return held instanceof HeldRecord && held.record === this.#pieces[0]
  }

  hurry(): boolean {
    this.trim()
    const [first] = this.#pieces
    if (first === undefined) return false
    const { records, segment } = this.#parts
    records.store(first, HURRIED, ++this.#hurried)
    segment.tellHolders()
    return true
  }

  hold(): HeldEntry | null {
    const heard = (): void => this.heard()
    return this.#parts.held.holdOwn(this.#writer.record, this.#before, heard, () => !this.#over)
  }

  follow(changed: () => void): void {
    this.#changed = changed
  }

  heard(): void {
    this.#changed?.()
  }

  end(): void {
    this.#close(this.#told === -1 || this.#told === this.written ? State.Dead : State.Failed)
  }

  fail(): void {
    this.#close(State.Failed)
  }

  #close(state: typeof State.Dead | typeof State.Failed): void {
    if (this.#over) return
    this.#over = true
    this.#changed = null
    const { claims, records } = this.#parts
    records.store(this.#writer.record, STATE, state)
    this.#followers.remove(this.#row, this)
    this.#owner.tenant.fills--
    claims.end(this.#row, RowState.Recorded)
    this.trim()
  }
}
