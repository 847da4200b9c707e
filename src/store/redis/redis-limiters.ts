/**
 * Limits over all replicas: one script for each key, run by Redis as one step with its own clock, so that clocks of
 * replicas do not matter. A request that was sent and not answered in time may be counted late, and once at most.
 */
import { hash } from 'node:crypto'
import type { Admission, LimiterQuota, LimiterRate, LimiterScope } from '../../limit/limiter.ts'
import type { RemoteLimiter, RemoteLimiters } from '../../limit/remote-limiter.ts'
import { OwnerPlaces } from '../owner-places.ts'
import type { RedisAccess } from './redis-access.ts'
import { OF_KEY } from './redis-client.ts'
import { RedisFault } from './redis-fault.ts'
import { RedisScript } from './redis-script.ts'

/**
 * Somebody else may have written to the key. Such an error is one of this key alone: others are counted on, and what
 * becomes of the request is its policy's to say.
 */
const NO_NUMBER = `redis.error_reply('${OF_KEY} the value of a limit is no number')`
const READ_RATE = `
local value = tonumber(redis.call('GET', KEYS[1]) or '0')
if not value or value ~= value then return ${NO_NUMBER} end
`

/** As INCR and DECR have it: they take no other form of a number, and say so by an error that names no type. */
const READ_QUOTA = `
local function count()
  local text = redis.call('GET', KEYS[1]) or '0'
  if text == '0' or (#text < 16 and string.find(text, '^%-?[1-9]%d*$')) then return tonumber(text) end
end
`

/**
 * Generic cell rate algorithm; the value is when the bucket is full again, in microseconds of the clock of Redis.
 * ARGV: microseconds in which one request becomes available again, burst.
 */
const TAKE_RATE = new RedisScript(`${READ_RATE}
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local interval = tonumber(ARGV[1])
local burst = tonumber(ARGV[2])
local full = math.min(math.max(value, now), now + burst * interval)
local available = burst - (full - now) / interval
local allowed = 1 <= available + 0.0001
if allowed then full = full + interval end
local left = math.max(1, math.ceil((full - now) / 1000))
if allowed or full < value then redis.call('SET', KEYS[1], string.format('%.3f', full), 'PX', left) end
if allowed then return {1, math.floor(available - 1 + 0.0001), 0, left} end
return {0, math.max(0, math.floor(available + 0.0001)), math.ceil((1 - available) * interval / 1000), left}
`)

/** ARGV: microseconds of one request. */
const GIVE_RATE = new RedisScript(`${READ_RATE}
if value > 0 then redis.call('SET', KEYS[1], string.format('%.3f', value - tonumber(ARGV[1])), 'KEEPTTL') end
return 0
`)

/** The value is how many are taken in a time that ends with the key. ARGV: quota, milliseconds of the time. */
const TAKE_QUOTA = new RedisScript(`${READ_QUOTA}
local quota = tonumber(ARGV[1])
local per = tonumber(ARGV[2])
local left = redis.call('PTTL', KEYS[1])
local taken = 0
if left >= 0 and left <= per then
  taken = count()
  if not taken then return ${NO_NUMBER} end
else
  left = -1
end
if taken + 1 > quota then return {0, 0, math.max(1, left), math.max(1, left)} end
if left < 0 then
  redis.call('SET', KEYS[1], '1', 'PX', per)
  left = per
else
  redis.call('INCR', KEYS[1])
end
return {1, quota - taken - 1, 0, math.max(1, left)}
`)

const GIVE_QUOTA = new RedisScript(`${READ_QUOTA}
local taken = count()
if not taken then return ${NO_NUMBER} end
if taken > 0 then redis.call('DECR', KEYS[1]) end
return 0
`)

/** One for all calls: to make an error costs more than all else of a call. */
const FULL = new RedisFault('full', 'the calls of the namespace take as much room as is left')

/** What of Redis limits need. */
type Calls = Pick<RedisAccess, 'run' | 'free'>

export class RedisLimiters implements RemoteLimiters {
  readonly #redis: Calls
  /** Of calls in flight: one that has many limits, or many clients, leaves others theirs. */
  readonly #places: OwnerPlaces

  constructor(redis: Calls) {
    this.#redis = redis
    this.#places = new OwnerPlaces(() => redis.free)
  }

  open({ owner, name }: LimiterScope, rate: LimiterRate | LimiterQuota): RemoteLimiter {
    const quota = 'quota' in rate
    // Their values mean different things, so a rate that becomes a quota, or the other way round, counts anew.
    const scope = `${owner}\n${name}\n${quota ? 'quota' : 'rate'}\n`
    const interval = quota ? 0 : (rate.per * 1_000) / rate.requests
    const take = quota ? TAKE_QUOTA : TAKE_RATE
    const args = quota ? [rate.quota, rate.per] : [interval, rate.burst]
    const give = quota ? GIVE_QUOTA : GIVE_RATE
    return {
      take: (key) => this.#run(owner, take, redisKey(scope, key), args).then(admissionOf),
      giveBack: (key) => void this.#run(owner, give, redisKey(scope, key), [interval]).catch(() => {}),
    }
  }

  async #run(owner: string, script: RedisScript, key: string, args: readonly number[]): Promise<unknown> {
    if (!this.#places.take(owner)) throw FULL
    try {
      return await this.#redis.run(script, [key], args)
    } finally {
      this.#places.giveBack(owner)
    }
  }
}

/** A digest: no address, header or name of a client stands in Redis, and no key is long. */
function redisKey(scope: string, key: string): string {
  return `limit:${hash('sha256', scope + key, 'base64url')}`
}

const isCount = (value: unknown): boolean => Number.isSafeInteger(value) && (value as number) >= 0

function admissionOf(reply: unknown): Admission {
  if (!Array.isArray(reply) || reply.length !== 4 || !reply.every(isCount))
    throw new TypeError('Redis replied with what is no admission')
  const [allowed, remaining, retryAfter, resetAfter] = reply as [number, number, number, number]
  return { allowed: allowed === 1, remaining, retryAfter, resetAfter }
}
