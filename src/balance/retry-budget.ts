/**
 * Retries as a share of the requests of the last ten seconds (after Finagle's RetryBudget): when everything fails,
 * retrying adds a fifth to the load and not a multiple. One per Backend, over all workers; each has an object of its
 * own, and it is kept over table changes.
 */
import type { Milliseconds } from '../lib/clock.ts'
import { HEDGES, REQUESTS, RETRIES, RetryCounts } from '../shared-memory/retry-counts.ts'

/**
 * Retries that the budget grants in ten seconds however few requests there were: else a quiet Backend could never be
 * retried. Ten a second.
 */
export const MIN_RETRIES = 100
/** The same of hedges, which are an optimization: one. */
export const MIN_HEDGES = 1
/** Requests that one worker has counted and the others do not know of yet: an atomic write costs as much as a pick. */
export const UNPUBLISHED = 16

export class RetryBudget {
  readonly #counts: RetryCounts
  readonly #slot: number
  readonly #time: { readonly now: Milliseconds }
  /** Requests of the second. */
  #pending = 0
  #second: number

  /**
   * @param counts null: it has no slot, and the budget is the worker's own
   * @param time of the current turn, by a clock that all workers share
   */
  constructor(counts: RetryCounts | null, slot: number, time: { readonly now: Milliseconds }) {
    this.#counts = counts ?? new RetryCounts(RetryCounts.allocate(1))
    this.#slot = counts === null ? 0 : slot
    this.#time = time
    this.#second = this.#now()
  }

  /** Counts one request; its first attempt, not the ones after. */
  request(): void {
    const second = this.#now()
    if (second !== this.#second) this.#publish(second)
    if (++this.#pending === UNPUBLISHED) this.#publish(second)
  }

  /**
   * Takes one retry out of the budget.
   *
   * @param percent of the policy; 0 grants none at all
   * @returns false when there is none left
   */
  spend(percent: number): boolean {
    return percent > 0 && this.#take(RETRIES, percent, MIN_RETRIES)
  }

  /**
   * Takes one hedge: out of the share of hedges, and out of the budget of retries.
   *
   * @param percent of the requests
   * @param budgetPercent of the retry policy
   */
  spendHedge(percent: number, budgetPercent: number): boolean {
    if (percent <= 0 || !this.#take(HEDGES, percent, MIN_HEDGES)) return false
    if (this.spend(budgetPercent)) return true
    this.#counts.add(this.#slot, HEDGES, this.#now(), -1)
    return false
  }

  /** Like a reservation in a ledger: added, then summed, then taken back, so that two workers never exceed it. */
  #take(kind: number, percent: number, least: number): boolean {
    const second = this.#now()
    this.#publish(second)
    const counts = this.#counts
    const slot = this.#slot
    counts.add(slot, kind, second, 1)
    const allowed = Math.max(least, (counts.sum(slot, REQUESTS, second) * percent) / 100)
    if (counts.sum(slot, kind, second) <= allowed) return true
    counts.add(slot, kind, second, -1)
    return false
  }

  #now(): number {
    return Math.floor(this.#time.now / 1_000)
  }

  #publish(second: number): void {
    if (this.#pending > 0) this.#counts.add(this.#slot, REQUESTS, this.#second, this.#pending)
    this.#pending = 0
    this.#second = second
  }
}
