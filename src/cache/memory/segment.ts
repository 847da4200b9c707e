/**
 * The memory of one worker's entries: it alone takes runs here and frees them, everybody reads. What others take out of
 * the index they leave in a list, which the owner finds when it needs room.
 */
import type { Doorbells } from '../../shared-memory/doorbells.ts'
import type { EntryIndex } from './entry-index.ts'
import { Ghosts } from './ghosts.ts'
import { BUCKET_SLOTS, DEAD_HEAD, type Layout, ownerOf, STARTS, segmentOf, UNIT_BYTES, workerWords } from './layout.ts'
import type { Readers } from './readers.ts'
import {
  ALL_UNITS,
  EXTENT_NEXT,
  EXTENT_UNITS,
  HITS_BYTE,
  NEXT_DEAD,
  NEXT_EXTENT,
  QUEUE_BYTE,
  type Records,
  SLOT,
  STATE,
  State,
  TENANT,
  UNITS,
} from './record.ts'
import { Retired } from './retired.ts'
import { RunAllocator } from './run-allocator.ts'
import { type MemoryStatistics, Statistic } from './statistics.ts'
import { type Tenant, Tenants } from './tenants.ts'

/** Of a segment: what is kept free, so that a fill finds room without waiting for readers. */
const RESERVE_SHARE = 1 / 64
const MAX_RESERVE_UNITS = (4 * 1_024 * 1_024) / UNIT_BYTES
/** Evictions beyond the units needed, until a run is long enough: so many times, so many entries. */
const TRIES = 16
const ENTRIES_A_TRY = 8
/**
 * Work of evictions in one call, in entries that pass by because they were hit: so much for each unit that is taken and
 * so much in any case, where the smallest entry is a dozen units. Hits wait as long as a turn is, and what is short of
 * the reserve is made up for by the calls that follow.
 */
const STEPS_A_UNIT = 1 / 2
/**
 * Where less than half of the reserve is left: as much as is needed where each eviction lets as many pass as it may, so
 * that nothing is lost though all that is stored was hit of late.
 */
const SCARCE_STEPS_A_UNIT = 4
const LEAST_STEPS = 128
/** One that goes costs as much as so many that pass by. */
const STEPS_AN_EVICTION = 4
/** Evicted beyond the reserve, so that not each call has to. */
const SLACK_UNITS = 512
/** What waits to be freed is freed in such numbers, so that looking for readers costs each little. */
const RETIRED_AT_ONCE = 128
/** Or when it is so much of the reserve. */
const RETIRED_SHARE = 1 / 4
/** Slots of the index that are looked at in one call, when the segment of a dead worker is emptied. */
const ADOPTED_SLOTS = 1 << 13

/** Of a segment: what those read who are slow of bodies that are not kept and have ended. */
const PASSED_SHARE = 1 / 4

/** A body that is not kept, see `passed-pieces.ts`. */
export interface Passed {
  readonly units: number
  /** It has come to its end, and what there is of it is little. */
  readonly isOver: boolean
  trim(): void
  takeBack(): void
}

export interface SegmentParts {
  readonly records: Records
  readonly index: EntryIndex
  readonly layout: Layout
  readonly readers: Readers
  readonly statistics: MemoryStatistics
  readonly bells: Doorbells
}

export class Segment {
  readonly tenants: Tenants
  /** Of which something is not free yet, the oldest first. */
  readonly passed = new Set<Passed>()
  readonly #records: Records
  readonly #index: EntryIndex
  readonly #layout: Layout
  readonly #readers: Readers
  readonly #statistics: MemoryStatistics
  readonly #runs: RunAllocator
  readonly #first: number
  readonly #own: number
  readonly #reserve: number
  readonly #retired: Retired
  /**
   * Of the index, up to where it has been searched for entries of the worker before; undefined: the segment is ours.
   */
  #adopted: number | undefined
  #adoptedEpoch: number | undefined

