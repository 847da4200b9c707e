/**
 * Notices that the other end of an HTTP/2 connection is gone: a host that lost its power sends no FIN, and the system
 * would go on for minutes. Where requests wait and nothing has come for a while, a PING must be answered in time.
 */
import type { Milliseconds } from '../lib/clock.ts'
import { TimerEntry, type Timers } from '../transport/timers.ts'

/** Silence before a PING. */
export const SILENCE: Milliseconds = 20_000
/** For the answer to it. */
export const ANSWER: Milliseconds = 10_000
/** Servers of gRPC end connections that are pinged more often than every five minutes (gRFC A8). */
export const BETWEEN_PINGS: Milliseconds = 310_000

export interface Watched {
  /** Something was sent that should be answered. */
  readonly waiting: boolean
  sendPing(): void
  /** It has not answered. */
  dead(): void
}

export class Liveness extends TimerEntry {
  readonly #watched: Watched
  readonly #timers: Timers
  #heardAt: Milliseconds
  /** When the last PING was sent; 0 = never. */
  #pingedAt: Milliseconds = 0
  #unanswered = false

  constructor(watched: Watched, timers: Timers) {
    super()
    this.#watched = watched
    this.#timers = timers
    this.#heardAt = timers.now
  }

  /** A request was sent where none waited: from now on something should come. */
  began(): void {
    this.#heardAt = this.#timers.now
    if (this.due === 0) this.#timers.arm(this, this.#heardAt + SILENCE)
  }

  /** Bytes have come. */
  heard(): void {
    this.#heardAt = this.#timers.now
    this.#unanswered = false
  }

  stop(): void {
    this.#timers.disarm(this)
  }

  expired(now: Milliseconds): void {
    if (this.#unanswered) {
      this.#watched.dead()
      return
    }
    if (!this.#watched.waiting) return
    const silent = this.#heardAt + SILENCE
    const due = this.#pingedAt === 0 ? silent : Math.max(silent, this.#pingedAt + BETWEEN_PINGS)
    if (due > now) {
      this.#timers.arm(this, due)
      return
    }
    this.#pingedAt = now
    this.#unanswered = true
    this.#watched.sendPing()
    this.#timers.arm(this, now + ANSWER)
  }
}
