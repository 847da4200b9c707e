/**
 * Lines of the process log about objects of tenants, at a bounded rate, in fair turns by namespace, so that thousands
 * of broken objects neither fill the ring of lines nor hide the lines of another namespace or of the gateway itself.
 * What is left out is counted; conditions, Events and `/api/v1/problems` have all of it.
 */
import type { Milliseconds, TimerClock } from '../../lib/clock.ts'
import { FairQueue } from '../../lib/fair-queue.ts'

import { type Rate, TokenBucket } from '../../lib/token-bucket.ts'

export type ObjectLogLevel = 'error' | 'warn' | 'info'

/** Some 300 bytes a line: the ring of the control thread holds more than the burst. */
const RATE: Rate = { perSecond: 50, burst: 200 }
/** Lines that wait; beyond, one of the namespace with the most is left out. */
const MAX_WAITING = 500
/** Between two lines that count what is left out. */
const SUMMARY_EVERY: Milliseconds = 10_000

interface Line {
  readonly level: ObjectLogLevel
  readonly message: string
}

export interface ObjectLogOptions {
  readonly time: TimerClock
  readonly write: (level: ObjectLogLevel, message: string) => void
}

export class ObjectLog {
  readonly #options: ObjectLogOptions
  readonly #bucket: TokenBucket
  readonly #turns = new FairQueue()
  readonly #lines = new Map<string, Line>()
  /** By namespace, how many since the last summary. */
  readonly #leftOut = new Map<string, number>()
  #next = 0
  #cancel: (() => void) | undefined
  #cancelSummary: (() => void) | undefined

  constructor(options: ObjectLogOptions) {
    this.#options = options
    this.#bucket = new TokenBucket(RATE, () => options.time.monotonic())
  }

  /** @param namespace whose object it is about */
  write(namespace: string, level: ObjectLogLevel, message: string): void {
    if (this.#turns.size >= MAX_WAITING && !this.#makeRoom(namespace)) return
    const id = `${this.#next++}`
    this.#lines.set(id, { level, message })
    this.#turns.add(namespace, id)
    if (this.#cancel === undefined) this.#drain()
  }

  /** Writes what waits, so that the last words are not lost. */
  stop(): void {
    this.#cancel?.()
    this.#cancelSummary?.()
    for (let next = this.#turns.take(); next !== undefined; next = this.#turns.take()) this.#writeOne(next.key)
    this.#summarize()
  }

  #makeRoom(namespace: string): boolean {
    const crowd = this.#turns.largestGroup()!
    const refused = this.#turns.sizeOf(namespace) + 1 >= this.#turns.sizeOf(crowd)
    this.#leaveOut(refused ? namespace : crowd)
    if (refused) return false
    this.#lines.delete(this.#turns.dropOldest(crowd)!)
    return true
  }

  #leaveOut(namespace: string): void {
    this.#leftOut.set(namespace, (this.#leftOut.get(namespace) ?? 0) + 1)
    this.#cancelSummary ??= this.#options.time.after(SUMMARY_EVERY, () => {
      this.#cancelSummary = undefined
      this.#summarize()
    })
  }

  #drain(): void {
    this.#cancel = undefined
    while (this.#turns.size > 0) {
      const wait = this.#bucket.take()
      if (wait > 0) {
        this.#cancel = this.#options.time.after(wait, () => this.#drain())
        return
      }
      this.#writeOne(this.#turns.take()!.key)
    }
  }

  #writeOne(id: string): void {
    const { level, message } = this.#lines.get(id)!
    this.#lines.delete(id)
    this.#options.write(level, message)
  }

  #summarize(): void {
    const { write } = this.#options
    const [first, ...others] = [...this.#leftOut].sort(([, a], [, b]) => b - a)
    this.#leftOut.clear()
    if (first === undefined) return
    const [namespace, count] = first
    const rest = others.length === 0 ? '' : `, and ${others.length} other namespaces`
    write(
      'warn',
      `${count} more lines about objects of namespace ${namespace}${rest} are left out: /api/v1/problems shows all`,
    )
  }
}
