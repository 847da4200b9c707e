/**
 * Records that must be where a restart finds them before what they are about acts: a hostname that is released belongs
 * to its namespace by a record alone, so tables without its Route are published behind it. A disk or an API server that
 * takes long holds up nobody for longer than others can wait for their changes.
 */
import { setTimeout as delay } from 'node:timers/promises'
import type { Milliseconds } from '../../lib/clock.ts'

const WITHIN: Milliseconds = 500

export class AwaitedRecords {
  readonly #done: () => void
  #open = 0

  /** @param done nothing is waited for any more */
  constructor(done: () => void) {
    this.#done = done
  }

  get busy(): boolean {
    return this.#open > 0
  }

  async add(written: Promise<void>): Promise<void> {
    this.#open++
    await Promise.race([written, delay(WITHIN, undefined, { ref: false })])
    if (--this.#open === 0) this.#done()
  }
}
