/**
 * What every object is to be told, by the last compile, and whether every worker serves it yet: each object for itself.
 */
import type { ObjectStatus } from '../../api/condition.ts'
import type { Milliseconds } from '../../lib/clock.ts'
import { FrozenMap } from '../../snapshot/frozen-map.ts'
import { statusTargetId } from './status-target.ts'

export interface Desired {
  readonly status: ObjectStatus
  /** With which generation of the tables it came. */
  readonly generation: number
  /** Since when it is in force, monotonic. */
  readonly since: Milliseconds
}

/** Statuses looked at between two pauses. */
const AT_ONCE = 256

export class DesiredStatuses {
  readonly #current = new Map<string, Desired>()
  /** Ids whose generation does not serve everywhere yet. */
  readonly #awaited = new Map<string, number>()
  #from = new FrozenMap<ObjectStatus>()
  #next = this.#from
  #changes = new Map<string, ObjectStatus>()
  #gone: string[] = []
  #served = 0

  get(id: string): Desired | undefined {
    return this.#current.get(id)
  }

  ids(): MapIterator<string> {
    return this.#current.keys()
  }

  /** Whether every worker serves what the object is told about. */
  programmed(id: string): boolean {
    return this.#current.has(id) && !this.#awaited.has(id)
  }

  /** The statuses of the next generation, taken in by steps; those that did not change are the same objects. */
  *prepare(statuses: FrozenMap<ObjectStatus>): Generator<void> {
    this.#next = statuses
    this.#changes = new Map()
    this.#gone = []
    let count = 0
    for (const { before, after } of this.#from.changesTo(statuses)) {
      const id = statusTargetId((after ?? before)!)
      if (after === undefined) this.#gone.push(id)
      else this.#changes.set(id, after)
      if (++count % AT_ONCE === 0) yield
    }
  }

  /** What was prepared is in force. @returns ids of what is new or different */
  commit(generation: number, now: Milliseconds): string[] {
    const changed = [...this.#changes.keys()]
    this.#from = this.#next
    for (const [id, status] of this.#changes) {
      this.#current.set(id, { status, generation, since: now })
      if (generation > this.#served) this.#awaited.set(id, generation)
      else this.#awaited.delete(id)
    }
    for (const id of this.#gone) {
      this.#current.delete(id)
      this.#awaited.delete(id)
    }
    this.#changes = new Map()
    this.#gone = []
    return changed
  }

  /** Every worker serves this generation. @returns ids of which that was awaited */
  served(generation: number): string[] {
    this.#served = Math.max(this.#served, generation)
    const served: string[] = []
    for (const [id, awaited] of this.#awaited) {
      if (awaited > this.#served) continue
      this.#awaited.delete(id)
      served.push(id)
    }
    return served
  }
}
