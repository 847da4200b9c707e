/**
 * Measures how long it takes until endpoints act: a message behind them, which every worker returns as soon as it has
 * handled them. Nothing waits for the answers; they are for the metric alone.
 */
import type { Milliseconds } from '../../lib/clock.ts'
import type { ToWorker } from '../../thread/messages.ts'

/** The supervisor ends a worker that hangs; until then so many may be unanswered, the oldest is given up. */
const MOST = 1_024

interface Unanswered {
  readonly since: Milliseconds
  readonly waiting: Set<number>
}

export class LatencyProbe {
  readonly #out = new Map<number, Unanswered>()
  #last = 0

  /** @param since when the change was seen @returns what to send to these workers behind it */
  start(workers: Iterable<number>, since: Milliseconds): ToWorker {
    const id = ++this.#last
    this.#out.set(id, { since, waiting: new Set(workers) })
    if (this.#out.size > MOST) this.#out.delete(this.#out.keys().next().value!)
    return { type: 'latency-probe', id }
  }

  /** @returns since when it was waited for, when this was the last answer to it */
  answered(worker: number, id: number): Milliseconds | undefined {
    const probe = this.#out.get(id)
    if (probe === undefined || !probe.waiting.delete(worker) || probe.waiting.size > 0) return undefined
    this.#out.delete(id)
    return probe.since
  }

  /** The worker does not answer any more. A time reached in this way means nothing and is not reported. */
  gone(worker: number): void {
    for (const [id, { waiting }] of this.#out) if (waiting.delete(worker) && waiting.size === 0) this.#out.delete(id)
  }
}
