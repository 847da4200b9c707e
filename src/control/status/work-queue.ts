/**
 * Keys of what is to be looked at, each once however often it was added: the state is read when its turn comes. Bounded
 * by the number of objects. Requests are limited in rate and number, looking is not, and both are done in
 * fair turns by group: a namespace.
 */
import type { Milliseconds, TimerClock } from '../../lib/clock.ts'
import { FairQueue } from '../../lib/fair-queue.ts'

import { TimeSlice } from '../../lib/time-slice.ts'
import { type Rate, TokenBucket } from '../../lib/token-bucket.ts'

/** What is to be done about a key: nothing, something later, or a request now. */
export type Plan = undefined | { readonly later: Milliseconds } | Job

/** Must not reject. @returns how long until the key is looked at again, if it has to be */
export type Job = () => Promise<Milliseconds | undefined>

export interface WorkQueueOptions {
  readonly time: TimerClock
  readonly rate: Rate
  /** Requests at a time. */
  readonly parallel: number
  /** Whose turn it takes. */
  readonly groupOf: (key: string) => string
  readonly plan: (key: string) => Plan
}

/** A request is one turn of a group, and so are as many looks, of some 10 µs each, as take the time of one request. */
const REQUEST = 1
const LOOK = REQUEST / 64

export class WorkQueue {
  readonly #options: WorkQueueOptions
  readonly #bucket: TokenBucket
  /** Of a namespace, a user waits for the newest; the oldest must not wait for ever. */
  readonly #ready = new FairQueue({ order: 'alternate' })
  readonly #later = new Map<string, Milliseconds>()
  /** Under way, and whether the key was named again meanwhile. */
  readonly #running = new Map<string, boolean>()
  /** Nothing that waits is due before. */
  #due = Number.POSITIVE_INFINITY
  #notBefore = Number.NEGATIVE_INFINITY
  readonly #groupNotBefore = new Map<string, Milliseconds>()
  #alarm: { readonly at: Milliseconds; readonly cancel: () => void } | undefined
  #stopped = false

  constructor(options: WorkQueueOptions) {
    this.#options = options
    this.#bucket = new TokenBucket(options.rate, () => options.time.monotonic())
  }

  /** Keys that wait or are under way. */
  get size(): number {
    return this.#ready.size + this.#later.size + this.#running.size
  }

  /** Keys that are to be looked at as soon as may be. */
  get ready(): number {
    return this.#ready.size
  }

  readyOf(group: string): number {
    return this.#ready.sizeOf(group)
  }

  /** Of the group that has the most of them. */
  get readyOfLargestGroup(): number {
    return this.#ready.sizeOf(this.#ready.largestGroup() ?? '')
  }

  /** Forgets one key: of the group with the most that are ready, the one that has waited longest. @returns it */
  dropFromLargestGroup(): string | undefined {
    const group = this.#ready.largestGroup()
    return group === undefined ? undefined : this.#ready.dropOldest(group)
  }

  /** To be looked at as soon as may be. */
  add(key: string): void {
    this.addAll([key])
  }

  addAll(keys: Iterable<string>): void {
    if (this.#stopped) return
    for (const key of keys) {
      this.#later.delete(key)
      if (this.#running.has(key)) this.#running.set(key, true)
      else this.#makeReady(key)
    }
    if (this.#ready.size > 0) this.#ring(this.#options.time.monotonic())
  }

  /** To be looked at after a while, unless it is named before. */
  addAfter(key: string, delay: Milliseconds): void {
    if (this.#stopped || this.#ready.has(this.#options.groupOf(key), key)) return
    const at = this.#options.time.monotonic() + delay
    const known = this.#later.get(key)
    if (known !== undefined && known <= at) return
    this.#later.set(key, at)
    this.#due = Math.min(this.#due, at)
    this.#ring(at)
  }

  /** No request before that; what is under way goes on. @param group for this one alone */
  pause(time: Milliseconds, group?: string): void {
    const now = this.#options.time.monotonic()
    const until = now + time
    for (const [other, end] of this.#groupNotBefore) if (end <= now) this.#groupNotBefore.delete(other)
    if (group === undefined) this.#notBefore = Math.max(this.#notBefore, until)
    else this.#groupNotBefore.set(group, Math.max(this.#groupNotBefore.get(group) ?? until, until))
  }

  /** Forgets what waits. */
  clear(): void {
    this.#ready.clear()
    this.#later.clear()
    this.#due = Number.POSITIVE_INFINITY
    this.#alarm?.cancel()
    this.#alarm = undefined
  }

  stop(): void {
    this.#stopped = true
    this.clear()
  }

  /** One alarm, for whatever comes first. */
  #ring(at: Milliseconds): void {
    if (this.#stopped || (this.#alarm !== undefined && this.#alarm.at <= at)) return
    this.#alarm?.cancel()
    const { time } = this.#options
    const cancel = time.after(at - time.monotonic(), () => {
      this.#alarm = undefined
      this.#turn()
    })
    this.#alarm = { at, cancel }
  }

  #turn(): void {
    const now = this.#options.time.monotonic()
    let next = this.#ripen(now)
    const slice = new TimeSlice(this.#options.time)
    for (let one = this.#ready.peek(); one !== undefined; one = this.#ready.peek()) {
      if (slice.over) {
        next = now
        break
      }
      const { group, key } = one
      const plan = this.#planOf(group, key, now)
      if (typeof plan !== 'function') {
        this.#forget(group, key, LOOK)
        if (plan !== undefined) this.addAfter(key, plan.later)
        continue
      }
      // The next request that ends continues here.
      if (this.#running.size >= this.#options.parallel) break
      const wait = Math.max(this.#notBefore - now, 0) || this.#bucket.take()
      if (wait > 0) {
        next = Math.min(next, now + wait)
        break
      }
      this.#forget(group, key, REQUEST)
      void this.#run(key, plan)
    }
    next = Math.min(next, this.#due)
    if (next !== Number.POSITIVE_INFINITY) this.#ring(next)
  }

  #planOf(group: string, key: string, now: Milliseconds): Plan {
    const plan = this.#options.plan(key)
    const until = this.#groupNotBefore.get(group)
    if (typeof plan !== 'function' || until === undefined) return plan
    if (until > now) return { later: until - now }
    this.#groupNotBefore.delete(group)
    return plan
  }

  #makeReady(key: string): void {
    this.#ready.add(this.#options.groupOf(key), key)
  }

  #forget(group: string, key: string, cost: number): void {
    this.#ready.charge(group, cost)
    this.#ready.delete(group, key)
  }

  /** @returns when the next one of those that wait is due */
  #ripen(now: Milliseconds): Milliseconds {
    if (now < this.#due) return this.#due
    let next = Number.POSITIVE_INFINITY
    for (const [key, at] of this.#later) {
      if (at > now) {
        next = Math.min(next, at)
        continue
      }
      this.#later.delete(key)
      if (this.#running.has(key)) this.#running.set(key, true)
      else this.#makeReady(key)
    }
    this.#due = next
    return next
  }

  async #run(key: string, job: Job): Promise<void> {
    this.#running.set(key, false)
    const again = await job()
    const named = this.#running.get(key) === true
    this.#running.delete(key)
    if (this.#stopped) return
    if (again !== undefined && (again > 0 || !named)) this.addAfter(key, again)
    else if (named) this.#makeReady(key)
    if (this.#ready.size > 0) this.#ring(this.#options.time.monotonic())
  }
}
