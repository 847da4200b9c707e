/**
 * When to build, without holding up the loop: a burst of changes becomes one build, and a build runs in slices. One at
 * a time; what changes meanwhile is in the next, which starts at once, so the newest state always wins and no change
 * waits for ever.
 */
import type { Milliseconds, TimerClock } from '../../lib/clock.ts'
import { SlicedWork, type TimeSlice } from '../../lib/time-slice.ts'

/** After a change, quiet for this long … */
const QUIET: Milliseconds = 5
/** … but a steady stream of changes is not waited out. */
const LONGEST: Milliseconds = 40

export interface BuildSchedulerOptions<T> {
  /** Reads the state of the world when its first step runs. */
  readonly steps: () => Generator<void, T>
  /** @param since when the first of the changes in it was seen, monotonic */
  readonly done: (result: T, since: Milliseconds) => void
  readonly failed: (error: unknown) => void
  readonly time: TimerClock
  /** Whether the state of the world is whole just now; {@link BuildScheduler.resume} is called when it is again. */
  readonly mayBegin: () => boolean
}

interface Running<T> {
  readonly steps: Generator<void, T>
  readonly since: Milliseconds
}

export class BuildScheduler<T> {
  readonly #options: BuildSchedulerOptions<T>
  readonly #work: SlicedWork
  /** When the first change was seen that no build has taken up. */
  #since: Milliseconds | undefined
  #cancel = (): void => {}
  #running: Running<T> | undefined
  #stopped = false

  constructor(options: BuildSchedulerOptions<T>) {
    this.#options = options
    this.#work = new SlicedWork(options.time, (slice) => this.#build(slice))
  }

  /**
   * Something has changed.
   *
   * @param urgent not to be held off: it came alone, or was held off before
   * @param since when it was seen, where that was not just now
   */
  request(urgent = false, since?: Milliseconds): void {
    if (this.#stopped) return
    const { time } = this.#options
    const now = time.monotonic()
    this.#since = Math.min(this.#since ?? now, since ?? now)
    if (this.#running !== undefined || this.#work.scheduled) return
    this.#cancel()
    const wait = urgent ? 0 : Math.max(0, Math.min(QUIET, this.#since + LONGEST - now))
    const begin = (): void => this.#work.run()
    this.#cancel = wait === 0 ? time.nextTurn(begin) : time.after(wait, begin)
  }

  /** The state of the world is whole again: begins what had to wait for it. */
  resume(): void {
    if (this.#since !== undefined) this.request(true)
  }

  stop(): void {
    this.#stopped = true
    this.#cancel()
    this.#work.stop()
  }

  /** @returns whether another slice is needed, of this build or of one that begins in a turn of its own */
  #build(slice: TimeSlice): boolean {
    this.#running ??= this.#next()
    if (this.#running === undefined) return false
    const { steps, since } = this.#running
    try {
      for (;;) {
        const step = steps.next()
        if (step.done === true) {
          this.#options.done(step.value, since)
          break
        }
        if (slice.over) return true
      }
    } catch (error) {
      this.#options.failed(error)
    }
    this.#running = undefined
    return this.#since !== undefined
  }

  #next(): Running<T> | undefined {
    if (this.#since === undefined || !this.#options.mayBegin()) return undefined
    const since = this.#since
    this.#since = undefined
    return { steps: this.#options.steps(), since }
  }
}
