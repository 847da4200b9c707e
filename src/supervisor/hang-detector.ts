/**
 * Distinguishes a hung thread from one that waits for a CPU. A hung worker still receives its share of the connections
 * that SO_REUSEPORT distributes and answers none of them, so it must be terminated soon; terminating a healthy thread
 * on an overloaded machine increases the load.
 */
import type { Milliseconds } from '../lib/clock.ts'
import type { CpuWaitLook } from './cpu-wait.ts'

/** A thread without a heartbeat for this long, not counting its wait for a CPU, counts as hung. */
export const HANG_TIMEOUT: Milliseconds = 600

/**
 * The same limit between a thread's start and its first heartbeat, since it loads its code in that time. Twice as long
 * after each start in a row that took longer: with a small part of a CPU none would ever serve.
 */
export const STARTUP_TIMEOUT: Milliseconds = 15_000
export const MAX_STARTUP_TIMEOUT: Milliseconds = 8 * STARTUP_TIMEOUT

/** Part of the limit from which on it is asked what a silent thread waits for: that takes some half a millisecond. */
const ASKED_FROM = 1 / 6

/** Wait for a CPU beyond this is not deducted; while the thread starts, beyond as much as its limit is. */
const MAX_CPU_WAIT: Milliseconds = 15_000

export class HangDetector {
  readonly #interval: Milliseconds
  readonly #heartbeats: () => number
  readonly #cpuWait: () => CpuWaitLook | undefined
  readonly #timeout: Milliseconds
  #lastCount = 0
  #started = false
  #startupTimeout = STARTUP_TIMEOUT
  #checkedAt: Milliseconds = 0
  /** Without a heartbeat, and without what it waited for a CPU. */
  #silent: Milliseconds = 0
  /** What was deducted. */
  #waited: Milliseconds = 0
  /** Of the last check, where that was without a new heartbeat, too. */
  #lastLook: CpuWaitLook | undefined

  /**
   * @param interval between two calls of {@link isHung}
   * @param heartbeats counted by the watched thread
   * @param cpuWait total time the thread has waited for a CPU, where the system reports it; called at each check while
   *   no heartbeat arrives, and only then, since it reads files
   * @param timeout see {@link HANG_TIMEOUT}
   */
  constructor(
    interval: Milliseconds,
    heartbeats: () => number,
    cpuWait: () => CpuWaitLook | undefined,
    timeout: Milliseconds = HANG_TIMEOUT,
  ) {
    this.#interval = interval
    this.#heartbeats = heartbeats
    this.#cpuWait = cpuWait
    this.#timeout = timeout
  }

  /** Call when the thread has been started. */
  reset(now: Milliseconds): void {
    this.#started = false
    this.#checkedAt = now
    this.#heard(this.#heartbeats())
  }

  isHung(now: Milliseconds): boolean {
    const elapsed = now - this.#checkedAt
    this.#checkedAt = now
    const count = this.#heartbeats()
    if (count !== this.#lastCount) {
      this.#started = true
      this.#startupTimeout = STARTUP_TIMEOUT
      this.#heard(count)
      return false
    }
    const limit = this.#started ? this.#timeout : this.#startupTimeout
    const before = this.#lastLook
    const look = this.#silent >= limit * ASKED_FROM ? this.#cpuWait() : undefined
    this.#lastLook = look
    if (before !== undefined && look !== undefined) this.#passed(look.at - before.at, look.waited - before.waited)
    // Where nothing says it and this check runs late, the watched thread may have lacked a CPU as well.
    else this.#passed(elapsed, elapsed - this.#interval)
    const isHung = this.#silent > limit
    if (isHung && !this.#started) this.#startupTimeout = Math.min(2 * limit, MAX_STARTUP_TIMEOUT)
    return isHung
  }

  /** A thread in an endless loop runs, and one in a blocking system call sleeps: neither waits for a CPU. */
  #passed(elapsed: Milliseconds, waited: Milliseconds): void {
    const most = this.#started ? MAX_CPU_WAIT : this.#startupTimeout
    const deducted = Math.max(0, Math.min(waited, elapsed, most - this.#waited))
    this.#waited += deducted
    this.#silent += elapsed - deducted
  }

  #heard(count: number): void {
    this.#lastCount = count
    this.#silent = 0
    this.#waited = 0
    this.#lastLook = undefined
  }
}
