/**
 * How much of the log a namespace may fill with what its clients change. A record that is overwritten before a thread
 * has read it purges everything of everybody there, so one namespace must not be able to fill the log while another
 * thread is late.
 */
import type { Milliseconds } from '../lib/clock.ts'

/** Some 1,600 URLs a second. A ring of the log has four times as much. */
const BYTES_PER_SECOND = 128 * 1_024
const BURST = 128 * 1_024
/** Beyond them all begin anew. */
const MAX_NAMESPACES = 4_096

interface Budget {
  bytes: number
  at: Milliseconds
}

export class PurgeBudget {
  readonly #budgets = new Map<number, Budget>()

  /**
   * @param now monotonic
   * @returns false: it is spent, and a record for all of the namespace has to do
   */
  take(namespace: number, bytes: number, now: Milliseconds): boolean {
    let budget = this.#budgets.get(namespace)
    if (budget === undefined) {
      if (this.#budgets.size >= MAX_NAMESPACES) this.#budgets.clear()
      budget = { bytes: BURST, at: now }
      this.#budgets.set(namespace, budget)
    }
    const gained = (Math.max(0, now - budget.at) * BYTES_PER_SECOND) / 1_000
    budget.bytes = Math.min(BURST, budget.bytes + gained)
    budget.at = now
    if (budget.bytes < bytes) return false
    budget.bytes -= bytes
    return true
  }
}
