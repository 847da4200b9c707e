/**
 * Records that must be stored before the changes they belong to are published: a released hostname belongs to its
 * namespace by its record alone, so tables without its Route are published after the record. A slow disk or API server
 * delays other changes for a bounded time only.
 */
import type { Milliseconds, TimerClock } from '../../lib/clock.ts'

const WITHIN: Milliseconds = 500

export class AwaitedRecords {
  readonly #time: Pick<TimerClock, 'after'>
  readonly #done: () => void
  #open = 0

  /** @param done called when no record is awaited any more */
  constructor(time: Pick<TimerClock, 'after'>, done: () => void) {
    this.#time = time
    this.#done = done
  }

  get busy(): boolean {
    return this.#open > 0
  }

  async add(written: Promise<void>): Promise<void> {
    this.#open++
    const { promise: late, resolve } = Promise.withResolvers<void>()
    const cancel = this.#time.after(WITHIN, resolve)
    await Promise.race([written, late])
    cancel()
    if (--this.#open === 0) this.#done()
  }
}
