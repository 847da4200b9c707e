/**
 * Records that were given up, as far as they are known: which namespace had the last one where. So many unsafe requests
 * of one namespace cost who is away no more than what it has of that one.
 */
import type { PurgeRecord } from '../../cache/purge-record.ts'
import type { GivenUp } from './peer-wire.ts'

/** Some 36 bytes each, in one message. */
const MAX_NAMESPACES = 4_096

export class GivenUpRecords {
  #since = 0
  readonly #last = new Map<number, number>()

  add({ kind, namespace }: PurgeRecord, place: number): void {
    if (kind !== 'everything') this.#last.set(namespace, place)
    if (kind !== 'everything' && this.#last.size <= MAX_NAMESPACES) return
    this.#last.clear()
    this.#since = place
  }

  get known(): GivenUp {
    return { since: this.#since, namespaces: [...this.#last] }
  }
}
