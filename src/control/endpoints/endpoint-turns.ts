/**
 * Sends endpoints in short turns, fairly by namespace: one Service may have sixty ports and ten thousand pods, which
 * are as many sets, and the next one belongs to another namespace.
 */

import type { Milliseconds } from '../../lib/clock.ts'
import { FairQueue } from '../../lib/fair-queue.ts'
import { type SliceClock, SlicedWork, type TimeSlice } from '../../lib/time-slice.ts'
import { namespaceOf } from '../../snapshot/backend-id.ts'

/** Of a slice: what one namespace takes of it before the next one has its turn. */
const QUANTUM: Milliseconds = 0.5

export interface EndpointTurnsOptions {
  /** Sends the endpoints of one backend. */
  readonly send: (backend: string) => void
  /** Behind what was sent in one turn. */
  readonly seal: () => void
  /** Everything was sent. @param since when the first of the changes was seen */
  readonly done: (since: Milliseconds) => void
  readonly time: SliceClock
}

export class EndpointTurns {
  readonly #options: EndpointTurnsOptions
  readonly #waiting = new FairQueue({ quantum: QUANTUM })
  #since = Number.POSITIVE_INFINITY
  readonly #work: SlicedWork

  constructor(options: EndpointTurnsOptions) {
    this.#options = options
    this.#work = new SlicedWork(options.time, (slice) => this.#send(slice))
  }

  /** The endpoints of these backends are others: the first are sent at once. @param since when that was seen */
  add(backends: readonly string[], since: Milliseconds): void {
    for (const backend of backends) this.#waiting.add(namespaceOf(backend), backend)
    this.#since = Math.min(this.#since, since)
    this.#work.run()
  }

  stop(): void {
    this.#work.stop()
  }

  #send(slice: TimeSlice): boolean {
    const { send, seal, done, time } = this.#options
    let before = time.monotonic()
    for (let next = this.#waiting.take(0); next !== undefined; next = this.#waiting.take(0)) {
      send(next.key)
      const after = time.monotonic()
      this.#waiting.charge(next.group, after - before)
      before = after
      if (slice.over) break
    }
    seal()
    if (this.#waiting.size > 0) return true
    const since = this.#since
    this.#since = Number.POSITIVE_INFINITY
    done(since)
    return false
  }
}
