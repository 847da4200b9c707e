/** What this replica has been told of the purges of others: up to which place of each. */
import { decodePurge, PLAIN, type PurgeRecord } from '../../cache/purge-record.ts'
import type { GivenUp, Hello } from './peer-wire.ts'

/** Processes that are remembered; one that was forgotten counts as new. */
const MAX_HEARD = 512

interface Heard {
  readonly incarnation: string
  position: number
}

export class HeardPurges {
  readonly #heard = new Map<string, Heard>()
  readonly #purge: (record: PurgeRecord) => void

  /** @param purge acts by a record in this process */
  constructor(purge: (record: PurgeRecord) => void) {
    this.#purge = purge
  }

  /**
   * Where what it has purged before is not known, and cannot be told any more, everything counts as purged; or all of
   * the namespaces that it was of.
   *
   * @returns the place up to which its records are known
   */
  welcome({ process, incarnation, first, fresh, lost, given }: Hello): number {
    const known = this.#heard.get(process)
    let position = known?.incarnation === incarnation ? known.position : 0
    const continues = known?.incarnation === incarnation || (known === undefined ? fresh : !lost && !fresh)
    if (!continues || position < first - 1) {
      if (continues && given !== undefined && position >= given.since) this.#purgeGivenUp(given, position)
      else this.#purge({ ...PLAIN, kind: 'everything' })
      position = Math.max(position, first - 1)
    }
    this.#heard.delete(process)
    this.#heard.set(process, { incarnation, position })
    if (this.#heard.size > MAX_HEARD) this.#heard.delete(this.#heard.keys().next().value!)
    return position
  }

  #purgeGivenUp({ namespaces }: GivenUp, position: number): void {
    for (const [namespace, last] of namespaces) if (last > position) this.#purge({ ...PLAIN, kind: 'all', namespace })
  }

  /** @returns the place up to which they act; undefined: it is not the next one */
  accept({ process, incarnation }: Hello, first: number, records: readonly string[]): number | undefined {
    const heard = this.#heard.get(process)
    if (heard === undefined || heard.incarnation !== incarnation || first > heard.position + 1) return undefined
    for (const text of records.slice(heard.position + 1 - first)) {
      this.#purge(recordOf(text))
      heard.position++
    }
    return heard.position
  }
}

/** It is no business of others any more. What is none, or of another version of the gateway, may be anything. */
function recordOf(text: string): PurgeRecord {
  const record = decodePurge(Buffer.from(text, 'base64'))
  if (record === undefined || record.kind === 'mark' || record.kind === 'history')
    return { ...PLAIN, kind: 'everything' }
  return { ...record, id: 0, position: 0 }
}
