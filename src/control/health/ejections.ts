/**
 * Keeps the time of ejections. Workers eject (worker/passive-health.ts), in shared memory; here an ejection is found by
 * its mark, and ended after its period: the next request that picks the endpoint is its trial. A control thread that
 * takes the place of another finds the marks and begins their periods anew.
 */
import { describeFault, describeRate } from '../../balance/fault.ts'
import type { Milliseconds } from '../../lib/clock.ts'
import { type EndpointTable, SLOT_STATE } from '../../shared-memory/endpoint-table.ts'
import type { PassiveHealth } from '../../snapshot/health.ts'

/** The longest ejection, unless the first is longer. */
const MAX_EJECTION: Milliseconds = 300_000

interface Watched {
  readonly backend: string
  passive: PassiveHealth
  /** How many times in a row it was ejected when it was last looked at. */
  ejections: number
  phase: 'ejected' | 'trial' | 'well'
  /** When the phase is over: the trial, another trial, or an ejection less in the count. */
  until: Milliseconds
  /** Wall clock. */
  since: Milliseconds
}

export interface Ejection {
  readonly reason: string
  /** Wall clock. */
  readonly since: Milliseconds
}

export interface EjectionEvents {
  /** An endpoint is ejected, for the first time or again. */
  ejected(backend: string, slot: number, reason: string, period: Milliseconds): void
  /** A trial went well, or nobody has asked for the endpoint in all its time. */
  restored(backend: string, slot: number, why: 'TrialSucceeded' | 'Untried'): void
}

export class Ejections {
  readonly #table: EndpointTable
  readonly #events: EjectionEvents
  readonly #watched = new Map<number, Watched>()
  /** No period is over before. */
  #soonest: Milliseconds = Number.POSITIVE_INFINITY

  constructor(table: EndpointTable, events: EjectionEvents) {
    this.#table = table
    this.#events = events
  }

  /** Whether time alone may change something. */
  get any(): boolean {
    return this.#watched.size > 0
  }

  /** Why and since when an endpoint is ejected, or on trial; undefined when it is neither. */
  of(slot: number): Ejection | undefined {
    const watched = this.#watched.get(slot)
    if (watched === undefined || watched.phase === 'well') return undefined
    return { reason: this.#reason(slot, watched), since: watched.since }
  }

  /** The endpoint is in no set any more, or its Backend has no passive checks. */
  forget(slot: number): void {
    this.#watched.delete(slot)
  }

  /**
   * Looks at the mark of an endpoint.
   * @returns whether it is in another phase than before
   */
  look(backend: string, slot: number, passive: PassiveHealth, now: Milliseconds, wall: Milliseconds): boolean {
    const state = this.#table.state(slot)
    const watched = this.#watched.get(slot)
    const ejected = (state & (SLOT_STATE.ejected | SLOT_STATE.trial)) !== 0
    const ejections = this.#table.faults.ejections(slot)
    if (watched === undefined) {
      if (!ejected && ejections === 0) return false
      return this.#begin(slot, { backend, passive, ejections: 0, phase: 'well', until: 0, since: wall }, now, wall)
    }
    watched.passive = passive
    if (ejected && (watched.phase === 'well' || ejections > watched.ejections))
      return this.#begin(slot, watched, now, wall)
    if (ejected || watched.phase === 'well') return false
    this.#restored(backend, slot, watched, 'TrialSucceeded', now)
    return true
  }

  /**
   * Ends periods that are over.
   * @returns Backends of which an endpoint is in another phase
   */
  expire(now: Milliseconds): Set<string> {
    const changed = new Set<string>()
    if (now < this.#soonest) return changed
    this.#soonest = Number.POSITIVE_INFINITY
    for (const [slot, watched] of this.#watched) {
      if (now < watched.until) {
        this.#soonest = Math.min(this.#soonest, watched.until)
        continue
      }
      if (watched.phase === 'well') {
        this.#table.faults.forgive(slot)
        watched.ejections = this.#table.faults.ejections(slot)
        this.#wait(watched, now + watched.passive.baseEjection)
        if (watched.ejections === 0) this.#watched.delete(slot)
        continue
      }
      if (watched.phase === 'trial' && this.#isUntried(slot) && this.#table.waiveTrial(slot)) {
        this.#restored(watched.backend, slot, watched, 'Untried', now)
        changed.add(watched.backend)
        continue
      }
      // A trial that brought nothing in all this time, since its worker died or its request goes on, is offered again.
      this.#table.offerTrial(slot)
      if (watched.phase === 'ejected') {
        // Else PeakEWMA would leave the trial to others for long.
        this.#table.latency.forget(slot)
        changed.add(watched.backend)
      }
      watched.phase = 'trial'
      this.#wait(watched, now + Math.max(watched.passive.baseEjection, 1_000))
    }
    return changed
  }

  /**
   * No request has picked the endpoint while its trial was open, and its probes do not fail: a Backend without traffic,
   * in this replica or at all, must not be reported as failing until somebody asks.
   */
  #isUntried(slot: number): boolean {
    const state = this.#table.state(slot)
    return (state & SLOT_STATE.trial) !== 0 && (state & SLOT_STATE.unhealthy) === 0
  }

  #restored(
    backend: string,
    slot: number,
    watched: Watched,
    why: 'TrialSucceeded' | 'Untried',
    now: Milliseconds,
  ): void {
    watched.phase = 'well'
    this.#wait(watched, now + watched.passive.baseEjection)
    this.#events.restored(backend, slot, why)
  }

  #wait(watched: Watched, until: Milliseconds): void {
    watched.until = until
    this.#soonest = Math.min(this.#soonest, until)
  }

  #begin(slot: number, watched: Watched, now: Milliseconds, wall: Milliseconds): boolean {
    const { baseEjection } = watched.passive
    watched.ejections = this.#table.faults.ejections(slot)
    const period = Math.min(baseEjection * Math.max(watched.ejections, 1), Math.max(baseEjection, MAX_EJECTION))
    const ejected = (this.#table.state(slot) & (SLOT_STATE.ejected | SLOT_STATE.trial)) !== 0
    watched.phase = ejected ? 'ejected' : 'well'
    this.#wait(watched, now + period)
    watched.since = wall
    this.#watched.set(slot, watched)
    if (ejected) this.#events.ejected(watched.backend, slot, this.#reason(slot, watched), period)
    return ejected
  }

  #reason(slot: number, { ejections, passive }: Watched): string {
    const cause = this.#table.faults.cause(slot)
    const rate = describeRate(cause)
    if (rate !== undefined) return ejections > 1 ? `${rate}; ejected ${ejections} times` : rate
    const fault = describeFault(cause)
    if (ejections > 1) return `its trial failed: ${fault}; ejected ${ejections} times`
    return `${passive.consecutiveFailures} requests in a row failed, the last one with: ${fault}`
  }
}