  constructor({ records, index, layout, readers, statistics, bells }: SegmentParts) {
    this.#records = records
    this.#index = index
    this.#layout = layout
    this.#readers = readers
    this.#statistics = statistics
    const { worker } = readers
    const { words } = records
    this.#own = workerWords(layout, worker)
    this.#first = segmentOf(layout, worker)
    this.#reserve = Math.min(Math.floor(layout.segmentUnits * RESERVE_SHARE), MAX_RESERVE_UNITS)
    const ghosts = new Ghosts(words, layout.ghostsAt, layout.ghostBuckets)
    this.tenants = new Tenants(records, ghosts, layout.workers)
    const bitsAt = layout.bitsAt + worker * layout.bitWords
    // The first owner finds zeros, in pages that take no memory as long as nobody writes to them.
    const first = Atomics.add(words, this.#own + STARTS, 1) === 0
    if (!first) words.fill(0, bitsAt, bitsAt + layout.bitWords)
    this.#runs = new RunAllocator(words, this.#first, bitsAt)
    this.#retired = new Retired({ records, layout, readers, bells, tenants: this.tenants, runs: this.#runs })
    if (first) this.#runs.release(this.#first, layout.segmentUnits)
    else this.#adopted = 0
    this.#count()
  }

  /** Whether entries can be stored: not until those of a worker that died are gone. */
  get ready(): boolean {
    return this.#adopted === undefined
  }

  owns(record: number): boolean {
    return ownerOf(this.#layout, record) === this.#readers.worker
  }

  /** Goes on emptying the segment of a worker that died. */
  adopt(): void {
    if (this.#adopted === undefined) return
    const end = Math.min(this.#adopted + ADOPTED_SLOTS, this.#index.slots)
    for (let slot = this.#adopted; slot < end; slot++) {
      const record = this.#index.at(slot)
      if (record === 0 || !this.owns(record) || !this.#index.remove(slot, record)) continue
      this.#records.store(record, STATE, State.Dead)
    }
    this.#adopted = end
    if (end < this.#index.slots) return
    this.#adoptedEpoch ??= this.#readers.seal()
    if (!this.#readers.passed(this.#adoptedEpoch)) return
    this.#adopted = undefined
    // Whoever has put something there has done so while reading.
    Atomics.store(this.#records.words, this.#own + DEAD_HEAD, 0)
    this.#releaseAllButPinned()
    this.#count()
  }

  /** One run, counted to a tenant. @returns 0: there is no room */
  take(units: number, tenant: Tenant): number {
    if (units > this.#layout.segmentUnits) return 0
    const { waiting, waitingUnits } = this.#retired
    if (waiting >= RETIRED_AT_ONCE || waitingUnits > this.#reserve * RETIRED_SHARE) this.#reclaim()
    let run = this.#runs.take(units)
    if (run === 0) {
      this.#gather(units, tenant)
      run = this.#runs.take(units)
      if (run === 0) return 0
    }
    this.tenants.weigh(tenant, units)
    if (this.#runs.free + this.#retired.units < this.#reserve) this.#evictFor(0, units, tenant)
    this.#count()
    return run
  }

  /**
   * The units that {@link take} has for a run: the ones wanted, or fewer where memory is in pieces.
   *
   * @returns 0: there is no room
   */
  available(wanted: number, least: number, tenant: Tenant): number {
    if (this.#runs.largest < wanted) this.#makeRoom(wanted, tenant)
    if (this.#runs.largest < least) this.#gather(least, tenant)
    const { largest } = this.#runs
    if (largest >= wanted) return wanted
    return largest >= least ? largest : 0
  }

  /** The end of a run that turned out too long. */
  giveBack(start: number, units: number, tenant: Tenant): void {
    this.#runs.release(start, units)
    this.tenants.weigh(tenant, -units)
    this.#count()
  }

  /** An entry of the index is no entry any more: somebody has just taken it out. While reading. */
  bury(record: number): void {
    const records = this.#records
    if (!records.swap(record, STATE, State.Whole, State.Dead)) return
    if (this.owns(record)) {
      // Of the worker before: it is freed with all that this one has left.
      if (!this.ready) return
      this.tenants.remove(record)
      this.retire(record)
      return
    }
    const { words } = records
    const head = workerWords(this.#layout, ownerOf(this.#layout, record)) + DEAD_HEAD
    for (;;) {
      const first = Atomics.load(words, head)
      records.store(record, NEXT_DEAD, first)
      if (Atomics.compareExchange(words, head, first, record) === first) return
    }
  }

  /** An entry of this segment, of which nobody can hear any more: it is freed as soon as nobody reads it. */
  retire(record: number): void {
    this.#retired.add(record)
  }

  /** The key of a fill, or the fill itself where it has none here (0): it is counted as a record of its tenant. */
  endKey(record: number, tenant: Tenant): void {
    if (record === 0) this.tenants.drop(tenant)
    else this.#retired.addKey(record)
  }

  /** Frees what can be freed, for statistics that are true and memory that is there when it is needed. */
  tidy(): void {
    this.#reclaim()
    this.#count()
  }

  /** Evicts until there is room for the units and for the reserve, and frees what can be freed. */
  #makeRoom(units: number, tenant: Tenant): void {
    this.#collectDead()
    this.#evictFor(units, units, tenant)
    this.#reclaim()
  }

  /** As far as the work is little beside that of writing what is taken. */
  #evictFor(units: number, taken: number, tenant: Tenant): void {
    const reserve = this.#reserve + Math.min(SLACK_UNITS, this.#reserve)
    const wanted = Math.min(units + reserve, this.#layout.segmentUnits)
    const isScarce = this.#runs.free + this.#retired.units < this.#reserve / 2
    const steps = Math.floor(taken * (isScarce ? SCARCE_STEPS_A_UNIT : STEPS_A_UNIT))
    const most = this.tenants.passed + steps + LEAST_STEPS
    for (let evicted = 0; this.#runs.free + this.#retired.units < wanted; evicted++)
      if (this.tenants.passed + evicted * STEPS_AN_EVICTION >= most || !this.#evict(tenant)) return
  }

  /**
   * Evicts until one run is long enough, where memory is in pieces. Nothing more goes while a reader keeps what went
   * from being free: it would not be free before that, and everything would go for nothing, others' entries too.
   */
  #gather(units: number, tenant: Tenant): void {
    this.#makeRoom(units, tenant)
    for (let tries = 0; tries < TRIES && this.#runs.largest < units; tries++) {
      if (this.#retired.units === 0)
        for (let i = 0; i < ENTRIES_A_TRY; i++) if (!this.#evict(tenant)) return this.#reclaim()
      this.#reclaim()
    }
  }

  /**
   * Evicts an entry of this segment in whose slot another key may stand, which has no other: that with the fewest hits
   * among those of the same tenant, or of one who has as much.
   */
  vacate({ tenant, low, high }: { readonly tenant: Tenant; readonly low: number; readonly high: number }): boolean {
    let victim = 0
    for (const first of this.#index.buckets(low, high))
      for (let slot = first; slot < first + BUCKET_SLOTS; slot++) {
        const record = this.#index.at(slot)
        if (record === 0 || !this.owns(record) || this.#records.byte(record, QUEUE_BYTE) === 0) continue
        if (this.tenants.of(record).weight < tenant.weight) continue
        if (victim === 0 || this.#hits(record) < this.#hits(victim)) victim = record
      }
    if (victim === 0) return false
    this.tenants.remove(victim)
    this.#drop(victim)
    return true
  }

  #hits(record: number): number {
    return this.#records.byte(record, HITS_BYTE)
  }

  #evict(tenant: Tenant): boolean {
    const record = this.tenants.evict(tenant)
    if (record !== 0) this.#drop(record)
    return record !== 0
  }

  /** What stands in no queue any more goes. */
  #drop(record: number): void {
    // Who has taken it out of the index is the only one to say so of it.
    if (this.#index.remove(this.#records.get(record, SLOT), record)) this.#records.set(record, STATE, State.Dead)
    // Where somebody else has done so first, it may stand in the list of the dead, and is passed over there.
    else this.#records.swap(record, STATE, State.Whole, State.Dead)
    this.retire(record)
    this.#statistics.add(Statistic.Evicted)
  }

  /** Whoever holds what is marked lets go of it. */
  tellHolders(): void {
    this.#retired.tellHolders()
  }

  #reclaim(): void {
    if (this.passed.size > 0) this.#reclaimPassed()
    this.#retired.reclaim(() => this.#collectDead())
  }

  #reclaimPassed(): void {
    let excess = -this.#layout.segmentUnits * PASSED_SHARE
    for (const passed of this.passed) {
      passed.trim()
      if (passed.isOver) excess += passed.units
    }
    for (const passed of this.passed) {
      if (excess <= 0) return
      if (!passed.isOver) continue
      excess -= passed.units
      passed.takeBack()
    }
  }

  #collectDead(): void {
    let record = Atomics.exchange(this.#records.words, this.#own + DEAD_HEAD, 0)
    while (record !== 0) {
      const next = this.#records.load(record, NEXT_DEAD)
      this.tenants.remove(record)
      this.retire(record)
      record = next
    }
  }

  /** Of the worker before, nothing is left but what somebody still reads. */
  #releaseAllButPinned(): void {
    const records = this.#records
    const pinned = new Set<number>()
    this.#readers.pinned(pinned)
    const runs: { readonly start: number; readonly units: number }[] = []
    const tenant = this.tenants.open('')
    for (const record of pinned) {
      if (!this.owns(record)) continue
      let all = records.get(record, UNITS)
      runs.push({ start: record, units: all })
      for (let run = records.get(record, NEXT_EXTENT); run !== 0; run = records.get(run, EXTENT_NEXT)) {
        const units = records.get(run, EXTENT_UNITS)
        runs.push({ start: run, units })
        all += units
      }
      records.set(record, ALL_UNITS, all)
      records.set(record, TENANT, tenant.id)
      tenant.records++
      this.#retired.addHeld(record)
    }
    let free = this.#first
    for (const { start, units } of runs.sort((a, b) => a.start - b.start)) {
      if (start > free) this.#runs.release(free, start - free)
      free = start + units
    }
    const end = this.#first + this.#layout.segmentUnits
    if (end > free) this.#runs.release(free, end - free)
    if (tenant.records === 0) {
      tenant.records = 1
      this.tenants.drop(tenant)
    }
  }

  #count(): void {
    const { segmentUnits } = this.#layout
    const used = this.ready ? segmentUnits - this.#runs.free : 0
    this.#statistics.set(Statistic.UsedBytes, used * UNIT_BYTES)
    this.#statistics.set(Statistic.HeldBytes, this.#retired.heldUnits * UNIT_BYTES)
    this.#statistics.set(Statistic.Entries, this.tenants.entries)
  }
}
