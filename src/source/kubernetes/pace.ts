import type { Milliseconds } from '../../lib/clock.ts'

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
  readonly #now: () => Milliseconds
  readonly #urgent: Waiting[] = []
  readonly #others: Waiting[] = []
  #spent: Milliseconds = 0
  #turn: NodeJS.Immediate | undefined

  /** @param budget of a turn; what is urgent may take as much again */
  constructor(budget: Milliseconds, now: () => Milliseconds) {
    this.#budget = budget
    this.#now = now
  }

  /** @returns undefined when the work is done already; what it throws is then thrown here */
  run(work: () => unknown, urgent = false): Promise<void> | undefined {
    this.#turn ??= setImmediate(() => this.#nextTurn())
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
    this.#turn = undefined
    this.#spent = 0
    const count = this.#serve(this.#urgent, 2 * this.#budget) + this.#serve(this.#others, this.#budget)
    // What was spent here was spent of the turn that begins.
    if (count > 0) this.#turn = setImmediate(() => this.#nextTurn())
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
    const began = this.#now()
    try {
      work()
    } finally {
      this.#spent += this.#now() - began
    }
  }
}
