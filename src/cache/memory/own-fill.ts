/** A fetch of this worker, whose response is being stored. */
import { type EntryHead, EntryKind, type Fill, type HeldEntry, type PassedBody } from '../response-memory.ts'
import { type RowEnd, RowState } from './claims.ts'
import { type EntryOwner, EntryWriter } from './entry-writer.ts'
import type { Followers } from './followed-fill.ts'
import type { MemoryParts } from './parts.ts'
import { PassedPieces } from './passed-pieces.ts'
import { SLOT, STATE, State } from './record.ts'
import { Statistic } from './statistics.ts'

export class OwnFill implements Fill {
  readonly type = 'fill'
  readonly #parts: MemoryParts
  readonly #row: number
  readonly #keyRecord: number
  readonly #owner: EntryOwner
  readonly #followers: Followers
  #writer: EntryWriter | undefined
  /** Without a body. */
  #recorded: number | undefined
  #over = false
  #passed: PassedPieces | null = null

  constructor(parts: MemoryParts, row: number, keyRecord: number, owner: EntryOwner, followers: Followers) {
    this.#followers = followers
    this.#parts = parts
    this.#row = row
    this.#keyRecord = keyRecord
    this.#owner = owner
    owner.tenant.fills++
  }

  get followed(): boolean {
    return !this.#over && this.#parts.claims.followed(this.#row)
  }

  head(head: EntryHead): boolean {
    if (this.#over || this.#writer !== undefined) return false
    const writer = EntryWriter.begin(this.#parts, this.#owner, head)
    if (writer === undefined) return this.#failFor(Statistic.NoRoom)
    this.#writer = writer
    this.#parts.claims.fill(this.#row, writer.record)
    return true
  }

  write(bytes: Uint8Array, start: number, end: number): boolean {
    if (this.#over || this.#writer === undefined) return false
    if (!this.#writer.write(bytes, start, end)) return this.#failFor(Statistic.NoRoom)
    this.#parts.claims.ring(this.#row)
    return true
  }

  pass(bytes: Uint8Array, start: number, end: number): PassedBody | boolean {
    const writer = this.#writer
    if (this.#over || writer === undefined) return false
    const isLonger = writer.bodyBytes !== -1 && writer.written + end - start > writer.bodyBytes
    if (writer.write(bytes, start, end)) {
      this.#parts.claims.ring(this.#row)
      return true
    }
    if (isLonger || !this.followed) return this.#failFor(Statistic.NoRoom)
    this.#over = true
    this.#parts.statistics.add(Statistic.NoRoom)
    this.#passed = new PassedPieces(this.#parts, this.#followers, this.#row, this.#owner, writer)
    this.#parts.segment.endKey(this.#keyRecord, this.#owner.tenant)
    return this.#passed
  }

  copy(from: HeldEntry, budget: number): boolean | null {
    const writer = this.#writer
    if (this.#over || writer === undefined) return null
    if (from.gone) {
      this.fail()
      return null
    }
    const left = from.written - writer.written
    const copied = writer.copy(
      (at, target, to, length) => from.copyBody(at, target, to, length),
      Math.min(left, budget),
    )
    if (!copied) {
      this.#failFor(Statistic.NoRoom)
      return null
    }
    this.#parts.claims.ring(this.#row)
    return left <= budget
  }

  end(keep = true): boolean {
    const writer = this.#writer
    if (this.#over || writer === undefined) return false
    if (!writer.whole) {
      this.fail()
      return false
    }
    writer.finish()
    return this.#close(keep && this.#publish(writer.record))
  }

  record(head: EntryHead): boolean {
    if (this.#writer !== undefined) this.fail()
    if (this.#over) return false
    const writer = head.kind === EntryKind.Response ? undefined : EntryWriter.begin(this.#parts, this.#owner, head)
    if (writer === undefined) return this.#failFor(Statistic.NoRoom)
    writer.finish()
    this.#recorded = writer.record
    return this.#close(this.#publish(writer.record))
  }

  fail(): void {
    if (!this.#over) this.#failFor(Statistic.FailedFills)
  }

  withdraw(): void {
    if (this.#over || this.#writer !== undefined) this.fail()
    else this.#close(false, RowState.Recorded)
  }

  hold(): HeldEntry | null {
    if (this.#over || this.#writer === undefined) return null
    const heard = (): void => this.#passed?.heard()
    return this.#parts.held.holdOwn(this.#writer.record, 0, heard, () => this.#passed?.ended !== true)
  }

  #failFor(statistic: Statistic): false {
    const { records, statistics } = this.#parts
    statistics.add(statistic)
    if (this.#writer !== undefined) records.store(this.#writer.record, STATE, State.Failed)
    this.#close(false)
    return false
  }

  /** @param recorded whether the entry is found under its key; else it goes as soon as nobody reads it */
  #close(recorded: boolean, state: RowEnd = recorded ? RowState.Recorded : RowState.Failed): boolean {
    const { claims, segment, records } = this.#parts
    this.#over = true
    this.#owner.tenant.fills--
    const record = this.#writer?.record ?? this.#recorded
    if (!recorded && record !== undefined && records.get(record, STATE) !== State.Failed)
      records.store(record, STATE, State.Dead)
    claims.end(this.#row, state)
    segment.endKey(this.#keyRecord, this.#owner.tenant)
    // Behind the row, in which nobody finds it any more.
    if (!recorded && record !== undefined) segment.retire(record)
    return recorded
  }

  /** The entry is found from now on, in place of that which was there. */
  #publish(record: number): boolean {
    const { records, segment, readers, statistics } = this.#parts
    const reading = readers.reading
    records.store(record, STATE, State.Whole)
    segment.tenants.add(record)
    const placed = this.#place(record)
    if (placed) statistics.add(Statistic.Stored)
    else {
      statistics.add(Statistic.NoSlot)
      segment.tenants.remove(record)
    }
    if (!reading) readers.leave()
    return placed
  }

  #place(record: number): boolean {
    const { records, index, segment, statistics, readers } = this.#parts
    const { low, high, key } = this.#owner
    for (;;) {
      const before = index.find(low, high, key, key.length, readers)
      const slot = before === 0 ? index.vacant(low, high) : index.slot
      if (slot < 0) {
        readers.enter()
        if (segment.vacate(this.#owner)) continue
        return false
      }
      records.set(record, SLOT, slot)
      if (before === 0) {
        if (index.insert(slot, record, low)) return true
      } else if (index.replace(slot, before, record)) {
        segment.bury(before)
        statistics.add(Statistic.Replaced)
        return true
      }
    }
  }
}
