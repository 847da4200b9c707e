/**
 * The generic cell rate algorithm in its form of virtual scheduling (ITU-T I.371, Annex A): a token bucket whose whole
 * state is one number for a key, the time at which its bucket is full again. So many keys are cheap, a rate may change
 * between two requests, and the number fits a compare-and-swap on shared memory.
 */
import { hash } from 'node:crypto'
import type { Clock, Milliseconds } from '../lib/clock.ts'
import { FairMap } from '../lib/fair-map.ts'
import type { Admission, Limiter, LimiterRate, LimiterScope, Limiters } from './limiter.ts'

/** Longer keys, such as whole header fields, are replaced by a digest: the number of keys bounds their memory, too. */
const MAX_KEY = 128
/** Part of one request by which sums of fractions may be off: a clock has microseconds after some months. */
const ROUNDING = 1e-4

export interface LimiterStatistics {
  readonly keys: number
  /** Keys forgotten although they were not at their full burst: their next requests may come too early. */
  readonly evictions: number
}

/** Limits that are counted in this worker, over one number of keys that owners share fairly. */
export class GcraLimiters implements Limiters {
  readonly #clock: Pick<Clock, 'monotonic'>
  /** When the bucket of a key is full again, monotonic milliseconds; by owner. */
  readonly #full: FairMap<Milliseconds>
  #evictions = 0

  constructor(maxKeys: number, clock: Pick<Clock, 'monotonic'>) {
    this.#clock = clock
    this.#full = new FairMap(maxKeys, (full) => {
      if (full > clock.monotonic()) this.#evictions++
    })
  }

  open({ owner, name }: LimiterScope, { requests, per, burst }: LimiterRate): Limiter {
    if (!(requests > 0 && per > 0 && burst >= 1 && Number.isFinite(burst * (per / requests))))
      throw new TypeError(`no such rate: ${requests} per ${per} ms, burst ${burst}`)
    const interval = per / requests
    return { take: (key, cost = 1) => this.#take(owner, mapKey(name, key), interval, burst, cost) }
  }

  statistics(): LimiterStatistics {
    return { keys: this.#full.size, evictions: this.#evictions }
  }

  /** @param interval milliseconds in which one request becomes available again */
  #take(owner: string, key: string, interval: Milliseconds, burst: number, cost: number): Admission {
    if (!(cost > 0)) throw new RangeError(`a request costs more than ${cost}`)
    const now = this.#clock.monotonic()
    // A bucket is never more than empty: what was taken at a slower rate is not owed at this one.
    const full = Math.min(Math.max(this.#full.get(owner, key) ?? now, now), now + burst * interval)
    const available = burst - (full - now) / interval
    const allowed = cost <= available + ROUNDING
    // Where it is refused nothing is counted, but the key is in use: it is not the next to be forgotten.
    const next = allowed ? full + cost * interval : full
    if (next > now) this.#full.set(owner, key, next)
    if (allowed) return { allowed, retryAfter: 0, remaining: whole(available - cost) }
    const retryAfter = cost > burst ? Number.POSITIVE_INFINITY : Math.ceil((cost - available) * interval)
    return { allowed, retryAfter, remaining: whole(available) }
  }
}

/** Unambiguous, whatever characters name and key have. */
function mapKey(name: string, key: string): string {
  return key.length > MAX_KEY
    ? `${name.length}#${name} ${hash('sha256', key, 'base64')}`
    : `${name.length}=${name} ${key}`
}

function whole(available: number): number {
  return Math.max(0, Math.floor(available + ROUNDING))
}
