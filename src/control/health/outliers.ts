/**
 * Looks at the success rates of each Backend's endpoints, a window of time after the other. Workers count, in shared
 * memory; ejections are those of consecutive failures: same cap, same periods, same trial.
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

export class Outliers {
  readonly #table: EndpointTable
  readonly #random: Random
  /** By Backend, when its window ends; the soonest first, since all windows are alike. */
  readonly #due = new Map<string, Milliseconds>()
  /** Backends that are new, whose first window begins within one. */
  readonly #fresh = new Map<string, Milliseconds>()

  constructor(table: EndpointTable, random: Random) {
    this.#table = table
    this.#random = random
  }

  /** The Backend is looked at from now on. */
  watch(backend: string, now: Milliseconds): void {
    if (this.#due.has(backend) || this.#fresh.has(backend)) return
    // Spread: thousands of Backends come together.
    this.#fresh.set(backend, now + this.#random() * WINDOW)
  }

  forget(backend: string): void {
    this.#due.delete(backend)
    this.#fresh.delete(backend)
  }

  /** Backends whose window has ended, each once in a window. */
  *ended(now: Milliseconds): Generator<string, void> {
    for (const [backend, due] of this.#due) {
      if (due > now) break
      this.#due.delete(backend)
      this.#due.set(backend, now + WINDOW)
      yield backend
    }
    for (const [backend, due] of this.#fresh) {
      if (due > now) continue
      this.#fresh.delete(backend)
      this.#due.set(backend, now + WINDOW)
    }
  }

  /** Ejects the outliers of a window that has ended. @returns whether there is one */
  eject(endpoints: readonly EndpointRow[], passive: PassiveHealth): boolean {
    const { faults } = this.#table
    const counts: RequestCount[] = []
    for (const { slot } of endpoints) {
      const requests = faults.takeRequests(slot)
      if (requests > 0) counts.push({ slot, requests, faults: Math.min(faults.takeFaults(slot), requests) })
    }
    const outliers = findOutliers(counts, passive.successRate)
    if (outliers.length === 0) return false
    const codes = new Map(outliers.map(({ slot, share, others }) => [slot, rateCode(share, others)]))
    return ejectAllWithin(this.#table, endpoints, codes, passive.maxEjectionPercent) > 0
  }
}
