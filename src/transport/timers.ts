/**
 * Coarse timers for connections: a hashed wheel (Varghese & Lauck 1987, scheme 6) with lazy re-arming. A connection
 * that sees traffic only writes a new deadline into its own field; the wheel checks it when the old one expires.
 * So a busy connection costs no timer work at all, and there is one runtime timer for the whole worker.
 */
import type { Milliseconds, TimerClock } from '../lib/clock.ts'

/** An object with one deadline. Intrusive: the links belong to the wheel. */
export interface Timed {
  /** Monotonic milliseconds; 0 = none. May be moved later at will; to move it earlier call {@link Timers.arm}. */
  due: Milliseconds
  slot: number
  earlier: Timed | null
  later: Timed | null
  /** Called once the deadline has passed; it may arm itself again. */
  expired(now: Milliseconds): void
}

/** Creates an unarmed one. */
export abstract class TimerEntry implements Timed {
  due: Milliseconds = 0
  slot = -1
  earlier: Timed | null = null
  later: Timed | null = null

  abstract expired(now: Milliseconds): void
}

/** Milliseconds of one step: the resolution of deadlines. */
export const TICK: Milliseconds = 20
const SLOTS = 1024
/** How often a turn that goes on for long says so. */
const SIGN_INTERVAL: Milliseconds = 100

export class Timers {
  readonly #clock: Pick<TimerClock, 'monotonic' | 'every'>
  readonly #heads: (Timed | null)[] = new Array(SLOTS).fill(null)
  #armed = 0
  #cursor: number
  #stop: (() => void) | null = null
  readonly #alive: () => void
  #signDue: Milliseconds
  /** Monotonic time of the current turn, good enough for deadlines; refreshed by {@link touch} and each step. */
  now: Milliseconds

  /**
   * @param alive is told, now and then, that connections are read or exchanges end: a turn in which ten thousand
   *   clients send at once takes long, and its thread is not hung
   */
  constructor(clock: Pick<TimerClock, 'monotonic' | 'every'>, alive: () => void = () => {}) {
    this.#clock = clock
    this.#alive = alive
    this.now = clock.monotonic()
    this.#signDue = this.now + SIGN_INTERVAL
    this.#cursor = Math.floor(this.now / TICK)
  }

  /** Number of armed deadlines, for tests for leaks. */
  get armed(): number {
    return this.#armed
  }

  touch(): Milliseconds {
    this.now = this.#clock.monotonic()
    if (this.now >= this.#signDue) {
      this.#signDue = this.now + SIGN_INTERVAL
      this.#alive()
    }
    return this.now
  }

  /** @param deadline monotonic milliseconds; 0 disarms */
  arm(timed: Timed, deadline: Milliseconds): void {
    timed.due = deadline
    if (deadline === 0) {
      this.disarm(timed)
      return
    }
    // Before the slot is reckoned: while nothing was armed the cursor stood still.
    if (this.#stop === null) this.#start()
    const slot = this.#slotOf(deadline)
    if (timed.slot === slot) return
    // Already waiting in a slot that comes earlier: it will find the new deadline by itself.
    if (timed.slot >= 0 && this.#distance(timed.slot) <= this.#distance(slot)) return
    if (timed.slot >= 0) this.#unlink(timed)
    this.#link(timed, slot)
  }

  disarm(timed: Timed): void {
    timed.due = 0
    if (timed.slot >= 0) this.#unlink(timed)
  }

  #slotOf(deadline: Milliseconds): number {
    const steps = Math.min(Math.max(Math.ceil(deadline / TICK), this.#cursor + 1), this.#cursor + SLOTS - 1)
    return steps % SLOTS
  }

  #distance(slot: number): number {
    return (slot - (this.#cursor % SLOTS) + SLOTS) % SLOTS
  }

  #link(timed: Timed, slot: number): void {
    const head = this.#heads[slot]!
    timed.slot = slot
    timed.earlier = null
    timed.later = head
    if (head !== null) head.earlier = timed
    this.#heads[slot] = timed
    this.#armed++
  }

  #unlink(timed: Timed): void {
    if (timed.earlier !== null) timed.earlier.later = timed.later
    else this.#heads[timed.slot] = timed.later
    if (timed.later !== null) timed.later.earlier = timed.earlier
    timed.slot = -1
    timed.earlier = null
    timed.later = null
    this.#armed--
  }

  #start(): void {
    this.#cursor = Math.floor(this.touch() / TICK)
    this.#stop = this.#clock.every(TICK, () => this.#step())
  }

  #step(): void {
    const target = Math.floor(this.touch() / TICK)
    // After a stall every slot is visited at most once: a second round would find nothing new.
    const from = Math.max(this.#cursor + 1, target - SLOTS + 1)
    for (let step = from; step <= target; step++) {
      this.#cursor = step
      this.#fire(step % SLOTS)
    }
    this.#cursor = Math.max(this.#cursor, target)
    if (this.#armed === 0 && this.#stop !== null) {
      this.#stop()
      this.#stop = null
    }
  }

  #fire(slot: number): void {
    // Taken off one by one, since what expires may disarm any other. Nothing is linked into this slot meanwhile: the
    // farthest is one before it.
    for (let timed = this.#heads[slot]!; timed !== null; timed = this.#heads[slot]!) {
      this.#unlink(timed)
      if (timed.due > this.now) this.#link(timed, this.#slotOf(timed.due))
      else if (timed.due !== 0) {
        timed.due = 0
        timed.expired(this.now)
      }
    }
  }
}
