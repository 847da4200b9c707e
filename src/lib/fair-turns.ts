/**
 * Work of which only so much is under way at a time, in fair turns by group (a namespace): one that brings thousands
 * waits for itself, and what has no room to wait is refused at once.
 */
import { FairQueue } from './fair-queue.ts'

export interface FairTurnsOptions {
  readonly atOnce: number
  /** Work of one group that waits. */
  readonly maxWaiting: number
}

export class FairTurns {
  readonly #options: FairTurnsOptions
  readonly #queue = new FairQueue()
  readonly #waiting = new Map<string, () => void>()
  #running = 0
  #next = 0

  constructor(options: FairTurnsOptions) {
    this.#options = options
  }

  get running(): number {
    return this.#running
  }

  get waiting(): number {
    return this.#queue.size
  }

  /** @returns undefined where too much of the group waits */
  run<T>(group: string, work: () => Promise<T>): Promise<T> | undefined {
    const { atOnce, maxWaiting } = this.#options
    if (this.#running < atOnce) return this.#begin(work)
    if (this.#queue.sizeOf(group) >= maxWaiting) return undefined
    const { promise, resolve } = Promise.withResolvers<T>()
    const id = String(this.#next++)
    this.#waiting.set(id, () => resolve(this.#begin(work)))
    this.#queue.add(group, id)
    return promise
  }

  async #begin<T>(work: () => Promise<T>): Promise<T> {
    this.#running++
    try {
      return await work()
    } finally {
      this.#running--
      this.#goOn()
    }
  }

  #goOn(): void {
    const next = this.#queue.take()
    if (next === undefined) return
    const begin = this.#waiting.get(next.key)!
    this.#waiting.delete(next.key)
    begin()
  }
}
