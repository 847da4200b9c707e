/**
 * The places of a Backend for connections (`maxConnections`), and the requests that wait for one (`maxPending`), as one
 * worker sees them; both are exact over all workers.
 *
 * What is free belongs to the request that has waited longest, in whatever worker and to whichever endpoint:
 *
 * - A newcomer takes a place only when more are free than requests wait.
 * - A connection that comes free carries on for its own endpoint's requests, unless another request has waited
 *   {@link PATIENCE} longer: then it is closed for that one. A connection that lies idle while a place is missing is
 *   closed, in the worker that has it: at once for a worker that has none, and after {@link HANDOVER} for one that has
 *   some, of which one may come free meanwhile. Each costs a connect, and a TLS handshake where there is one.
 * - Who gives a place back wakes the worker whose request is first. A worker that does not come (it hangs) is passed
 *   over after {@link LOOK}.
 *
 * Nothing here takes longer with more endpoints or more requests that wait.
 */
import type { Milliseconds } from '../lib/clock.ts'
import { type Link, LinkedList } from '../lib/linked-list.ts'
import type { NamespaceShare } from '../limit/upstream-budget.ts'
import type { EndpointTable } from '../shared-memory/endpoint-table.ts'
import type { Ledger } from '../shared-memory/ledger.ts'
import { TimerEntry, type Timers } from './timers.ts'

export type Reservation =
  | 'taken'
  /** The Backend is at `maxConnections`: a place may become free. */
  | 'full'
  /** Its namespace has reached its share of this worker's connections. */
  | 'overdrawn'

/** A request without a connection. */
export interface Waiter {
  /** Monotonic milliseconds. */
  since: Milliseconds
  until: Milliseconds
  /** Its link in the line of all that wait in this worker; null while it does not. */
  place: Link<Waiter> | null
  /** A place was taken for it, and it waits no more. */
  admit(): void
  /** It has waited until `until`. */
  expire(): void
}

/** What the pools of a Backend ask for. */
export interface Places {
  /** Connections of this worker that carry no request; the pools count them. */
  idle: number
  /** Takes a place for a connection of a newcomer. */
  reserve(): Reservation
  /** Puts a request for which none was free in the line. @returns false: `maxPending` are waiting already */
  wait(waiter: Waiter): boolean
  /** It waits no more. */
  leave(waiter: Waiter): void
  /** Gives a place back. {@link Places.serve} is to follow, when the caller has done what it has to. */
  give(): void
  /** A place may be free: who waits may go on. */
  serve(): void
  /** Fewer places are free than requests wait: what lies idle is to be closed. */
  readonly short: boolean
  /** Whether somebody has waited so much longer that the next connection is theirs. */
  precedes(waiter: Waiter): boolean
  /** Why no more may wait, for the log. */
  readonly refusal: string
}

export interface PlacesContext {
  readonly timers: Timers
  readonly table: EndpointTable
  readonly worker: number
  readonly share: Pick<NamespaceShare, 'take' | 'give'>
  /** Of the Backend, as they are now. */
  readonly maxConnections: number
  readonly maxPending: number
  /** Closes a connection of the Backend that lies idle in this worker. @returns whether there was one */
  dropIdle(): boolean
}

/** Milliseconds after which a worker looks for itself: whoever was to wake it may have died. */
export const LOOK: Milliseconds = 100
/** Milliseconds by which a request may be overtaken by one that a connection at hand can serve. */
export const PATIENCE: Milliseconds = 100

/** Milliseconds for which a worker with connections waits for one of its own before others close theirs. */
export const HANDOVER: Milliseconds = 20

export class ConnectionPlaces extends TimerEntry implements Places {
  readonly #context: PlacesContext
  readonly #slot: number
  readonly #pending: Ledger
  readonly #line = new LinkedList<Waiter>()
  /** Of this worker, open or being opened: counted for a Backend that has no row of its own. */
  #open = 0
  idle = 0
  #serving = false
  /** Since when places are left to others who have waited longer; 0 = they are not. */
  #leftSince: Milliseconds = 0

  /** @param slot the Backend's own row in the endpoint table; -1: none was left, and its limits are divided */
  constructor(slot: number, context: PlacesContext) {
    super()
    this.#slot = slot
    this.#pending = context.table.pending
    this.#context = context
  }

