/**
 * When to rebuild, and how without holding up the loop: a burst of changes becomes one rebuild, and a rebuild runs in
 * slices. One at a time; what changes meanwhile is in the next, which starts at once, so the newest always wins and
 * none is starved.
 */
import type { Milliseconds } from '../../lib/clock.ts'

/** After a change, quiet for this long … */
const QUIET: Milliseconds = 5
/** … but a steady stream of changes is not waited out. */
const LONGEST: Milliseconds = 40
/** Longest turn of the loop; a little less than the house rule allows, since the last step overshoots. */
const SLICE: Milliseconds = 4

export interface BuildSchedulerOptions<T> {
  /** Reads the state of the world when its first step runs. */
  readonly steps: () => Generator<void, T>
  /** @param since when the first of the changes in it was seen, monotonic */
  readonly done: (result: T, since: Milliseconds) => void
  readonly failed: (error: unknown) => void
  readonly now: () => Milliseconds
  /** Whether the state of the world is whole just now; {@link BuildScheduler.resume} is called when it is again. */
  readonly mayBegin: () => boolean
}

export class BuildScheduler<T> {
  readonly #options: BuildSchedulerOptions<T>
  /** When the first change was seen that no rebuild has taken up. */
  #since: Milliseconds | undefined
  #timer: NodeJS.Timeout | undefined
  #running = false
  #stopped = false

  constructor(options: BuildSchedulerOptions<T>) {
    this.#options = options
  }

  /**
   * Something has changed.
   *
   * @param urgent not to be held off: it came alone, or was held off before
   * @param since when it was seen, where that was not just now
   */
  request(urgent = false, since?: Milliseconds): void {
    if (this.#stopped) return
    const now = this.#options.now()
    this.#since = Math.min(this.#since ?? now, since ?? now)
    if (this.#running) return
    clearTimeout(this.#timer)
    const wait = urgent ? 0 : Math.max(0, Math.min(QUIET, this.#since + LONGEST - now))
    this.#timer = setTimeout(() => this.#begin(), wait)
  }

  /** The state of the world is whole again: begins what had to wait for it. */
  resume(): void {
    if (this.#since !== undefined) this.request(true)
  }

  stop(): void {
    this.#stopped = true
    clearTimeout(this.#timer)
  }

  #begin(): void {
    const since = this.#since
    if (since === undefined || this.#stopped || !this.#options.mayBegin()) return
    this.#since = undefined
    this.#running = true
    this.#slice(this.#options.steps(), since)
  }

  #slice(steps: Generator<void, T>, since: Milliseconds): void {
    if (this.#stopped) return
    const { now, done, failed } = this.#options
    const end = now() + SLICE
    try {
      for (;;) {
        const step = steps.next()
        if (step.done) {
          done(step.value, since)
          break
        }
        if (now() >= end) {
          setImmediate(() => this.#slice(steps, since))
          return
        }
      }
    } catch (error) {
      failed(error)
    }
    this.#running = false
    if (this.#since !== undefined) setImmediate(() => this.#begin())
  }
}
