/**
 * How much of the requests that a Backend is meant for it can take, where a split has another to fall back on. Counted
 * when a request asks and a state has changed since: a change costs nothing while nobody asks.
 */
import type { Milliseconds } from '../lib/clock.ts'
import { type EndpointTable, isEligible, OUT, SLOT_STATE } from '../shared-memory/endpoint-table.ts'
import type { Endpoint } from './endpoint.ts'
import type { Room } from './priority-split.ts'

/**
 * Endpoints are thought to have so much room, in percent of their load with all of them well. With Envoy's factor, that
 * is from 71 % of well endpoints on nothing goes elsewhere ("Overprovisioning Factor", Envoy's documentation of
 * priority levels).
 */
const OVERPROVISIONING = 140
/** Endpoints counted in a millisecond at the most: a Backend of 10,000 whose states change all the time. */
const COUNTED_A_MILLISECOND = 1_000
/** Of a Backend that states none. */
const DEFAULT_PANIC_PERCENT = 30

/** States of endpoints, and when to count them. */
type States = Pick<EndpointTable, 'state' | 'changes'>

export class Availability implements Room {
  /**
   * 0 … 1: of the requests of its part of a split. 0 where fewer than `panicPercent` of its ready endpoints are well.
   */
  share = 0
  /** There is an endpoint that gets requests, be it in panic or terminating. */
  usable = false
  readonly #states: States
  /** Of the endpoints that waited for a trial when they were counted, the first. */
  #trial: Endpoint | null = null
  #counted = false
  #changes = 0
  #due: Milliseconds = 0

  constructor(states: States) {
    this.#states = states
  }

  /** An endpoint that waits for the one request that ends its ejection. */
  get trial(): Endpoint | null {
    const trial = this.#trial
    return trial !== null && (this.#states.state(trial.slot) & SLOT_STATE.trial) !== 0 ? trial : null
  }

  /** Endpoints or `panicPercent` are others. */
  forget(): void {
    this.#counted = false
  }

  /** Makes it what it is now, or, of more than a thousand endpoints, was up to a microsecond for each ago. */
  refresh(endpoints: readonly Endpoint[], panicPercent: number | undefined, now: Milliseconds): this {
    const { changes } = this.#states
    if (this.#counted && (changes === this.#changes || now < this.#due)) return this
    this.#counted = true
    // Before they are counted: what changes meanwhile is counted the next time.
    this.#changes = changes
    this.#due = now + Math.floor(endpoints.length / COUNTED_A_MILLISECOND)
    this.#count(endpoints, panicPercent ?? DEFAULT_PANIC_PERCENT)
    return this
  }

  #count(endpoints: readonly Endpoint[], panicPercent: number): void {
    let ready = 0
    let well = 0
    this.usable = false
    this.#trial = null
    for (const endpoint of endpoints) {
      const state = this.#states.state(endpoint.slot)
      if (isEligible(state)) this.usable = true
      // A terminating endpoint has no room that could be counted on.
      if (endpoint.state !== 'ready' || (state & SLOT_STATE.retired) !== 0) continue
      ready++
      if ((state & OUT) !== 0) continue
      if ((state & SLOT_STATE.trial) === 0) well++
      else this.#trial ??= endpoint
    }
    this.share = shareOf(well, ready, panicPercent)
  }
}

function shareOf(well: number, ready: number, panicPercent: number): number {
  if (well === 0 || well * 100 < panicPercent * ready) return 0
  return Math.min(1, (well * OVERPROVISIONING) / (ready * 100))
}