  /** Requests that wait in this worker. */
  get waiting(): number {
    return this.#line.size
  }

  get refusal(): string {
    const { maxConnections, maxPending } = this.#context
    return `maxConnections (${maxConnections}) are in use and maxPending (${maxPending}) requests wait`
  }

  reserve(): Reservation {
    if (this.#line.size > 0) return 'full'
    return this.#take(this.#context.timers.now)
  }

  wait(waiter: Waiter): boolean {
    const { table, worker, timers } = this.#context
    if (!this.#reservePending()) return false
    waiter.since = timers.now
    waiter.place = this.#line.push(waiter)
    if (this.#line.size === 1) this.#headChanged()
    if (this.#slot >= 0 && table.connections.own(worker, this.#slot) === 0) this.#ringOwners()
    // What was given back before the others could see this one wait.
    this.serve()
    return true
  }

  leave(waiter: Waiter): void {
    const { place } = waiter
    if (place === null) return
    const wasFirst = this.#line.first === waiter
    this.#line.remove(place)
    waiter.place = null
    if (this.#slot >= 0) this.#context.table.pending.giveBack(this.#context.worker, this.#slot)
    if (wasFirst) this.#headChanged()
    // It may have been woken for a place that it does not take now.
    if (this.#line.size === 0) this.#wakeFirst()
  }

  give(): void {
    const { table, worker, share } = this.#context
    share.give()
    this.#open--
    if (this.#slot < 0) return
    table.connections.giveBack(worker, this.#slot)
    this.#wakeFirst()
  }

  /** Wakes the worker whose request has waited longest, where a place is free for it. */
  #wakeFirst(): void {
    if (this.#slot < 0 || this.#free <= 0) return
    const { table, worker } = this.#context
    const first = this.#longestWaiting()
    if (first >= 0 && first !== worker) table.bells.ring(first, this.#slot)
  }

  serve(): void {
    // Closing an idle connection for the first one ends up here again.
    if (this.#serving || this.#line.size === 0) return
    this.#serving = true
    try {
      const { timers } = this.#context
      for (let first = this.#line.first; first !== undefined; first = this.#line.first) {
        if (first.until <= timers.now) {
          this.leave(first)
          first.expire()
        } else if (this.#take(first.since) === 'taken') {
          this.leave(first)
          first.admit()
        } else break
      }
    } finally {
      this.#serving = false
    }
    this.#lookAgain()
  }

  get short(): boolean {
    // Read at the end of nearly every response: nobody waits.
    if (this.#line.size === 0 && (this.#slot < 0 || this.#pending.sum(this.#slot) === 0)) return false
    const waiting = this.#line.size + this.#waitingElsewhere
    return waiting > 0 && this.#free < waiting
  }

  /** Requests of other workers for which connections are closed here. */
  get #waitingElsewhere(): number {
    const { table, worker, timers } = this.#context
    const { pending, connections, waitingSince } = table
    if (this.#slot < 0 || pending.sum(this.#slot) === this.#line.size) return 0
    let waiting = 0
    for (let other = 0; other < pending.workers; other++) {
      if (other === worker || pending.own(other, this.#slot) <= 0) continue
      const since = waitingSince.own(other, this.#slot)
      const isDue = ((timers.now - since) | 0) >= HANDOVER || connections.own(other, this.#slot) === 0
      if (isDue) waiting += pending.own(other, this.#slot)
    }
    return waiting
  }

  /** Less than half of the connections are in use. */
  get halfFree(): boolean {
    return this.#free * 2 > this.#context.maxConnections
  }

  precedes({ since }: Waiter): boolean {
    const first = this.#line.first
    if (first !== undefined && since - first.since > PATIENCE) return true
    return this.#waitingLonger((since - PATIENCE) | 0) > 0
  }

  /** Somebody rang: another worker waits for what lies idle here, or has given something back. */
  answer(): void {
    while (this.idle > 0 && this.short && this.#context.dropIdle());
    this.serve()
  }

  /** The limits are other ones. */
  limitsChanged(): void {
    while (this.idle > 0 && this.#free < 0 && this.#context.dropIdle());
    this.serve()
  }

  expired(): void {
    this.serve()
    if (this.#slot >= 0 && this.#line.size > 0) this.#ringOwners()
  }

  /** Those that have connections may have some that lie idle. */
  #ringOwners(): void {
    const { table, worker } = this.#context
    for (let other = 0; other < table.connections.workers; other++)
      if (other !== worker && table.connections.own(other, this.#slot) > 0) table.bells.ring(other, this.#slot)
  }

  /** Below 0 where the limit has become less. */
  get #free(): number {
    const { maxConnections, table } = this.#context
    if (this.#slot >= 0) return maxConnections - table.connections.sum(this.#slot)
    return Math.max(1, Math.floor(maxConnections / table.connections.workers)) - this.#open
  }

  /** Takes a place for one who has waited since then. */
  #take(since: Milliseconds): Reservation {
    const { share, timers } = this.#context
    if (this.#mustLeave(since)) return 'full'
    // A connection that lies idle at another endpoint is worth less than one that is needed here.
    if (!this.#reserve() && !(this.idle > 0 && this.#context.dropIdle() && this.#reserve())) return 'full'
    this.#open++
    if (share.take(timers.now)) return 'taken'
    this.#open--
    if (this.#slot >= 0) this.#context.table.connections.giveBack(this.#context.worker, this.#slot)
    return 'overdrawn'
  }

  #reserve(): boolean {
    const { table, worker, maxConnections } = this.#context
    return this.#slot < 0 ? this.#free > 0 : table.connections.reserve(worker, this.#slot, maxConnections)
  }

  /** Whether what is free is left to others, who have waited longer. */
  #mustLeave(since: Milliseconds): boolean {
    const longer = this.#waitingLonger(since | 0)
    const free = this.#free
    if (longer === 0 || free > longer) {
      this.#leftSince = 0
      return false
    }
    // A newcomer takes its place in the line first.
    if (this.#line.size === 0) return true
    if (free <= 0) {
      this.#leftSince = 0
      return true
    }
    const { timers } = this.#context
    if (this.#leftSince === 0) this.#leftSince = timers.now
    else if (timers.now - this.#leftSince >= LOOK) {
      this.#leftSince = 0
      return false
    }
    this.#wakeFirst()
    return true
  }

  /** Requests of other workers, as far as their first has waited longer than since then. */
  #waitingLonger(since: number): number {
    if (this.#slot < 0) return 0
    const { table, worker } = this.#context
    const { pending, waitingSince } = table
    let longer = 0
    for (let other = 0; other < pending.workers; other++) {
      if (other === worker) continue
      const waiting = pending.own(other, this.#slot)
      if (waiting > 0 && ((waitingSince.own(other, this.#slot) - since) | 0) < 0) longer += waiting
    }
    return longer
  }

  /** The worker whose first request has waited longest; -1: nobody waits. */
  #longestWaiting(): number {
    const { pending, waitingSince } = this.#context.table
    let longest = -1
    for (let worker = 0; worker < pending.workers; worker++) {
      if (pending.own(worker, this.#slot) <= 0) continue
      const behind = waitingSince.own(worker, this.#slot) - waitingSince.own(Math.max(longest, 0), this.#slot)
      if (longest < 0 || (behind | 0) < 0) longest = worker
    }
    return longest
  }

  #reservePending(): boolean {
    const { table, worker, maxPending } = this.#context
    // For a limit, 0 is none at all, and in a ledger no limit.
    if (maxPending === 0) return false
    if (this.#slot >= 0) return table.pending.reserve(worker, this.#slot, maxPending)
    return this.#line.size < Math.max(1, Math.floor(maxPending / table.pending.workers))
  }

  #headChanged(): void {
    const first = this.#line.first
    if (this.#slot >= 0 && first !== undefined)
      this.#context.table.waitingSince.set(this.#context.worker, this.#slot, first.since | 0)
    if (first === undefined) this.#leftSince = 0
    if (!this.#serving) this.#lookAgain()
  }

  #lookAgain(): void {
    const { timers } = this.#context
    const first = this.#line.first
    if (first === undefined) timers.disarm(this)
    else {
      const isNew = timers.now - first.since < HANDOVER
      timers.arm(this, Math.min(first.until, isNew ? first.since + HANDOVER : timers.now + LOOK))
    }
  }
}
