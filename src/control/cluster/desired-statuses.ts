/** What every object is to be told, by the last compile, and whether every worker serves it yet: each object for itself. */
import type { ObjectStatus } from '../../api/condition.ts'
import type { Milliseconds } from '../../lib/clock.ts'
import { subjectId, subjectOfStatus } from './subject.ts'

export interface Desired {
  /** One; for an Ingress those of all Routes it became. */
  readonly statuses: readonly ObjectStatus[]
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
  #from: readonly ObjectStatus[] | undefined
  #changes = new Map<string, readonly ObjectStatus[]>()
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
  *prepare(statuses: readonly ObjectStatus[]): Generator<void> {
    if (statuses === this.#from) return
    this.#changes = new Map()
    const ids = new Set<string>()
    const ingresses = new Map<string, ObjectStatus[]>()
    let count = 0
    for (const status of statuses) {
      const subject = subjectOfStatus(status)
      const id = subjectId(subject)
      ids.add(id)
      if (subject.kind === 'Ingress') {
        const parts = ingresses.get(id)
        if (parts === undefined) ingresses.set(id, [status])
        else parts.push(status)
      } else if (this.#current.get(id)?.statuses[0] !== status) this.#changes.set(id, [status])
      if (++count % AT_ONCE === 0) yield
    }
    for (const [id, parts] of ingresses) {
      parts.sort((a, b) => (a.key < b.key ? -1 : 1))
      const before = this.#current.get(id)?.statuses
      if (before?.length !== parts.length || parts.some((part, i) => part !== before[i])) this.#changes.set(id, parts)
    }
    this.#gone = []
    if (ids.size - this.#changes.size < this.#current.size)
      for (const id of this.#current.keys()) {
        if (!ids.has(id)) this.#gone.push(id)
        if (++count % AT_ONCE === 0) yield
      }
    this.#from = statuses
  }

  /** What was prepared is in force. @returns ids of what is new or different */
  commit(generation: number, now: Milliseconds): string[] {
    const changed = [...this.#changes.keys()]
    for (const [id, statuses] of this.#changes) {
      this.#current.set(id, { statuses, generation, since: now })
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
