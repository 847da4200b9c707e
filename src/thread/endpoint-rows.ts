/**
 * Endpoint sets as they are sent. A set of ten thousand changes by one pod at a time: what is sent is the difference,
 * and each receiver has the whole by putting the differences together, in the same order as the sender.
 */
import { EndpointVersions } from '../balance/endpoint-versions.ts'
import type { EndpointRow, EndpointsMessage } from './messages.ts'

/** Of one text: read in a quarter of a millisecond, after which other events may be handled. */
const ROWS_OF_TEXT = 256

export interface EndpointDifference {
  readonly gone: readonly number[]
  readonly rows: readonly EndpointRow[]
}

export function wholeSet(backend: string, rows: readonly EndpointRow[], connects: string): EndpointsMessage {
  return { type: 'endpoints', backend, connects, complete: true, gone: [], rows: textsOf(rows) }
}

/** @param connects of the new set; that of the one before may be another */
export function changedSet(backend: string, { gone, rows }: EndpointDifference, connects: string): EndpointsMessage {
  return { type: 'endpoints', backend, connects, complete: false, gone, rows: textsOf(rows) }
}

export function withdrawnSet(backend: string): EndpointsMessage {
  return { type: 'endpoints', backend, connects: null, complete: true, gone: [], rows: [] }
}

function textsOf(rows: readonly EndpointRow[]): string[] {
  const texts: string[] = []
  for (let at = 0; at < rows.length; at += ROWS_OF_TEXT) texts.push(JSON.stringify(rows.slice(at, at + ROWS_OF_TEXT)))
  return texts
}

export function readRows(text: string): readonly EndpointRow[] {
  return JSON.parse(text)
}

/** A set, in the order in which its endpoints came. */
export class RowSet {
  readonly #bySlot: Map<number, EndpointRow>

  constructor(before?: RowSet) {
    this.#bySlot = new Map(before === undefined ? [] : before.#bySlot)
  }

  get rows(): Iterable<EndpointRow> {
    return this.#bySlot.values()
  }

  take(slots: readonly number[]): void {
    for (const slot of slots) this.#bySlot.delete(slot)
  }

  put(rows: readonly EndpointRow[]): void {
    for (const row of rows) this.#bySlot.set(row.slot, row)
  }
}

/** What was sent of one Backend: a set for each key by which it was connected to, as far as they may still be used. */
export class SentSets {
  readonly #versions = new EndpointVersions<RowSet>()

  /** Each with its key, the newest last. */
  get all(): Iterable<readonly [string, RowSet]> {
    return this.#versions.entries
  }

  get newest(): RowSet | undefined {
    return this.#versions.newest
  }

  /** @returns the set of the message without the rows in it, which the caller {@link RowSet.put puts} there */
  begin({ complete, gone }: EndpointsMessage, connects: string): RowSet {
    const before = complete ? undefined : this.#versions.newest
    // The one before goes on to be used where tables say so.
    const set = before !== undefined && before === this.#versions.get(connects) ? before : new RowSet(before)
    set.take(gone)
    this.#versions.add(connects, set)
    return set
  }

  /** See {@link EndpointVersions.use}. */
  use(connects: string): RowSet | undefined {
    return this.#versions.use(connects)
  }
}
