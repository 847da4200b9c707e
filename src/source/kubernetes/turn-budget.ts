import type { Milliseconds } from '../../lib/clock.ts'
import { type SliceClock, TIME_SLICE } from '../../lib/time-slice.ts'

interface QueuedWork {
  readonly work: () => unknown
  readonly done: PromiseWithResolvers<void>
}

/**
 * Bounds the time spent per turn of the event loop: work beyond the budget is queued for the next turn, urgent work
 * first.
 */
export class TurnBudget {
  readonly #budget: Milliseconds
  readonly #time: SliceClock
  readonly #urgent: QueuedWork[] = []
  readonly #others: QueuedWork[] = []
  #spent: Milliseconds = 0
  #scheduled = false

  /** @param budget per turn; urgent work may use twice as much */
  constructor(time: SliceClock, budget: Milliseconds = TIME_SLICE) {
    this.#budget = budget
    this.#time = time
  }

  /** @returns undefined when the work ran synchronously, in which case its exceptions propagate */
  run(work: () => unknown, urgent = false): Promise<void> | undefined {
    this.#schedule()
    const queue = urgent ? this.#urgent : this.#others
    if (queue.length === 0 && this.#spent < (urgent ? 2 : 1) * this.#budget) {
      this.#do(work)
      return undefined
    }
    const done = Promise.withResolvers<void>()
    queue.push({ work, done })
    return done.promise
  }

  #nextTurn(): void {
    this.#scheduled = false
    this.#spent = 0
    const count = this.#serve(this.#urgent, 2 * this.#budget) + this.#serve(this.#others, this.#budget)
    // This time counts against the turn that begins.
    if (count > 0) this.#schedule()
  }

  #schedule(): void {
    if (this.#scheduled) return
    this.#scheduled = true
    this.#time.nextTurn(() => this.#nextTurn())
  }

  #serve(queue: QueuedWork[], budget: Milliseconds): number {
    let count = 0
    for (const { work, done } of queue) {
      // At least one from each queue, so that neither starves.
      if (count > 0 && this.#spent >= budget) break
      count++
      try {
        this.#do(work)
        done.resolve()
      } catch (error) {
        done.reject(error)
      }
    }
    queue.splice(0, count)
    return count
  }

  #do(work: () => unknown): void {
    const began = this.#time.monotonic()
    try {
      work()
    } finally {
      this.#spent += this.#time.monotonic() - began
    }
  }
}
