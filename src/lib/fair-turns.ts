/**
 * Work of which only so much is under way at a time, in fair turns by group (a namespace): one that brings thousands
 * waits for itself, and what has no room to wait is refused at once.
 */
import { FairQueue } from './fair-queue.ts'

export interface FairTurnsOptions {
  readonly atOnce: number
  /** Work of one group that waits. */
  readonly maxWaiting: number
  /** Of those, of one member of the group: none takes all the room of the others. Default: as many as of the group. */
  readonly maxWaitingOfMember?: number
}

interface Waiting {
  readonly member: string
  readonly begin: () => void
}

export class FairTurns {
  readonly #options: FairTurnsOptions
  readonly #queue = new FairQueue()
  readonly #waiting = new Map<string, Waiting>()
  /** How much of a member waits, by group and member. */
  readonly #members = new Map<string, number>()
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

  /**
   * @param member of the group, such as the address of a client
   * @returns undefined where too much of the group or of its member waits
   */
  run<T>(group: string, member: string, work: () => Promise<T>): Promise<T> | undefined {
    const { atOnce, maxWaiting, maxWaitingOfMember = maxWaiting } = this.#options
    if (this.#running < atOnce) return this.#begin(work)
    const key = `${group} ${member}`
    const own = this.#members.get(key) ?? 0
    if (own >= maxWaitingOfMember || this.#queue.sizeOf(group) >= maxWaiting) return undefined
    this.#members.set(key, own + 1)
    const { promise, resolve } = Promise.withResolvers<T>()
    const id = String(this.#next++)
    this.#waiting.set(id, { member: key, begin: () => resolve(this.#begin(work)) })
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
    const { member, begin } = this.#waiting.get(next.key)!
    this.#waiting.delete(next.key)
    const left = this.#members.get(member)! - 1
    if (left === 0) this.#members.delete(member)
    else this.#members.set(member, left)
    begin()
  }
}
