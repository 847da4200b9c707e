/**
 * Ejects endpoints by what requests meet there: so many failures in a row, over all workers. When the time of an
 * ejection is over, one request is the trial that ends or repeats it (control/health/ejections.ts keeps the time).
 */
import { COUNT_PRICE, ejectWithin, updatePanic } from '../balance/eligibility.ts'
import type { Endpoint } from '../balance/endpoint.ts'
import { faultCode, NO_EVIDENCE, WELL } from '../balance/fault.ts'
import type { AttemptObserver, AttemptOutcome } from '../exchange/attempt-observer.ts'
import type { Milliseconds } from '../lib/clock.ts'
import type { LinkedBackend } from '../link/linked-tables.ts'
import { type EndpointTable, SLOT_STATE } from '../shared-memory/endpoint-table.ts'
import { type HealthConfig, isPassive } from '../snapshot/health.ts'

/** An endpoint that ends loses its idle connections first, and leaves its set soon after. */
const JUST_NOW: Milliseconds = 2_000

export class PassiveHealth implements AttemptObserver {
  readonly #table: EndpointTable
  readonly #timers: { readonly now: Milliseconds }
  readonly #next: AttemptObserver
  /** Trials of this worker that are under way, by slot: since when. */
  readonly #trials = new Map<number, Milliseconds>()
  /** Backends of which as many are ejected as may be: until then no more are tried. */
  readonly #fullUntil = new WeakMap<LinkedBackend, Milliseconds>()

  /** @param next receives the same calls, the end of an attempt behind what is done here: it gives the slot back */
  constructor(table: EndpointTable, timers: { readonly now: Milliseconds }, next: AttemptObserver) {
    this.#table = table
    this.#timers = timers
    this.#next = next
  }

  admits(_backend: LinkedBackend, { slot }: Endpoint): boolean {
    const state = this.#table.state(slot)
    if (state === SLOT_STATE.live) return true
    if ((state & SLOT_STATE.trial) === 0) return this.#table.eligible(slot)
    // In panic it gets requests besides its trial.
    if (!this.#table.takeTrial(slot)) return this.#table.eligible(slot)
    this.#trials.set(slot, this.#timers.now)
    return true
  }

  isSuspect(backend: LinkedBackend, endpoint: Endpoint): boolean {
    return this.#table.faults.inARow(endpoint.slot) > 0 || this.#timers.now - backend.pool(endpoint).lostAt < JUST_NOW
  }

  attemptStarted(backend: LinkedBackend, endpoint: Endpoint): void {
    this.#next.attemptStarted(backend, endpoint)
  }

  attemptAnswered(backend: LinkedBackend, endpoint: Endpoint, status: number, took: Milliseconds): void {
    this.#next.attemptAnswered?.(backend, endpoint, status, took)
  }

  attemptEnded(outcome: Readonly<AttemptOutcome>): void {
    const { backend, endpoint } = outcome
    const { health } = backend.plan
    if (health !== undefined && isPassive(health.passive)) {
      const { failure, status, unanswered, grpcStatus, slowClient } = outcome
      const code = faultCode(failure, status, unanswered, grpcStatus, slowClient)
      if (this.#trials.size > 0 && this.#isTrial(outcome))
        this.#endTrial(backend, health, endpoint.slot, isStale(outcome) ? NO_EVIDENCE : code)
      else if (code === WELL) this.#succeeded(health, endpoint.slot)
      else if (code !== NO_EVIDENCE) this.#count(backend, health, endpoint.slot, code)
      if (code !== NO_EVIDENCE && health.passive.successRate.belowMeanPercent > 0)
        this.#table.faults.count(endpoint.slot, code !== WELL)
    }
    this.#next.attemptEnded(outcome)
  }

  /** An attempt that began before the ejection says nothing about it. */
  #isTrial({ endpoint, startedAt }: AttemptOutcome): boolean {
    const since = this.#trials.get(endpoint.slot)
    return since !== undefined && startedAt >= since
  }

  #count(backend: LinkedBackend, { passive, panicPercent }: HealthConfig, slot: number, code: number): void {
    const { endpoints } = backend
    const { faults } = this.#table
    if (passive.consecutiveFailures === 0) return
    const inARow = faults.failed(slot)
    const limit = passive.consecutiveFailures
    if (inARow !== limit && inARow < 2 * limit) return
    // At the cap: endpoints by the thousand are not counted at each failure.
    if (this.#timers.now >= (this.#fullUntil.get(backend) ?? 0)) {
      if (ejectWithin(this.#table, endpoints, slot, passive.maxEjectionPercent, code)) {
        updatePanic(this.#table, endpoints, panicPercent)
        return faults.mark(slot)
      }
      this.#fullUntil.set(backend, this.#timers.now + endpoints.length * COUNT_PRICE)
    }
    if (inARow === limit) this.#table.changed()
    else faults.countFrom(slot, limit)
  }

  #succeeded({ passive }: HealthConfig, slot: number): void {
    const failures = this.#table.faults.succeeded(slot)
    // Of an endpoint at the cap, splits with priorities have to know.
    if (failures > 0 && failures >= passive.consecutiveFailures) this.#table.changed()
  }

  #endTrial({ endpoints }: LinkedBackend, { panicPercent }: HealthConfig, slot: number, code: number): void {
    const table = this.#table
    this.#trials.delete(slot)
    if ((table.state(slot) & SLOT_STATE.trying) === 0) return
    if (code === NO_EVIDENCE) table.offerTrial(slot)
    else if (code === WELL) {
      table.restore(slot)
      table.faults.succeeded(slot)
      // Where shares grow slowly (`slowStart`), they do so for one that is back, too.
      table.latency.began(slot, this.#timers.now)
    } else {
      table.faults.ejected(slot, code)
      table.mark(slot, SLOT_STATE.trying, false)
    }
    updatePanic(table, endpoints, panicPercent)
    table.faults.mark(slot)
  }
}

/**
 * The connection had been kept since before the ejection, most likely, and its server has closed it, as it may at any
 * time (RFC 9112 §9.3.1).
 */
function isStale({ failure, reused }: AttemptOutcome): boolean {
  return reused && failure === 'ResetBeforeResponse'
}
