/**
 * What was written lately, so that nothing is written twice while a watch is behind, and a status that another writer
 * changes back is written less and less often.
 */
import type { Milliseconds, TimerClock } from '../../lib/clock.ts'
import { FairMap } from '../../lib/fair-map.ts'

import { canonical, type Seen } from './seen-statuses.ts'
import type { Difference, StatusDocument } from './status-document.ts'
import { namespaceOfId } from './status-target.ts'

/** A watch may still show what was before our write. */
const WATCH_DELAY: Milliseconds = 1_000
/** Between two writes of which the second only counts endpoints anew. */
const COUNTS: Milliseconds = 5_000
/** Between two writes of the same, because another writer has changed it back. */
const FIGHT: Milliseconds = 5_000
const MAX_FIGHT: Milliseconds = 600_000
/** Over all namespaces; where there is no room, the one with the most forgets its oldest. */
const MAX_KEPT = 2_048

interface Written {
  readonly uid: string
  readonly resourceVersion: string
  /** Of the object, as it was written to: a watch that shows a newer one has shown our write before. */
  readonly generation: number | undefined
  readonly text: string
  readonly at: Milliseconds
  /** How often the same was written again. */
  readonly repeats: number
  /** The log reports that another writer undoes it. */
  reported: boolean
}

export class WrittenStatuses {
  readonly #time: TimerClock
  readonly #written = new FairMap<Written>(MAX_KEPT)

  constructor(time: TimerClock) {
    this.#time = time
  }

  /** @param stored the object as it is since */
  note(id: string, wanted: StatusDocument, { uid, resourceVersion, generation }: Seen): void {
    const text = canonical(wanted)
    const namespace = namespaceOfId(id)
    const before = this.#written.get(namespace, id)
    const again = before?.text === text && before.uid === uid
    const repeats = again ? before.repeats + 1 : 0
    const reported = again && before.reported
    const at = this.#time.monotonic()
    this.#written.set(namespace, id, { uid, resourceVersion, generation, text, at, repeats, reported })
  }

  /** @returns how long a write has to wait, and whether another writer undoes it */
  waitFor(id: string, wanted: StatusDocument, seen: Seen, how: Difference): { wait: Milliseconds; fight: boolean } {
    const namespace = namespaceOfId(id)
    const written = this.#written.get(namespace, id)
    // Deleted and created again: the new object has no status yet.
    if (written === undefined || written.uid !== seen.uid) return { wait: 0, fight: false }
    const age = this.#time.monotonic() - written.at
    const shown = seen.resourceVersion === written.resourceVersion || seen.generation !== written.generation
    const behind = shown ? 0 : WATCH_DELAY
    if (age > MAX_FIGHT) {
      this.#written.delete(namespace, id)
      return { wait: 0, fight: false }
    }
    if (written.text === canonical(wanted)) {
      const wait = Math.min(FIGHT * 2 ** written.repeats, MAX_FIGHT) - age
      const fight = written.repeats >= 3 && !written.reported
      if (fight) written.reported = true
      return { wait: Math.max(wait, behind - age), fight }
    }
    return { wait: (how === 'counts' ? COUNTS : behind) - age, fight: false }
  }
}
