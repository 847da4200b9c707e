/**
 * Looks at the success rates of each Backend's endpoints, within one window of time after the other. Workers count, in
 * shared memory; ejections are those of consecutive failures: same cap, same periods, same trial.
 */
import { ejectAllWithin } from '../../balance/eligibility.ts'
import { rateCode } from '../../balance/fault.ts'
import { findOutliers, type RequestCount } from '../../balance/success-rate.ts'
import type { Milliseconds, Random } from '../../lib/clock.ts'
import type { EndpointTable } from '../../shared-memory/endpoint-table.ts'
import type { PassiveHealth } from '../../snapshot/health.ts'
import type { EndpointRow } from '../../thread/messages.ts'

/** Over which successes and failures are counted. */
export const WINDOW: Milliseconds = 10_000
/** Looks in a window: where thousands of requests a second tell it, nobody waits for its end. */
const LOOKS = 10
const LOOK_EVERY = WINDOW / LOOKS

/** A Backend is to be looked at. */
export interface OutlierLook {
  readonly backend: string
  /** Its window is over: counts begin anew. */
  readonly last: boolean
}

export class Outliers {
  readonly #table: EndpointTable
  readonly #random: Random
  /** By Backend: when it is looked at next, and the number of that look in its window; the soonest first. */
  readonly #due = new Map<string, { readonly at: Milliseconds; readonly look: number }>()
  /** Backends that are new: thousands come together, and are spread over the time between two looks. */
  readonly #fresh = new Map<string, Milliseconds>()

  constructor(table: EndpointTable, random: Random) {
    this.#table = table
    this.#random = random
  }

  /** The Backend is looked at from now on. */
  watch(backend: string, now: Milliseconds): void {
    if (this.#due.has(backend) || this.#fresh.has(backend)) return
    this.#fresh.set(backend, now + this.#random() * LOOK_EVERY)
  }

  forget(backend: string): void {
    this.#due.delete(backend)
    this.#fresh.delete(backend)
  }

  /** What is to be looked at now. */
  *due(now: Milliseconds): Generator<OutlierLook, void> {
    for (const [backend, { at, look }] of this.#due) {
      if (at > now) break
      this.#due.delete(backend)
      this.#due.set(backend, { at: now + LOOK_EVERY, look: (look % LOOKS) + 1 })
      yield { backend, last: look === LOOKS }
    }
    for (const [backend, at] of this.#fresh) {
      if (at > now) continue
      this.#fresh.delete(backend)
      this.#due.set(backend, { at: now + LOOK_EVERY, look: 1 })
    }
  }

  /** Ejects the outliers among the endpoints of a Backend. @returns whether there is one */
  eject(endpoints: readonly EndpointRow[], passive: PassiveHealth, last: boolean): boolean {
    const outliers = findOutliers(this.#count(endpoints, last), passive.successRate)
    if (outliers.length === 0) return false
    const codes = new Map(outliers.map(({ slot, share, others }) => [slot, rateCode(share, others)]))
    const ejected = ejectAllWithin(this.#table, endpoints, codes, passive.maxEjectionPercent)
    // What it is ejected for does not count against it once more, when its trial has gone well.
    for (const slot of ejected) this.#table.faults.takeCounts(slot)
    return ejected.length > 0
  }

  #count(endpoints: readonly EndpointRow[], last: boolean): RequestCount[] {
    const { faults } = this.#table
    const counts: RequestCount[] = []
    for (const { slot } of endpoints) {
      const requests = faults.requests(slot)
      if (requests === 0) continue
      counts.push({ slot, requests, faults: Math.min(faults.failedRequests(slot), requests) })
      if (last) faults.takeCounts(slot)
    }
    return counts
  }
}
