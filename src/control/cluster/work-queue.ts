/**
 * Keys of what is to be looked at, each once however often it was named: whoever takes one looks at the world as it is then. Bounded by
 * the number of objects. Requests are limited in rate and number; looking is not, and is cut into turns.
 */
import type { Milliseconds } from '../../lib/clock.ts'
import type { Timekeeper } from './timekeeper.ts'
import { type Rate, TokenBucket } from './token-bucket.ts'

/** What is to be done about a key: nothing, something later, or a request now. */
export type Plan = undefined | { readonly later: Milliseconds } | Job

/** Must not reject. @returns how long until the key is looked at again, if it has to be */
export type Job = () => Promise<Milliseconds | undefined>

export interface WorkQueueOptions {
  readonly time: Timekeeper
  readonly rate: Rate
  /** Requests at a time. */
  readonly parallel: number
  readonly plan: (key: string) => Plan
}

/** Keys looked at in one turn of the loop: some 10 µs each. */
const AT_ONCE = 64

export class WorkQueue {
  readonly #options: WorkQueueOptions
  readonly #bucket: TokenBucket
  readonly #ready = new Set<string>()
  readonly #later = new Map<string, Milliseconds>()
  /** Under way, and whether the key was named again meanwhile. */
  readonly #running = new Map<string, boolean>()
  #notBefore = Number.NEGATIVE_INFINITY
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

  /** To be looked at as soon as may be. */
  add(key: string): void {
    this.addAll([key])
  }

  addAll(keys: Iterable<string>): void {
    if (this.#stopped) return
    for (const key of keys) {
      this.#later.delete(key)
      if (this.#running.has(key)) this.#running.set(key, true)
      else this.#ready.add(key)
    }
    if (this.#ready.size > 0) this.#ring(this.#options.time.monotonic())
  }

  /** To be looked at after a while, unless it is named before. */
  addLater(key: string, delay: Milliseconds): void {
    if (this.#stopped || this.#ready.has(key)) return
    const at = this.#options.time.monotonic() + delay
    const known = this.#later.get(key)
    if (known !== undefined && known <= at) return
    this.#later.set(key, at)
    this.#ring(at)
  }

  /** No request before that; what is under way goes on. */
  pause(time: Milliseconds): void {
    this.#notBefore = Math.max(this.#notBefore, this.#options.time.monotonic() + time)
  }

  /** Forgets what waits. */
  clear(): void {
    this.#ready.clear()
    this.#later.clear()
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
    let looked = 0
    for (const key of this.#ready) {
      if (looked++ === AT_ONCE) {
        next = now
        break
      }
      const plan = this.#options.plan(key)
      if (typeof plan !== 'function') {
        this.#ready.delete(key)
        if (plan !== undefined) this.addLater(key, plan.later)
        continue
      }
      // Whoever ends calls again.
      if (this.#running.size >= this.#options.parallel) break
      const wait = Math.max(this.#notBefore - now, 0) || this.#bucket.take()
      if (wait > 0) {
        next = Math.min(next, now + wait)
        break
      }
      this.#ready.delete(key)
      void this.#run(key, plan)
    }
    if (next !== Number.POSITIVE_INFINITY) this.#ring(next)
  }

  /** @returns when the next one of those that wait is due */
  #ripen(now: Milliseconds): Milliseconds {
    let next = Number.POSITIVE_INFINITY
    for (const [key, at] of this.#later) {
      if (at > now) {
        next = Math.min(next, at)
        continue
      }
      this.#later.delete(key)
      if (this.#running.has(key)) this.#running.set(key, true)
      else this.#ready.add(key)
    }
    return next
  }

  async #run(key: string, job: Job): Promise<void> {
    this.#running.set(key, false)
    const again = await job()
    const named = this.#running.get(key) === true
    this.#running.delete(key)
    if (this.#stopped) return
    if (again !== undefined && (again > 0 || !named)) this.addLater(key, again)
    else if (named) this.#ready.add(key)
    if (this.#ready.size > 0) this.#ring(this.#options.time.monotonic())
  }
}
