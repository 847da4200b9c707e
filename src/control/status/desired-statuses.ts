/** The status that every object should have by the last compile, and whether every worker serves it yet. */
import type { ObjectStatus } from '../../api/condition.ts'
import type { Milliseconds } from '../../lib/clock.ts'
import type { StatusChange } from './status-sink.ts'
import { statusTargetId } from './status-target.ts'

export interface Desired {
  readonly status: ObjectStatus
  /** With which generation of the tables it came. */
  readonly generation: number
  /** Since when it is in force, monotonic. */
  readonly since: Milliseconds
}

export class DesiredStatuses {
  readonly #current = new Map<string, Desired>()
  /** Ids whose generation does not serve everywhere yet. */
  readonly #awaited = new Map<string, number>()
  #changes = new Map<string, ObjectStatus>()
  #gone: string[] = []
  #served = 0

  get(id: string): Desired | undefined {
    return this.#current.get(id)
  }

  ids(): MapIterator<string> {
    return this.#current.keys()
  }

  /** Whether every worker serves what the status is about. */
  programmed(id: string): boolean {
    return this.#current.has(id) && !this.#awaited.has(id)
  }

  begin(): void {
    this.#changes = new Map()
    this.#gone = []
  }

  /** A status of the next generation. */
  prepare({ before, after }: StatusChange): void {
    const id = statusTargetId((after ?? before)!)
    if (after === undefined) this.#gone.push(id)
    else this.#changes.set(id, after)
  }

  /** What was prepared is in force. @returns ids of what is new or different */
  commit(generation: number, now: Milliseconds): string[] {
    const changed = [...this.#changes.keys()]
    for (const [id, status] of this.#changes) {
      this.#current.set(id, { status, generation, since: now })
      if (generation > this.#served) this.#awaited.set(id, generation)
      else this.#awaited.delete(id)
    }
    for (const id of this.#gone) {
      this.#current.delete(id)
      this.#awaited.delete(id)
    }
    this.begin()
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
