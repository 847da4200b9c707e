/**
 * Limits that are exact over all workers, over one table in shared memory.
 *
 * Rates are the generic cell rate algorithm in its form of virtual scheduling (ITU-T I.371, Annex A): a token bucket
 * whose whole state is one number for a key, the time at which its bucket is full again. Quotas are two: when the time
 * of a key ends, and how many of that time are taken.
 */
import type { Clock, Milliseconds } from '../lib/clock.ts'
import { HASHED, type HashState, hashPrefix, hashText } from '../shared-memory/keyed-hash.ts'
import { LIMIT_VALUE_BITS, type LimitTable } from '../shared-memory/limit-table.ts'
import type { Admission, Holds, Limiter, LimiterQuota, LimiterRate, LimiterScope, Limiters } from './limiter.ts'

/** Units of a millisecond in which times are kept: 52 bits of them are eight years. */
const UNITS = 16_000
/** Part of one request by which sums of fractions may be off. */
const ROUNDING = 1e-4
const MOST = 2 ** (LIMIT_VALUE_BITS - 1)

export class TableLimiters implements Limiters {
  readonly #table: LimitTable
  readonly #clock: Pick<Clock, 'monotonic'>

  constructor(table: LimitTable, clock: Pick<Clock, 'monotonic'>) {
    this.#table = table
    this.#clock = clock
  }

