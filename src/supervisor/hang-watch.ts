/**
 * Tells a thread that hangs from one that is merely not given the processor. A hung worker keeps its share of the
 * connections that SO_REUSEPORT deals out and answers none, so it must be ended soon; ending a healthy one on a starved
 * machine makes everything worse.
 */
import type { Milliseconds } from '../lib/clock.ts'

/** Without a beat for this long, not counting the time it waited for a processor, a thread counts as hung. */
export const HANG_AFTER: Milliseconds = 600

/** How long a thread may take from its start to its first beat, by the same count: it loads its code in that time. */
export const START_WITHIN: Milliseconds = 15_000

/** Waiting for a processor is not forgiven for longer than this. */
const FORGIVEN: Milliseconds = 15_000

export class HangWatch {
  readonly #interval: Milliseconds
  readonly #beats: () => number
  readonly #waited: () => Milliseconds | undefined
  readonly #hangsAfter: Milliseconds
  #last = 0
  #seen = 0
  #changedAt: Milliseconds = 0
  #lookedAt: Milliseconds = 0
  /** What `waited` said when the silence began. */
  #before: Milliseconds | undefined

  /**
   * @param interval how often {@link hung} will be asked
   * @param beats of the watched thread
   * @param waited how long the thread has waited for a processor since it began, where the system tells; a look costs
   *   file reads, so only while there is no beat
   * @param hangsAfter see {@link HANG_AFTER}
   */
  constructor(
    interval: Milliseconds,
    beats: () => number,
    waited: () => Milliseconds | undefined,
    hangsAfter: Milliseconds = HANG_AFTER,
  ) {
    this.#hangsAfter = hangsAfter
    this.#interval = interval
    this.#beats = beats
    this.#waited = waited
  }

  /** The thread has just been started. */
  begin(now: Milliseconds): void {
    this.#last = this.#beats()
    this.#seen = 0
    this.#changedAt = now
    this.#lookedAt = now
    this.#before = undefined
  }

  hung(now: Milliseconds): boolean {
    // Our own turn came late: then the others have not had their chance to beat either.
    const late = now - this.#lookedAt - this.#interval
    if (late > this.#interval) this.#changedAt += late
    this.#lookedAt = now

    const beats = this.#beats()
    if (beats !== this.#last) {
      this.#last = beats
      this.#seen++
      this.#changedAt = now
      this.#before = undefined
      return false
    }
    this.#before ??= this.#waited()
    const silent = now - this.#changedAt
    const limit = this.#seen === 0 ? START_WITHIN : this.#hangsAfter
    if (silent <= limit) return false
    // A thread in an endless loop runs, one stuck in a system call sleeps: neither waits for a processor.
    const waiting = (this.#waited() ?? 0) - (this.#before ?? 0)
    return silent - Math.min(waiting, FORGIVEN) > limit
  }
}
