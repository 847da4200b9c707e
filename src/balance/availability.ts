/**
 * How much of the requests that a Backend is meant for it can take, where a split has another to fall back on. Counted
 * when a request asks and a state has changed since: a change costs nothing while nobody asks.
 */
import type { Milliseconds } from '../lib/clock.ts'
import { type EndpointTable, isEligible, OUT, SLOT_STATE } from '../shared-memory/endpoint-table.ts'
import type { Endpoint } from './endpoint.ts'
import type { Room } from './priority-split.ts'

/**
 * Percent of their load for which endpoints are thought to have room, all of them well. With Envoy's overprovisioning
 * factor (its documentation of priority levels) nothing goes elsewhere while 71 % of them are well.
 */
const OVERPROVISIONING = 140
/** Of more endpoints than these, so many are counted in a millisecond at the most, whatever changes. */
const FEW = 32
const COUNTED_A_MILLISECOND = 1_000

/** What is asked of the table. */
export interface States extends Pick<EndpointTable, 'state' | 'changes'> {
  readonly faults: Pick<EndpointTable['faults'], 'inARow'>
}

/** What is asked of the checks of a Backend. */
export interface Checks {
  readonly panicPercent: number
  readonly passive: { readonly consecutiveFailures: number; readonly baseEjection: Milliseconds }
}

const NO_CHECKS: Checks = { panicPercent: 30, passive: { consecutiveFailures: 0, baseEjection: 30_000 } }

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
  /** Of those whose requests fail and that are not ejected, since too many are: the first. */
  #failing: Endpoint | null = null
  /** When a request is to find out whether it still fails; 0 = none is failing. */
  #tryAt: Milliseconds = 0
  #tryEvery: Milliseconds = 0
  #counted = false
  #changes = 0
  #due: Milliseconds = 0
  #now: Milliseconds = 0

  constructor(states: States) {
    this.#states = states
  }

  get trial(): Endpoint | null {
    const trial = this.#trial
    if (trial !== null && (this.#states.state(trial.slot) & SLOT_STATE.trial) !== 0) return trial
    return this.#failing !== null && this.#now >= this.#tryAt ? this.#failing : null
  }

  /** The request that is the trial is on its way. */
  trialBegan(endpoint: Endpoint): void {
    if (endpoint === this.#failing) this.#tryAt = this.#now + this.#tryEvery
  }

  /** Endpoints or checks are others. */
  forget(): void {
    this.#counted = false
  }

  /** Makes it what it is now, or, of many endpoints, was up to a microsecond for each ago. */
  refresh(endpoints: readonly Endpoint[], checks: Checks | undefined, now: Milliseconds): this {
    this.#now = now
    const { changes } = this.#states
    if (this.#counted && (changes === this.#changes || now < this.#due)) return this
    this.#counted = true
    // Before they are counted: what changes meanwhile is counted the next time.
    this.#changes = changes
    const { length } = endpoints
    this.#due = length <= FEW ? now : now + Math.ceil(length / COUNTED_A_MILLISECOND)
    this.#count(endpoints, checks ?? NO_CHECKS)
    return this
  }

  #count(endpoints: readonly Endpoint[], { panicPercent, passive }: Checks): void {
    const limit = passive.consecutiveFailures > 0 ? passive.consecutiveFailures : Number.POSITIVE_INFINITY
    const { faults } = this.#states
    let ready = 0
    let well = 0
    this.usable = false
    this.#trial = null
    this.#failing = null
    for (const endpoint of endpoints) {
      const { slot } = endpoint
      const state = this.#states.state(slot)
      if (isEligible(state)) this.usable = true
      // A terminating endpoint has no room that could be counted on.
      if (endpoint.state !== 'ready' || (state & SLOT_STATE.retired) !== 0) continue
      ready++
      if ((state & OUT) !== 0) continue
      if ((state & SLOT_STATE.trial) !== 0) this.#trial ??= endpoint
      else if (faults.inARow(slot) < limit) well++
      else this.#failing ??= endpoint
    }
    this.share = shareOf(well, ready, panicPercent)
    this.#tryEvery = passive.baseEjection
    if (this.#failing === null) this.#tryAt = 0
    else if (this.#tryAt === 0) this.#tryAt = this.#now + this.#tryEvery
  }
}

function shareOf(well: number, ready: number, panicPercent: number): number {
  if (well === 0 || well * 100 < panicPercent * ready) return 0
  return Math.min(1, (well * OVERPROVISIONING) / (ready * 100))
}
