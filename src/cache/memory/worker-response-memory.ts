/** The memory of responses as one worker has it: see docs/decisions/0056. */
import { Doorbells } from '../../shared-memory/doorbells.ts'
import { HASHED, type HashState, hashBytes, hashPrefix } from '../../shared-memory/keyed-hash.ts'
import type { CacheBuffers } from '../../shared-memory/process-buffers.ts'
import type { Begun, EntryKey, EntryPlace, ResponseMemory, StoredEntry } from '../response-memory.ts'
import { type Claimed, RowState } from './claims.ts'
import { FoundEntry, serialOf } from './entries.ts'
import { FollowedFill, Followers } from './followed-fill.ts'
import { bellsOf, divideCache, ROW_KEY_BYTES, SECRET, UNIT_BYTES } from './layout.ts'
import { OwnFill } from './own-fill.ts'
import { assemble, type MemoryParts } from './parts.ts'
import { HITS_BYTE, KEY_RECORD_AT, KEY_RECORD_TENANT, KEY_RECORD_UNITS, MAX_KEY_BYTES, unitsFor } from './record.ts'
import { Statistic } from './statistics.ts'
import { MAX_HITS, type Tenant } from './tenants.ts'

/** Of an entry, what is not its body: header, key, subject and head are shorter than this where anything is stored. */
const MAX_HEADER_BYTES = 64 * 1_024

export class WorkerResponseMemory implements ResponseMemory {
  readonly maxBodyBytes: number
  readonly #parts: MemoryParts
  readonly #found: FoundEntry
  readonly #followers: Followers
  readonly #hash: HashState
  /** Of the index, up to where {@link sweep} has come. */
  #swept = 0

  /**
   * @param worker its index; one that died has been cleared, see `clearWorkerMemory`
   * @param nextTurn runs a function in the next turn of the event loop
   */
  constructor(buffers: CacheBuffers, workers: number, worker: number, nextTurn: (run: () => void) => void) {
    const layout = divideCache(buffers.memory.byteLength, workers)
    if (layout === undefined) throw new TypeError(`the buffer was not allocated for ${workers} workers`)
    const bells = new Doorbells(buffers.bells, workers, bellsOf(layout))
    const parts = assemble(buffers.memory, layout, bells, worker)
    const { words } = parts.records
    this.#parts = parts
    this.#hash = hashPrefix([words[SECRET]!, words[SECRET + 1]!], '')
    this.#found = new FoundEntry(parts.records, layout, parts.held)
    this.#followers = new Followers(bells, worker)
    const taken = bellsOf(layout) - 1
    const heard = (bell: number): void => (bell === taken ? parts.held.takeBack() : this.#followers.heard(bell))
    bells.listen(worker, heard, nextTurn)
    this.maxBodyBytes = Math.max(0, parts.maxEntryBytes - MAX_HEADER_BYTES)
  }

  find(key: EntryKey): StoredEntry | null {
    const { readers, index } = this.#parts
    const { bytes, length } = key
    this.#hashOf(key)
    const record = index.find(HASHED.low, HASHED.high, bytes, length, readers)
    if (record === 0) {
      readers.leave()
      return null
    }
    this.#countHit(record)
    this.#found.slot = index.slot
    this.#found.open(record)
    return this.#found
  }

  /** Leaves it in {@link HASHED}. A miss asks three times for one key. */
  #hashOf({ bytes, length, hashed }: EntryKey): void {
    if (hashed !== undefined && hashed.by === this.#hash) {
      HASHED.low = hashed.low
      HASHED.high = hashed.high
      return
    }
    hashBytes(this.#hash, bytes, length)
    if (hashed === undefined) return
    hashed.by = this.#hash
    hashed.low = HASHED.low
    hashed.high = HASHED.high
  }

  findAt({ slot, record, serial }: EntryPlace): StoredEntry | null {
    const { readers, index, records, layout } = this.#parts
    readers.enter()
    // What is in the index has its serial and is not freed as long as we read, so that no other entry can be meant.
    if (index.at(slot) !== record || serialOf(records, layout, record) !== serial) {
      readers.leave()
      return null
    }
    this.#countHit(record)
    this.#found.slot = slot
    this.#found.open(record)
    return this.#found
  }

  #countHit(record: number): void {
    const { records } = this.#parts
    const hits = records.byte(record, HITS_BYTE)
    // A plain store: a hit that another worker's covers is no loss.
    if (hits < MAX_HITS) records.setByte(record, HITS_BYTE, hits + 1)
  }

  leave(): void {
    this.#parts.readers.leave()
  }

