/**
 * Tells a thread that hangs from one that is merely not given the processor. A hung worker keeps its share of the connections that
 * SO_REUSEPORT deals out and answers none, so it must be ended soon; ending a healthy one on a starved machine
 * makes everything worse.
 */
import type { Milliseconds } from '../lib/clock.ts'

/** Without a beat for this long a thread counts as hung. */
export const HANG_AFTER: Milliseconds = 600

/** How long a thread may take from its start to its first beat: it loads its code in that time. */
export const START_WITHIN: Milliseconds = 15_000

/** A starved thread is not forgiven for longer than this. */
const FORGIVE_UNTIL: Milliseconds = 10_000

/** How a thread spent its time so far, in milliseconds: on a processor, and waiting for one. */
export interface ProcessorTime {
  readonly running: Milliseconds
  readonly waiting: Milliseconds
}

export class HangWatch {
  readonly #expected: Milliseconds
  readonly #beats: () => number
  readonly #processorTime: () => ProcessorTime | undefined
  #last = 0
  #seen = 0
  #changedAt: Milliseconds = 0
  #lookedAt: Milliseconds = 0
  #forgiven: Milliseconds = 0
  #sample: ProcessorTime | undefined

  /**
   * @param interval how often {@link hung} will be asked
   * @param beats of the watched thread
   * @param processorTime of the watched thread where the system tells; a look costs a file read, so only in doubt
   */
  constructor(interval: Milliseconds, beats: () => number, processorTime: () => ProcessorTime | undefined) {
    this.#expected = interval
    this.#beats = beats
    this.#processorTime = processorTime
  }

  /** The thread has just been started. */
  begin(now: Milliseconds): void {
    this.#last = this.#beats()
    this.#seen = 0
    this.#changedAt = now
    this.#lookedAt = now
    this.#forgiven = 0
    this.#sample = undefined
  }

  hung(now: Milliseconds): boolean {
    // Our own turn came late: then nobody was running, and the others have not had their chance to beat either.
    const late = now - this.#lookedAt - this.#expected
    if (late > this.#expected) this.#changedAt += late
    this.#lookedAt = now

    const beats = this.#beats()
    if (beats !== this.#last) {
      this.#last = beats
      this.#seen++
      this.#changedAt = now
      this.#forgiven = 0
      this.#sample = undefined
      return false
    }
    const silent = now - this.#changedAt
    if (this.#seen === 0) return silent > START_WITHIN
    if (silent > HANG_AFTER / 2) this.#sample ??= this.#processorTime()
    if (silent <= HANG_AFTER) return false
    return !this.#starved(now)
  }

  /** It wanted to run more than it ran. A thread in an endless loop runs; one stuck in a system call does neither. */
  #starved(now: Milliseconds): boolean {
    const before = this.#sample
    const after = this.#processorTime()
    if (before === undefined || after === undefined) return false
    const silent = now - this.#changedAt
    if (this.#forgiven + silent > FORGIVE_UNTIL) return false
    if (after.waiting - before.waiting <= after.running - before.running) return false
    this.#forgiven += silent
    this.#changedAt = now - HANG_AFTER / 2
    this.#sample = after
    return true
  }
}
