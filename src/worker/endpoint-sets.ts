/**
 * The endpoint sets that control has sent: of each Backend the one in use, and those that wait for the tables with its
 * new protocol.
 */
import { type EndpointChange, EndpointSet } from '../balance/endpoint-set.ts'
import { type RowSet, readRows, SentSets } from '../thread/endpoint-rows.ts'
import type { EndpointRow, EndpointsMessage } from '../thread/messages.ts'

/** What control has sent of one Backend. */
interface SentEndpoints {
  /** In use. */
  readonly set: EndpointSet
  /** With those that wait for their tables. */
  readonly sets: SentSets
  /** The one of them that {@link set} was made of. */
  used: RowSet | undefined
}

export interface EndpointSetsOptions {
  /** How a Backend is connected to; undefined when no tables name it. */
  connects(id: string): string | undefined
  /** The set in use is another one. */
  changed(id: string, set: EndpointSet, change: EndpointChange): void
  /** There is none any more. */
  withdrawn(id: string): void
}

export class EndpointSets {
  readonly #options: EndpointSetsOptions
  readonly #sent = new Map<string, SentEndpoints>()

  constructor(options: EndpointSetsOptions) {
    this.#options = options
  }

  /** In steps, see `Backends.endpoints`. */
  *take(message: EndpointsMessage): Generator<void, void> {
    const { backend: id, connects } = message
    if (connects === null) return this.#withdraw(id)
    let sent = this.#sent.get(id)
    if (sent === undefined)
      this.#sent.set(id, (sent = { set: new EndpointSet(), sets: new SentSets(), used: undefined }))
    const before = sent.sets.newest
    const next = sent.sets.begin(message, connects)
    const rows: EndpointRow[] = []
    for (const text of message.rows) {
      if (rows.length > 0) yield
      const some = readRows(text)
      if (this.#options.connects(id) === connects) sent.set.prepare(some)
      next.put(some)
      for (const row of some) rows.push(row)
    }
    if (this.#options.connects(id) !== connects) {
      // Tables that come back to it find another set than the one that was made of it.
      if (next === sent.used) sent.used = undefined
      return
    }
    const differs = !message.complete && before !== undefined && before === sent.used
    sent.used = next
    this.#changed(id, sent.set, differs ? sent.set.change(message.gone, rows) : sent.set.apply(next.rows))
  }

  /** Withdraws every set but these. */
  retain(ids: readonly string[]): void {
    const kept = new Set(ids)
    for (const id of [...this.#sent.keys()]) if (!kept.has(id)) this.#withdraw(id)
  }

  /** Whether control has sent endpoints of the Backend, and has not withdrawn them. */
  has(id: string): boolean {
    return this.#sent.has(id)
  }

  /** Tables are in force in which the Backend is connected to in this way. @param before how it was before */
  use(id: string, connects: string, before: string | undefined): EndpointSet | undefined {
    const sent = this.#sent.get(id)
    const next = sent?.sets.use(connects)
    if (sent === undefined || next === undefined) return undefined
    if (connects !== before && next !== sent.used) {
      sent.used = next
      this.#changed(id, sent.set, sent.set.apply(next.rows))
    }
    return sent.set
  }

  #withdraw(id: string): void {
    const sent = this.#sent.get(id)
    if (sent === undefined) return
    this.#sent.delete(id)
    this.#changed(id, sent.set, sent.set.apply([]))
    this.#options.withdrawn(id)
  }

  #changed(id: string, set: EndpointSet, change: EndpointChange): void {
    if (change.changed) this.#options.changed(id, set, change)
  }
}
