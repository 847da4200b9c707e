import type { Milliseconds } from '../../lib/clock.ts'
import { type SliceClock, TIME_SLICE } from '../../lib/time-slice.ts'

interface Waiting {
  readonly work: () => unknown
  readonly done: PromiseWithResolvers<void>
}

/**
 * Keeps turns of the loop short where pieces of work come in faster than they can be done: beyond a budget they wait
 * for the next turn, the urgent ones before the others.
 */
export class Pace {
  readonly #budget: Milliseconds
  readonly #time: SliceClock
  readonly #urgent: Waiting[] = []
  readonly #others: Waiting[] = []
  #spent: Milliseconds = 0
  #scheduled = false

  /** @param budget of a turn; what is urgent may take as much again */
  constructor(time: SliceClock, budget: Milliseconds = TIME_SLICE) {
    this.#budget = budget
    this.#time = time
  }

  /** @returns undefined when the work is done already; what it throws is then thrown here */
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
    // What was spent here was spent of the turn that begins.
    if (count > 0) this.#schedule()
  }

  #schedule(): void {
    if (this.#scheduled) return
    this.#scheduled = true
    this.#time.nextTurn(() => this.#nextTurn())
  }

  #serve(queue: Waiting[], budget: Milliseconds): number {
    let count = 0
    for (const { work, done } of queue) {
      // One of each at least, so that neither waits for ever.
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
