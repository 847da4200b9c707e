/**
 * Combines a burst of triggers into one run (debounce): a run starts after `quiet` ms without a trigger, at the latest
 * `maximum` ms after the first. Triggers during a run cause another run after its end.
 */
export class HoldOff {
  readonly #quiet: number
  readonly #maximum: number
  readonly #run: () => Promise<void>
  #first = 0
  #timer: NodeJS.Timeout | undefined
  #running: Promise<void> | undefined
  #waiting = false
  #closed = false

  constructor(quiet: number, maximum: number, run: () => Promise<void>) {
    this.#quiet = quiet
    this.#maximum = maximum
    this.#run = run
  }

  hint(): void {
    if (this.#closed) return
    const now = performance.now()
    if (!this.#waiting) this.#first = now
    this.#waiting = true
    if (this.#running !== undefined) return
    clearTimeout(this.#timer)
    const left = this.#first + this.#maximum - now
    this.#timer = setTimeout(() => this.#begin(), Math.max(0, Math.min(this.#quiet, left)))
  }

  /** Starts a run without the delay, immediately or after the current run. */
  now(): void {
    if (this.#closed) return
    if (this.#running !== undefined) {
      this.#waiting = true
      return
    }
    clearTimeout(this.#timer)
    this.#begin()
  }

  /** Resolves when the current run, if any, has ended; no further run starts. */
  async close(): Promise<void> {
    this.#closed = true
    clearTimeout(this.#timer)
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
