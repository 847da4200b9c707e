import type { TimerClock } from '../lib/clock.ts'

/**
 * Combines a burst of triggers into one run (debounce): a run starts after `quiet` ms without a trigger, at the latest
 * `maximum` ms after the first. Triggers during a run cause another run after its end.
 */
export class HoldOff {
  readonly #time: TimerClock
  readonly #quiet: number
  readonly #maximum: number
  readonly #run: () => Promise<void>
  #first = 0
  #cancel = (): void => {}
  #running: Promise<void> | undefined
  #waiting = false
  #closed = false

  constructor(time: TimerClock, quiet: number, maximum: number, run: () => Promise<void>) {
    this.#time = time
    this.#quiet = quiet
    this.#maximum = maximum
    this.#run = run
  }

  hint(): void {
    if (this.#closed) return
    const now = this.#time.monotonic()
    if (!this.#waiting) this.#first = now
    this.#waiting = true
    if (this.#running !== undefined) return
    this.#cancel()
    const left = this.#first + this.#maximum - now
    this.#cancel = this.#time.after(Math.min(this.#quiet, left), () => this.#begin())
  }

  /** Starts a run without the delay, immediately or after the current run. */
  now(): void {
    if (this.#closed) return
    if (this.#running !== undefined) {
      this.#waiting = true
      return
    }
    this.#cancel()
    this.#begin()
  }

  /** Resolves when the current run, if any, has ended; no further run starts. */
  async close(): Promise<void> {
    this.#closed = true
    this.#cancel()
    await this.#running
  }

  #begin(): void {
    this.#waiting = false
    this.#running = this.#run().finally(() => {
      this.#running = undefined
      if (this.#waiting) {
        this.#waiting = false
        this.hint()
      }
    })
  }
}
