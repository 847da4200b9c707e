/**
 * Turns a burst of hints into one run: a run begins when nothing has come for `quiet` ms, at the latest `maximum` ms
 * after the first hint. While one is under way, hints wait for its end.
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

  /** Begins without waiting for more, at once or when the run under way has ended. */
  now(): void {
    if (this.#closed) return
    if (this.#running !== undefined) {
      this.#waiting = true
      return
    }
    clearTimeout(this.#timer)
    this.#begin()
  }

  /** Resolves when the run under way, if any, has ended; none begins after it. */
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
