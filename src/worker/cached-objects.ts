/** Looks for what is stored, for people: goes through the whole index, in slices, one question after the other. */
import { type CachedObject, describeObject } from '../cache/cached-object.ts'
import { FIXED_LABELS, namespaceOf } from '../cache/purge-labels.ts'
import type { PurgeRecord } from '../cache/purge-record.ts'
import { PurgeTable } from '../cache/purge-table.ts'
import { HARD, type Purges } from '../cache/purges.ts'
import { EntryKind, type StoredEntry } from '../cache/response-memory.ts'
import type { Clock } from '../lib/clock.ts'
import { judgePurges, labelsOf, urlOf } from '../policy/cache/purged.ts'

/** Of the index, in one turn of the event loop. */
const SLOTS = 4_096
/** Objects of one answer. */
const MAX_OBJECTS = 100

export interface Scannable {
  scan(from: number, limit: number, visit: (entry: StoredEntry) => void): number
}

export interface CachedObjectsEdges {
  /** Undefined: there is no memory. */
  readonly memory: Scannable | undefined
  readonly purges: Purges
  readonly clock: Pick<Clock, 'wall'>
  nextTurn(run: () => void): void
  found(id: number, objects: readonly CachedObject[], complete: boolean): void
}

interface Question {
  readonly id: number
  /** By namespace: what of it is looked for. */
  readonly tables: ReadonlyMap<number, PurgeTable>
  readonly objects: CachedObject[]
  complete: boolean
}

export class CachedObjects {
  readonly #edges: CachedObjectsEdges

  constructor(edges: CachedObjectsEdges) {
    this.#edges = edges
  }

  /** @param records whatever a purge of these would concern */
  find(id: number, records: readonly PurgeRecord[]): void {
    const tables = new Map<number, PurgeTable>()
    for (const record of records) {
      const table = tables.get(record.namespace) ?? new PurgeTable()
      tables.set(record.namespace, table)
      table.add(record, 1)
    }
    this.#scan({ id, tables, objects: [], complete: true }, 0)
  }

  #scan(question: Question, from: number): void {
    const { memory, nextTurn, found } = this.#edges
    const next = memory === undefined ? -1 : memory.scan(from, SLOTS, (entry) => this.#look(question, entry))
    if (next === -1) found(question.id, question.objects, question.complete)
    else nextTurn(() => this.#scan(question, next))
  }

  #look(question: Question, entry: StoredEntry): void {
    if (entry.kind !== EntryKind.Response) return
    const { tables, objects } = question
    const labels = labelsOf(entry)
    const table = tables.get(namespaceOf(labels))
    if (table?.purges(0, labels, labels.length, () => urlOf(entry)) !== true) return
    if (objects.length === MAX_OBJECTS) {
      question.complete = false
      return
    }
    const { purges, clock } = this.#edges
    const purged = judgePurges(purges, entry) === HARD
    objects.push(describeObject(entry, purged, labels.length - FIXED_LABELS, clock.wall()))
  }
}