  begin(key: EntryKey, owner: string, seen: number): Begun {
    const { readers, segment, statistics } = this.#parts
    if (!segment.ready) segment.adopt()
    this.#hashOf(key)
    const { low, high } = HASHED
    const reading = readers.reading
    const begun = this.#begin(key, low, high, owner, seen)
    if (!reading) readers.leave()
    if (begun === 'none') statistics.add(Statistic.NoClaim)
    return begun
  }

  /** It reads where there is something of the key, or of one that is much alike. */
  #begin(key: EntryKey, low: number, high: number, owner: string, seen: number): Begun {
    const { claims, segment, readers } = this.#parts
    const { bytes, length } = key
    const followed = claims.follow(low, high, bytes, length, readers)
    if (followed !== undefined) return this.#follow(followed)
    if (!segment.ready || claims.free === 0 || length > MAX_KEY_BYTES) return 'none'
    const tenant = segment.tenants.open(owner)
    // It has no more under way than others may begin: one whose origin hangs leaves half to them.
    if (tenant.fills > 0 && tenant.fills >= claims.free) return 'none'
    tenant.records++
    const keyRecord = length <= ROW_KEY_BYTES ? 0 : this.#takeKey(key, tenant)
    if (keyRecord >= 0) return this.#claim(key, low, high, keyRecord, tenant, seen)
    segment.tenants.drop(tenant)
    return 'none'
  }

  remove(entry: StoredEntry): void {
    const { index, segment, statistics } = this.#parts
    if (!(entry instanceof FoundEntry) || entry !== this.#found || !this.#parts.readers.reading) return
    if (!index.remove(entry.slot, entry.record)) return
    segment.bury(entry.record)
    statistics.add(Statistic.Removed)
  }

  sweep(now: number, limit: number, useless: (entry: StoredEntry) => boolean): void {
    const { readers, index, segment } = this.#parts
    segment.adopt()
    if (!segment.ready) return
    const reading = readers.reading
    readers.enter()
    const end = Math.min(index.slots, this.#swept + limit)
    for (let slot = this.#swept; slot < end; slot++) {
      const record = index.at(slot)
      if (record === 0 || !segment.owns(record)) continue
      this.#found.slot = slot
      this.#found.open(record)
      if (this.#found.until < now || useless(this.#found)) this.remove(this.#found)
    }
    this.#swept = end === index.slots ? 0 : end
    if (!reading) readers.leave()
    segment.tidy()
  }

  /**
   * Visits what is in the index, of all workers; for people, who wait.
   *
   * @param from a slot, 0 at first
   * @param limit slots at most
   * @param visit the view is valid in the call
   * @returns where to go on, -1 at the end
   */
  scan(from: number, limit: number, visit: (entry: StoredEntry) => void): number {
    const { readers, index } = this.#parts
    const reading = readers.reading
    readers.enter()
    const end = Math.min(index.slots, from + limit)
    for (let slot = from; slot < end; slot++) {
      const record = index.at(slot)
      if (record === 0) continue
      this.#found.slot = slot
      this.#found.open(record)
      visit(this.#found)
    }
    if (!reading) readers.leave()
    return end === index.slots ? -1 : end
  }

  #follow(claimed: Claimed): FollowedFill {
    return new FollowedFill(this.#parts, this.#followers, claimed)
  }

  /** A key that is too long for the row, in memory where other workers compare it. @returns -1: there is no room */
  #takeKey({ bytes, length }: EntryKey, tenant: Tenant): number {
    const { segment, records } = this.#parts
    const units = unitsFor(KEY_RECORD_AT + length)
    const record = segment.take(units, tenant)
    if (record === 0) return -1
    records.set(record, KEY_RECORD_UNITS, units)
    records.set(record, KEY_RECORD_TENANT, tenant.id)
    records.put(record * UNIT_BYTES + KEY_RECORD_AT, bytes, 0, length)
    return record
  }

  #claim(key: EntryKey, low: number, high: number, keyRecord: number, tenant: Tenant, seen: number): Begun {
    const { claims, index, records, segment, layout, readers } = this.#parts
    const { bytes, length } = key
    const claimed = claims.claim(low, high, keyRecord, bytes, length, readers)
    if (claimed === undefined) {
      segment.endKey(keyRecord, tenant)
      // Somebody else has just claimed it, or there is no place.
      const followed = claims.follow(low, high, bytes, length, readers)
      return followed === undefined ? 'none' : this.#follow(followed)
    }
    const record = index.find(low, high, bytes, length, readers)
    if (record !== 0 && serialOf(records, layout, record) !== seen) {
      claims.end(claimed.row, RowState.Recorded)
      segment.endKey(keyRecord, tenant)
      return 'found'
    }
    const own = key.owned === true ? bytes : new Uint8Array(bytes.subarray(0, length))
    return new OwnFill(this.#parts, claimed.row, keyRecord, { tenant, low, high, key: own }, this.#followers)
  }
}
