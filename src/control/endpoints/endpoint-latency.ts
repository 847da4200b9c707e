/**
 * How long it takes until endpoints act: a message behind them, which every worker sends back as soon as it has handled
 * them. Nothing waits for the answers; they are for the metric alone.
 */
import type { Milliseconds } from '../../lib/clock.ts'
import type { ToWorker } from '../../thread/messages.ts'

/** A worker that hangs is ended by the supervisor; until then this many may be out, the oldest is given up. */
const MOST = 1_024

interface Echo {
  readonly since: Milliseconds
  readonly waiting: Set<number>
}

export class EndpointLatency {
  readonly #out = new Map<number, Echo>()
  #last = 0

  /** @param since when the change was seen @returns what to send to these workers behind it */
  call(workers: Iterable<number>, since: Milliseconds): ToWorker {
    const id = ++this.#last
    this.#out.set(id, { since, waiting: new Set(workers) })
    if (this.#out.size > MOST) this.#out.delete(this.#out.keys().next().value!)
    return { type: 'echo', id }
  }

  /** @returns since when it was waited for, when this was the last answer to it */
  heard(worker: number, id: number): Milliseconds | undefined {
    const echo = this.#out.get(id)
    if (echo === undefined || !echo.waiting.delete(worker) || echo.waiting.size > 0) return undefined
    this.#out.delete(id)
    return echo.since
  }

  /** It will not answer any more. A time that was reached in this way says nothing and is not told. */
  gone(worker: number): void {
    for (const [id, { waiting }] of this.#out) if (waiting.delete(worker) && waiting.size === 0) this.#out.delete(id)
  }
}
