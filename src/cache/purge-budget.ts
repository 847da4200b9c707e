/**
 * How much of the log a namespace may fill with what its clients change. A record that is overwritten before a thread
 * has read it purges everything of everybody there, so one namespace must not be able to fill the log while another
 * thread is late.
 */
import type { Milliseconds } from '../lib/clock.ts'
import { type Rate, TokenBucket } from '../lib/token-bucket.ts'

/** Bytes: some 1,600 URLs a second. A ring of the log has four times as much. */
export const BYTES: Rate = { perSecond: 128 * 1_024, burst: 128 * 1_024 }
/**
 * Names that rules of other namespaces add to those remembered of a namespace, which are a few thousand: hours pass
 * until they have displaced one.
 */
export const STRANGERS: Rate = { perSecond: 0.25, burst: 256 }
/** Beyond them all begin anew. */
const MAX_NAMESPACES = 4_096

export class PurgeBudget {
  readonly #rate: Rate
  readonly #buckets = new Map<number, TokenBucket>()
  #now: Milliseconds = 0

  constructor(rate: Rate) {
    this.#rate = rate
  }

  /**
   * @param now monotonic
   * @returns false: it is spent, and a record for all of the namespace has to do
   */
  take(namespace: number, count: number, now: Milliseconds): boolean {
    this.#now = now
    let bucket = this.#buckets.get(namespace)
    if (bucket === undefined) {
      if (this.#buckets.size >= MAX_NAMESPACES) this.#buckets.clear()
      bucket = new TokenBucket(this.#rate, () => this.#now)
      this.#buckets.set(namespace, bucket)
    }
    return bucket.take(count) === 0
  }
}
