/**
 * Records that must be where a restart finds them before what they are about acts: a hostname that is released belongs
 * to its namespace by a record alone, so tables without its Route are published behind it. A disk or an API server that
 * takes long delays other changes for no longer than they can wait.
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
