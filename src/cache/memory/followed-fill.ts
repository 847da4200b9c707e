/** Fetches of other requests, in any worker, that requests of this one wait for or read along. */
import type { Doorbells } from '../../shared-memory/doorbells.ts'
import type { FillState, FillUnderWay, HeldEntry } from '../response-memory.ts'
import { type Claimed, type Claims, RowState } from './claims.ts'
import type { HeldRecord, HeldRecords } from './entries.ts'
import { type Layout, ownerOf } from './layout.ts'
import type { Readers } from './readers.ts'
import { type Records, STATE, State } from './record.ts'

const OF_ROW: Readonly<Record<RowState, FillState>> = {
  [RowState.Free]: 'recorded',
  [RowState.Waiting]: 'waiting',
  [RowState.Filling]: 'filling',
  [RowState.Recorded]: 'recorded',
  [RowState.Failed]: 'failed',
  [RowState.Passing]: 'recorded',
}

export interface FollowedParts {
  readonly records: Records
  readonly claims: Claims
  readonly readers: Readers
  readonly held: HeldRecords
  readonly layout: Layout
}

/** Hears of what changes in a row. */
export interface Follower {
  heard(): void
}

/** Those of this worker who follow, by the row of the fill. */
export class Followers {
  readonly #bells: Doorbells
  readonly #worker: number
  readonly #byRow = new Map<number, Set<Follower>>()

  constructor(bells: Doorbells, worker: number) {
    this.#bells = bells
    this.#worker = worker
  }

  add(row: number, fill: Follower): void {
    const fills = this.#byRow.get(row)
    if (fills === undefined) this.#byRow.set(row, new Set([fill]))
    else fills.add(fill)
    // It may have rung before, and nobody was there.
    this.#bells.ring(this.#worker, row)
  }

  remove(row: number, fill: Follower): void {
    const fills = this.#byRow.get(row)
    if (fills?.delete(fill) === true && fills.size === 0) this.#byRow.delete(row)
  }

  /** Tells whoever writes what is in a row. */
  tell(writer: number, row: number): void {
    this.#bells.ring(writer, row)
  }

  /** Something has changed in the fill of a row. */
  heard(row: number): void {
    const fills = this.#byRow.get(row)
    // A copy: who is told may follow another fill in the same row, or cancel.
    if (fills !== undefined) for (const fill of [...fills]) fill.heard()
  }
}

export class FollowedFill implements FillUnderWay {
  readonly type = 'under-way'
  readonly #parts: FollowedParts
  readonly #followers: Followers
  readonly #claimed: Claimed
  #changed: (() => void) | undefined
  #held: HeldRecord | undefined
  /** As it was when nothing more could come. */
  #last: FillState | undefined

  constructor(parts: FollowedParts, followers: Followers, claimed: Claimed) {
    this.#parts = parts
    this.#followers = followers
    this.#claimed = claimed
  }

  get state(): FillState {
    if (this.#last !== undefined) return this.#last
    const state = this.#held === undefined ? this.#ofRow() : this.#ofEntry(this.#held)
    if (state !== 'waiting' && state !== 'filling') this.#last = state
    return state
  }

  follow(changed: () => void): void {
    this.#changed = changed
    this.#followers.add(this.#claimed.row, this)
  }

  hold(): HeldEntry | null {
    const { readers, claims, held } = this.#parts
    const { row, serial } = this.#claimed
    if (this.#held !== undefined || this.#last !== undefined) return null
    const reading = readers.reading
    readers.enter()
    const entry = claims.entry(row)
    // Of the row of another fill, which is not this one's any more.
    if (entry !== 0 && claims.serial(row) === serial) this.#held = held.hold(entry) ?? undefined
    if (!reading) readers.leave()
    const writer = ownerOf(this.#parts.layout, entry)
    if (this.#held !== undefined) this.#held.moved = () => this.#followers.tell(writer, row)
    return this.#held ?? null
  }

  cancel(): void {
    this.#changed = undefined
    this.#followers.remove(this.#claimed.row, this)
  }

  /** Something has changed. */
  heard(): void {
    const changed = this.#changed
    if (this.state !== 'waiting' && this.state !== 'filling') this.cancel()
    changed?.()
  }

  #ofEntry(held: HeldRecord): FillState {
    if (held.gone) return 'failed'
    switch (this.#parts.records.load(held.record, STATE)) {
      case State.Filling:
      case State.Continues:
        return 'filling'
      case State.Failed:
        return 'failed'
      default:
        return 'whole'
    }
  }

  #ofRow(): FillState {
    const { claims } = this.#parts
    const state = claims.state(this.#claimed.row)
    // The row is another fill's by now: nobody knows how this one ended, so that one has to look.
    return claims.serial(this.#claimed.row) === this.#claimed.serial ? OF_ROW[state] : 'recorded'
  }
}
