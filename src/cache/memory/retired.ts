/**
 * Records of one segment that nobody finds any more, until their memory can be used again: when no worker reads since
 * before they went, and nobody holds them. Called by the owner of the segment alone.
 */
import type { Doorbells } from '../../shared-memory/doorbells.ts'
import { bellsOf, type Layout } from './layout.ts'
import type { Readers } from './readers.ts'
import {
  ALL_UNITS,
  EXTENT_NEXT,
  EXTENT_UNITS,
  KEY_RECORD_TENANT,
  KEY_RECORD_UNITS,
  LIMBO_BYTE,
  Limbo,
  NEXT_EXTENT,
  type Records,
  TENANT,
  UNITS,
} from './record.ts'
import type { RunAllocator } from './run-allocator.ts'
import type { Tenants } from './tenants.ts'

/** Of a segment: what entries may take that are gone and still held; the rest is for those that are not. */
const HELD_SHARE = 1 / 4

interface Batch {
  readonly epoch: number
  /** Entries, and keys of fills as negative numbers. */
  readonly records: readonly number[]
}

/** What slow readers hold of one tenant. */
interface Holding {
  units: number
  /** In the order in which they went. */
  readonly records: number[]
  /** How many of these have been taken back. */
  taken: number
}

export interface RetiredParts {
  readonly records: Records
  readonly layout: Layout
  readonly readers: Readers
  readonly bells: Doorbells
  readonly tenants: Tenants
  readonly runs: RunAllocator
}

export class Retired {
  readonly #records: Records
  readonly #layout: Layout
  readonly #readers: Readers
  readonly #bells: Doorbells
  readonly #tenants: Tenants
  readonly #runs: RunAllocator
  /** Not sealed yet. */
  #retired: number[] = []
  #retiredUnits = 0
  #batches: Batch[] = []
  /** Of what is retired or in batches. */
  #units = 0
  /** Somebody reads them still. */
  #held: number[] = []
  #heldUnits = 0
  readonly #pinned = new Set<number>()

  constructor({ records, layout, readers, bells, tenants, runs }: RetiredParts) {
    this.#records = records
    this.#layout = layout
    this.#readers = readers
    this.#bells = bells
    this.#tenants = tenants
    this.#runs = runs
  }

  /** That are free as soon as all readers have gone on. */
  get units(): number {
    return this.#units
  }

  get heldUnits(): number {
    return this.#heldUnits
  }

  /** Records whose epoch has not begun. */
  get waiting(): number {
    return this.#retired.length
  }

  get waitingUnits(): number {
    return this.#retiredUnits
  }

  /** An entry. Twice, without effect. */
  add(record: number): void {
    const records = this.#records
    if (records.byte(record, LIMBO_BYTE) !== Limbo.No) return
    records.setByte(record, LIMBO_BYTE, Limbo.Waits)
    const units = records.get(record, ALL_UNITS)
    this.#tenants.weigh(this.#tenants.of(record), -units)
    this.#wait(record, units)
  }

  /** The key of a fill. */
  addKey(record: number): void {
    const units = this.#records.get(record, KEY_RECORD_UNITS)
    this.#tenants.weigh(this.#tenants.byId(this.#records.get(record, KEY_RECORD_TENANT)), -units)
    this.#wait(-record, units)
  }