  open(scope: LimiterScope, rate: LimiterRate | LimiterQuota): Limiter {
    if (!('quota' in rate)) return new RateLimiter(this.#keysOf(scope), rate, this.#clock)
    // Its numbers mean something else than those of a rate, so a rate that becomes a quota counts anew.
    return new QuotaLimiter(this.#keysOf({ ...scope, name: `${scope.name}\nquota` }), rate, this.#clock)
  }

  openHolds(scope: LimiterScope): Holds {
    return new TableHolds(this.#keysOf(scope), this.#clock)
  }

  #keysOf({ owner, name }: LimiterScope): Keys {
    const { secret } = this.#table
    hashText(hashPrefix(secret, 'owner'), owner)
    return { table: this.#table, owner: HASHED.low, prefix: hashPrefix(secret, `${owner}\n${name}`) }
  }
}

interface Keys {
  readonly table: LimitTable
  /** A number for the owner; where two have one number they share their part. */
  readonly owner: number
  readonly prefix: HashState
}

class RateLimiter implements Limiter {
  readonly #keys: Keys
  readonly #clock: Pick<Clock, 'monotonic'>
  /** In which one request becomes available again. */
  readonly #interval: number
  readonly #burst: number

  constructor(keys: Keys, { requests, per, burst }: LimiterRate, clock: Pick<Clock, 'monotonic'>) {
    this.#interval = (per / requests) * UNITS
    if (!(requests > 0 && per > 0 && burst >= 1 && burst * this.#interval < MOST))
      throw new TypeError(`no such rate: ${requests} per ${per} ms, burst ${burst}`)
    this.#keys = keys
    this.#clock = clock
    this.#burst = burst
  }

  take(key: string, cost = 1): Admission {
    if (!(cost > 0)) throw new RangeError(`a request costs more than ${cost}`)
    const { table, owner, prefix } = this.#keys
    const interval = this.#interval
    const burst = this.#burst
    hashText(prefix, key)
    const { low, high } = HASHED
    for (;;) {
      const found = table.find(low, high)
      const slot = found < 0 ? table.place(low, high, owner, this.#clock.monotonic()) : found
      const value = table.read(slot, low)
      if (value < 0) continue
      // Behind the number: one that others write while this thread has no CPU would be too far ahead, and what they
      // have taken be granted once more.
      const monotonic = this.#clock.monotonic()
      const now = (monotonic - table.base) * UNITS
      // A bucket is never more than empty: what was taken at a slower rate is not owed at this one.
      const full = Math.min(Math.max(value, now), now + burst * interval)
      const available = burst - (full - now) / interval
      if (cost > available + ROUNDING) {
        // Where it is refused nothing is counted, but what is not owed is not waited for either.
        if (full < value && !table.write(slot, low, Math.round(full), monotonic + (full - now) / UNITS)) continue
        const retryAfter = cost > burst ? Number.POSITIVE_INFINITY : waitOf((cost - available) * interval)
        return { allowed: false, retryAfter, remaining: whole(available), resetAfter: waitOf(full - now) }
      }
      const next = Math.round(full + cost * interval)
      if (!table.write(slot, low, next, monotonic + (next - now) / UNITS)) continue
      return { allowed: true, retryAfter: 0, remaining: whole(available - cost), resetAfter: waitOf(next - now) }
    }
  }

  giveBack(key: string, cost = 1): void {
    const { table, prefix } = this.#keys
    const monotonic = this.#clock.monotonic()
    hashText(prefix, key)
    const { low, high } = HASHED
    for (;;) {
      const slot = table.find(low, high)
      const value = slot < 0 ? 0 : table.read(slot, low)
      if (value === 0) return
      if (value < 0) continue
      const next = Math.max(1, Math.round(value - cost * this.#interval))
      if (table.write(slot, low, next, Math.max(monotonic, table.base + next / UNITS))) return
    }
  }
}

class QuotaLimiter implements Limiter {
  readonly #keys: Keys
  readonly #clock: Pick<Clock, 'monotonic'>
  readonly #quota: number
  readonly #per: Milliseconds
  /** By so much the end that another worker has written may be later than ours. */
  readonly #slack: number

  constructor(keys: Keys, { quota, per }: LimiterQuota, clock: Pick<Clock, 'monotonic'>) {
    if (!(quota >= 1 && per > 0 && quota < MOST && per * UNITS < MOST))
      throw new TypeError(`no such quota: ${quota} per ${per} ms`)
    this.#keys = keys
    this.#clock = clock
    this.#quota = quota
    this.#per = per
    this.#slack = Math.min(MOST_SLACK, per / 10) * UNITS
  }

  take(key: string, cost = 1): Admission {
    if (!(cost > 0)) throw new RangeError(`a request costs more than ${cost}`)
    const { table, owner, prefix } = this.#keys
    const monotonic = this.#clock.monotonic()
    const end = this.#endOf(key, monotonic)
    const endsAt = table.base + end / UNITS
    const resetAfter = Math.max(1, Math.ceil(endsAt - monotonic))
    hashText(prefix, countKey(key, end))
    const { low, high } = HASHED
    for (;;) {
      const slot = table.place(low, high, owner, monotonic)
      const taken = table.read(slot, low)
      if (taken < 0) continue
      const left = this.#quota - taken
      if (cost > left) {
        const retryAfter = cost > this.#quota ? Number.POSITIVE_INFINITY : resetAfter
        return { allowed: false, retryAfter, remaining: Math.max(0, left), resetAfter }
      }
      if (table.write(slot, low, taken + Math.ceil(cost), endsAt))
        return { allowed: true, retryAfter: 0, remaining: Math.max(0, left - Math.ceil(cost)), resetAfter }
    }
  }

  giveBack(key: string, cost = 1): void {
    const { table, owner, prefix } = this.#keys
    const monotonic = this.#clock.monotonic()
    const end = this.#endOf(key, monotonic)
    hashText(prefix, countKey(key, end))
    const { low, high } = HASHED
    for (;;) {
      const slot = table.place(low, high, owner, monotonic)
      const taken = table.read(slot, low)
      if (taken < 0) continue
      const left = Math.max(0, taken - Math.ceil(cost))
      if (table.write(slot, low, left, table.base + end / UNITS)) return
    }
  }

  /** When the time of the key ends; one that is over, or that was longer by an earlier quota, begins anew. */
  #endOf(key: string, monotonic: Milliseconds): number {
    const { table, owner, prefix } = this.#keys
    hashText(prefix, key)
    const { low, high } = HASHED
    for (;;) {
      const slot = table.place(low, high, owner, monotonic)
      const end = table.read(slot, low)
      if (end < 0) continue
      // Behind the number, as of a rate.
      const now = Math.floor((this.#clock.monotonic() - table.base) * UNITS)
      const most = now + Math.ceil(this.#per * UNITS)
      if (end > now && end <= most + this.#slack) return end
      if (table.write(slot, low, most, table.base + most / UNITS)) return most
    }
  }
}

class TableHolds implements Holds {
  readonly #keys: Keys
  readonly #clock: Pick<Clock, 'monotonic'>

  constructor(keys: Keys, clock: Pick<Clock, 'monotonic'>) {
    this.#keys = keys
    this.#clock = clock
  }

  left(key: string): Milliseconds {
    const { table, prefix } = this.#keys
    hashText(prefix, key)
    const slot = table.find(HASHED.low, HASHED.high)
    const until = slot < 0 ? 0 : table.read(slot, HASHED.low)
    return until <= 0 ? 0 : waitOf(until - (this.#clock.monotonic() - table.base) * UNITS)
  }

  set(key: string, time: Milliseconds): void {
    const { table, owner, prefix } = this.#keys
    const monotonic = this.#clock.monotonic()
    const until = Math.min(Math.round((monotonic - table.base + time) * UNITS), MOST)
    hashText(prefix, key)
    const { low, high } = HASHED
    for (;;) {
      const slot = table.place(low, high, owner, monotonic)
      if (table.read(slot, low) >= 0 && table.write(slot, low, until, monotonic + time)) return
    }
  }
}

const MOST_SLACK: Milliseconds = 1_000

/** Of one time of a key: the next one counts anew. */
const countKey = (key: string, end: number): string => `${end} ${key}`

/** Whole milliseconds. */
const waitOf = (units: number): Milliseconds => Math.max(0, Math.ceil(units / UNITS - 1e-6))

function whole(available: number): number {
  return Math.max(0, Math.floor(available + ROUNDING))
}
