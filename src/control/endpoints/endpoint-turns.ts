/**
 * Sends endpoints in short turns, fairly by namespace: one Service may have sixty ports and ten thousand pods, which
 * are as many sets, and the next one belongs to somebody else.
 */

import type { Milliseconds } from '../../lib/clock.ts'
import { FairQueue } from '../../lib/fair-queue.ts'
import { namespaceOf } from '../../snapshot/backend-id.ts'

/** Of a turn in which endpoints are sent. */
const SLICE: Milliseconds = 3
/** Of one namespace in it. */
const TURN: Milliseconds = 0.5

export interface EndpointTurnsOptions {
  /** Sends the endpoints of one backend. */
  readonly send: (backend: string) => void
  /** Behind what was sent in one turn. */
  readonly seal: () => void
  /** Everything was sent. @param since when the first of the changes was seen */
  readonly done: (since: Milliseconds) => void
  readonly now: () => Milliseconds
}

export class EndpointTurns {
  readonly #options: EndpointTurnsOptions
  readonly #waiting = new FairQueue({ quantum: TURN })
  #since = Number.POSITIVE_INFINITY
  #next: NodeJS.Immediate | undefined

  constructor(options: EndpointTurnsOptions) {
    this.#options = options
  }

  /** The endpoints of these backends are others: the first are sent at once. @param since when that was seen */
  add(backends: readonly string[], since: Milliseconds): void {
    for (const backend of backends) this.#waiting.add(namespaceOf(backend), backend)
    this.#since = Math.min(this.#since, since)
    if (this.#next === undefined) this.#turn()
  }

  stop(): void {
    clearImmediate(this.#next)
  }

  #turn(): void {
    const { send, seal, done, now } = this.#options
    let before = now()
    const end = before + SLICE
    for (let next = this.#waiting.take(0); next !== undefined; next = this.#waiting.take(0)) {
      send(next.key)
      const after = now()
      this.#waiting.charge(next.group, after - before)
      before = after
      if (after >= end) break
    }
    seal()
    if (this.#waiting.size > 0) {
      this.#next = setImmediate(() => this.#turn())
      return
    }
    this.#next = undefined
    const since = this.#since
    this.#since = Number.POSITIVE_INFINITY
    done(since)
  }
}
