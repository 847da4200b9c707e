/**
 * What a client's HTTP/2 connection is waited for, and how long: its preface, the rest of a head, the acknowledgement
 * of our settings, a sign of life, the next request. One timer of the connection serves them all.
 */

import type { ServerOptions } from '../socket/server-context.ts'
import type { Timers } from '../transport/timers.ts'

/** What the time has come for. */
export type Overdue = 'settings' | 'head' | 'acknowledgement' | 'ping' | 'goaway' | 'look' | 'idle'

/** Milliseconds between the two GOAWAY frames of a drain where no answer to the PING between them comes. */
const GOAWAY_PAUSE = 1_000

export class H2Deadlines {
  readonly #timers: Timers
  readonly #options: ServerOptions
  /** Monotonic milliseconds; 0 = nothing is waited for. */
  #settingsDue: number
  #ackDue: number
  #headDue = 0
  #partialNumber = -1
  #pingDue = 0
  #goawayDue = 0
  #heardAt: number
  #idleSince: number
  #lookedAt: number

  constructor(timers: Timers, options: ServerOptions) {
    const { now } = timers
    this.#timers = timers
    this.#options = options
    this.#settingsDue = now + options.requestHead
    this.#ackDue = now + options.requestHead
    this.#heardAt = now
    this.#idleSince = now
    this.#lookedAt = now
  }

  /** Bytes have come. */
  heard(): void {
    this.#heardAt = this.#timers.now
    this.#pingDue = 0
  }

  /**
   * @param open a head has come in part
   * @param number of the frame or field block that came last
   * @returns whether a deadline is nearer than before
   */
  partial(open: boolean, number: number): boolean {
    if (!open) this.#headDue = 0
    else if (this.#headDue === 0 || number !== this.#partialNumber) {
      const nearer = this.#headDue === 0
      this.#partialNumber = number
      this.#headDue = this.#timers.now + this.#options.requestHead
      return nearer
    }
    return false
  }

  settled(): void {
    this.#settingsDue = 0
  }

  acknowledged(): void {
    this.#ackDue = 0
  }

  pinged(): void {
    this.#pingDue = this.#timers.now + this.#options.requestHead
  }

  goaway(): void {
    this.#goawayDue = this.#timers.now + GOAWAY_PAUSE
  }

  /** The first GOAWAY is sent, and the final one is not. */
  get leaving(): boolean {
    return this.#goawayDue > 0
  }

  /** The final one is sent. */
  left(): void {
    this.#goawayDue = 0
  }

  idle(): void {
    this.#idleSince = this.#timers.now
  }

  busy(): void {
    this.#lookedAt = this.#timers.now
  }

  /** Streams are looked at as often as an idle connection is closed. */
  get #patience(): number {
    return this.#options.keepAlive
  }

  /** @param busy there are streams. @returns monotonic milliseconds */
  next(busy: boolean): number {
    let next = (busy ? this.#lookedAt : this.#idleSince) + this.#patience
    if (this.#settingsDue > 0) next = Math.min(next, this.#settingsDue)
    if (this.#ackDue > 0) next = Math.min(next, this.#ackDue)
    if (this.#headDue > 0) next = Math.min(next, this.#headDue)
    if (this.#pingDue > 0) next = Math.min(next, this.#pingDue)
    return this.#goawayDue > 0 ? Math.min(next, this.#goawayDue) : next
  }

  /** @returns what is due; null: nothing yet */
  overdue(busy: boolean): Overdue | null {
    const { now } = this.#timers
    const over = (due: number): boolean => due > 0 && now >= due
    if (over(this.#settingsDue)) return 'settings'
    if (over(this.#headDue)) return 'head'
    if (over(this.#ackDue)) return 'acknowledgement'
    if (over(this.#pingDue)) return 'ping'
    if (over(this.#goawayDue)) return 'goaway'
    if (!busy) return now >= this.#idleSince + this.#patience ? 'idle' : null
    return now >= this.#lookedAt + this.#patience ? 'look' : null
  }

  /** Nothing has come for as long as an idle connection may wait. */
  get silent(): boolean {
    return this.#pingDue === 0 && this.#timers.now >= this.#heardAt + this.#patience
  }
}