  #wait(record: number, units: number): void {
    this.#units += units
    this.#retiredUnits += units
    this.#retired.push(record)
  }

  /** An entry that is known to be held. */
  addHeld(record: number): void {
    this.#records.setByte(record, LIMBO_BYTE, Limbo.Waits)
    const units = this.#records.get(record, ALL_UNITS)
    this.#tenants.weigh(this.#tenants.of(record), units)
    this.#held.push(record)
    this.#heldUnits += units
  }

  /**
   * Frees what nobody reads any more.
   *
   * @param collect adds what other workers have taken out of the index
   */
  reclaim(collect: () => void): void {
    collect()
    if (this.#retired.length > 0) {
      this.#batches.push({ epoch: this.#readers.seal(), records: this.#retired })
      this.#retired = []
      this.#retiredUnits = 0
    }
    let passed = 0
    while (passed < this.#batches.length && this.#readers.passed(this.#batches[passed]!.epoch)) passed++
    if (passed === 0 && this.#held.length === 0) return
    // Those who took something out while they read have put it into the list by now: nothing in it is freed below.
    collect()
    const pinned = this.#pinned
    this.#readers.pinned(pinned)
    this.#freeHeld(pinned)
    for (const { records } of this.#batches.splice(0, passed)) for (const record of records) this.#freeOrHold(record)
    pinned.clear()
    if (this.#heldUnits > this.#layout.segmentUnits * HELD_SHARE) this.#takeBack()
  }

  /** Slow readers lose what went first, of the tenant of which most is held, until they hold no more than they may. */
  #takeBack(): void {
    const records = this.#records
    let excess = this.#heldUnits - this.#layout.segmentUnits * HELD_SHARE
    const holdings = new Map<number, Holding>()
    for (const record of this.#held) {
      const units = records.get(record, ALL_UNITS)
      if (records.byte(record, LIMBO_BYTE) === Limbo.TakenBack) {
        excess -= units
        continue
      }
      const tenant = records.get(record, TENANT)
      const holding = holdings.get(tenant) ?? { units: 0, records: [], taken: 0 }
      holdings.set(tenant, holding)
      holding.units += units
      holding.records.push(record)
    }
    while (excess > 0) {
      const largest = largestOf(holdings.values())
      if (largest === undefined) break
      const record = largest.records[largest.taken++]!
      const units = records.get(record, ALL_UNITS)
      largest.units -= units
      excess -= units
      records.setByte(record, LIMBO_BYTE, Limbo.TakenBack)
    }
    this.tellHolders()
  }

  /** Whoever holds what is marked as {@link Limbo.TakenBack} lets go of it. */
  tellHolders(): void {
    for (let worker = 0; worker < this.#layout.workers; worker++) this.#bells.ring(worker, bellsOf(this.#layout) - 1)
  }

  #freeHeld(pinned: ReadonlySet<number>): void {
    const still: number[] = []
    for (const record of this.#held) {
      if (pinned.has(record)) {
        still.push(record)
        continue
      }
      const units = this.#records.get(record, ALL_UNITS)
      this.#heldUnits -= units
      this.#tenants.weigh(this.#tenants.of(record), -units)
      this.#free(record)
    }
    this.#held = still
  }

  #freeOrHold(record: number): void {
    if (record < 0) return this.#freeKey(-record)
    const units = this.#records.get(record, ALL_UNITS)
    this.#units -= units
    if (!this.#pinned.has(record)) return this.#free(record)
    this.#heldUnits += units
    this.#held.push(record)
    this.#tenants.weigh(this.#tenants.of(record), units)
  }

  #freeKey(record: number): void {
    const units = this.#records.get(record, KEY_RECORD_UNITS)
    this.#units -= units
    this.#tenants.drop(this.#tenants.byId(this.#records.get(record, KEY_RECORD_TENANT)))
    this.#runs.release(record, units)
  }

  #free(record: number): void {
    const records = this.#records
    this.#tenants.drop(this.#tenants.of(record))
    let run = records.get(record, NEXT_EXTENT)
    this.#runs.release(record, records.get(record, UNITS))
    while (run !== 0) {
      const next = records.get(run, EXTENT_NEXT)
      this.#runs.release(run, records.get(run, EXTENT_UNITS))
      run = next
    }
  }
}

/** The one with the most units, undefined where none has any. */
function largestOf(holdings: Iterable<Holding>): Holding | undefined {
  let largest: Holding | undefined
  for (const holding of holdings) if (holding.units > (largest?.units ?? 0)) largest = holding
  return largest
}
