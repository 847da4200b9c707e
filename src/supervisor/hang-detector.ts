/**
 * Distinguishes a hung thread from one that waits for a CPU. A hung worker still receives its share of the connections
 * that SO_REUSEPORT distributes and answers none of them, so it must be terminated soon; terminating a healthy thread
 * on an overloaded machine increases the load.
 */
import type { Milliseconds } from '../lib/clock.ts'

/** A thread without a heartbeat for this long, not counting its wait for a CPU, counts as hung. */
export const HANG_TIMEOUT: Milliseconds = 600

/** The same limit between a thread's start and its first heartbeat, since it loads its code in that time. */
export const STARTUP_TIMEOUT: Milliseconds = 15_000

/** Wait for a CPU beyond this is not deducted. */
const MAX_CPU_WAIT: Milliseconds = 15_000

export class HangDetector {
  readonly #interval: Milliseconds
  readonly #heartbeats: () => number
  readonly #cpuWait: () => Milliseconds | undefined
  readonly #timeout: Milliseconds
  #lastCount = 0
  #started = false
  #lastBeatAt: Milliseconds = 0
  #checkedAt: Milliseconds = 0
  /** The thread's CPU wait at the first check without a new heartbeat. */
  #cpuWaitBefore: Milliseconds | undefined

  /**
   * @param interval between two calls of {@link isHung}
   * @param heartbeats counted by the watched thread
   * @param cpuWait total time the thread has waited for a CPU, where the system reports it; reads files, so it is
   *   called only while no heartbeat arrives
   * @param timeout see {@link HANG_TIMEOUT}
   */
  constructor(
    interval: Milliseconds,
    heartbeats: () => number,
    cpuWait: () => Milliseconds | undefined,
    timeout: Milliseconds = HANG_TIMEOUT,
  ) {
    this.#interval = interval
    this.#heartbeats = heartbeats
    this.#cpuWait = cpuWait
    this.#timeout = timeout
  }

  /** Call when the thread has been started. */
  reset(now: Milliseconds): void {
    this.#lastCount = this.#heartbeats()
    this.#started = false
    this.#lastBeatAt = now
    this.#checkedAt = now
    this.#cpuWaitBefore = undefined
  }

  isHung(now: Milliseconds): boolean {
    // This check runs late, so the watched thread may have lacked CPU time as well: the delay does not count.
    const late = now - this.#checkedAt - this.#interval
    if (late > this.#interval) this.#lastBeatAt += late
    this.#checkedAt = now

    const count = this.#heartbeats()
    if (count !== this.#lastCount) {
      this.#lastCount = count
      this.#started = true
      this.#lastBeatAt = now
      this.#cpuWaitBefore = undefined
      return false
    }
    this.#cpuWaitBefore ??= this.#cpuWait()
    const silent = now - this.#lastBeatAt
    const limit = this.#started ? this.#timeout : STARTUP_TIMEOUT
    if (silent <= limit) return false
    // A thread in an endless loop runs, and one in a blocking system call sleeps: neither waits for a CPU.
    const waited = (this.#cpuWait() ?? 0) - (this.#cpuWaitBefore ?? 0)
    return silent - Math.min(waited, MAX_CPU_WAIT) > limit
  }
}
