/**
 * What token issuers remember, in Redis, for all replicas. Each call is one script, so one step, by the clock of Redis;
 * each is right whenever it runs, also behind the deadline of its call. All keys of a namespace are in one slot.
 */
import { hash } from 'node:crypto'
import {
  GRANT_BOUNDS,
  type Grant,
  type GrantBounds,
  type GrantFamily,
  type GrantOwner,
  type GrantStore,
  GrantStoreFailure,
  type Rotation,
  type RotationRequest,
} from '../auth/grant-store.ts'
import type { Milliseconds, TimerClock } from '../lib/clock.ts'
import { FairGate, type GatedWork } from '../limit/fair-gate.ts'
import { mayWait } from './owner-places.ts'
import { RedisFault } from './redis/redis-fault.ts'
import { RedisScript } from './redis/redis-script.ts'

/** Part of `RedisAccess`. */
export interface ScriptRunner {
  run(script: RedisScript, keys: readonly string[], args: readonly (string | number)[]): Promise<unknown>
}

/** Ended members of a set that one call removes. */
const SWEPT = 64

const NOW = `
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local function text(number) return string.format('%.0f', number) end
-- A set of what has not ended, by when it ends; it ends with the last of them.
local function enlist(set, member, ends)
  local ended = redis.call('ZRANGEBYSCORE', set, '-inf', text(now), 'LIMIT', 0, ${SWEPT})
  if #ended > 0 then redis.call('ZREM', set, unpack(ended)) end
  redis.call('ZADD', set, text(ends), member)
  if redis.call('PTTL', set) < ends - now then redis.call('PEXPIRE', set, text(ends - now)) end
end
local function living(set) return redis.call('ZCOUNT', set, '(' .. text(now), '+inf') end
-- Of the client of a family: in the slot of the other keys, since its name begins with their tag.
local function ofClient(families, client) return families .. ':' .. client end
local function finish(key, families, member)
  local client = redis.call('HGET', key, 'client')
  if not client then return end
  redis.call('DEL', key)
  redis.call('ZREM', families, member)
  redis.call('ZREM', ofClient(families, client), member)
end
`

const BEGIN = new RedisScript(`${NOW}
local life, member, client = tonumber(ARGV[1]), ARGV[2], ARGV[3]
local own = ofClient(KEYS[2], client)
if living(own) >= tonumber(ARGV[6]) or living(KEYS[2]) >= tonumber(ARGV[7]) then return 0 end
if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
redis.call('HSET', KEYS[1], 'client', client, 'grant', ARGV[4], 'current', ARGV[5], 'previous', '', 'nonce', '',
  'rotated', '0', 'ends', text(now + life))
redis.call('PEXPIRE', KEYS[1], text(life))
enlist(KEYS[2], member, now + life)
enlist(own, member, now + life)
return 1`)

const FIND = new RedisScript(`return redis.call('HMGET', KEYS[1], 'grant', 'current', 'previous', 'ends')`)

const ROTATE = new RedisScript(`${NOW}
local presented, life, member = ARGV[1], tonumber(ARGV[4]), ARGV[6]
local known = redis.call('HMGET', KEYS[1], 'current', 'previous', 'nonce', 'rotated', 'client')
if not known[1] then return {'missing', ''} end
if known[1] == presented then
  redis.call('HSET', KEYS[1], 'current', ARGV[2], 'previous', presented, 'nonce', ARGV[3], 'rotated', text(now),
    'ends', text(now + life))
  redis.call('PEXPIRE', KEYS[1], text(life))
  enlist(KEYS[2], member, now + life)
  enlist(ofClient(KEYS[2], known[5]), member, now + life)
  return {'rotated', ARGV[3]}
end
local since = now - tonumber(known[4])
if known[2] == presented and since >= 0 and since <= tonumber(ARGV[5]) then return {'repeated', known[3]} end
finish(KEYS[1], KEYS[2], member)
return {'reused', ''}`)

const REVOKE = new RedisScript(`${NOW}
finish(KEYS[1], KEYS[2], ARGV[1])
return 1`)

const MARK = new RedisScript(`${NOW}
if redis.call('EXISTS', KEYS[1]) == 1 then return 'again' end
if living(KEYS[3]) >= tonumber(ARGV[4]) or living(KEYS[2]) >= tonumber(ARGV[3]) then return 'full' end
redis.call('SET', KEYS[1], '', 'PX', ARGV[1])
enlist(KEYS[2], ARGV[2], now + tonumber(ARGV[1]))
enlist(KEYS[3], ARGV[2], now + tonumber(ARGV[1]))
return 'first'`)

const IS_MARKED = new RedisScript(`return redis.call('EXISTS', KEYS[1])`)

/** Memory that is bounded, and what is done at the bound; nothing where the user may not ask for it. */
const EVICTION = new RedisScript(`
local info = redis.pcall('INFO', 'memory')
if type(info) ~= 'string' then return {'0', 'noeviction'} end
return {string.match(info, 'maxmemory:(%d+)') or '0', string.match(info, 'maxmemory_policy:([%w-]+)') or 'noeviction'}`)

/** Calls at a time: as many as a client of Redis always takes. Others wait in turns by namespace, at most so many. */
const AT_A_TIME = { all: 16, perSource: 12, perTurn: 64 }
const MAX_WAITING = { namespace: 512, all: 2_048 }

const LOOK_AT_EVICTION_EVERY: Milliseconds = 60_000

export class RedisGrantStore implements GrantStore {
  readonly #redis: ScriptRunner
  readonly #time: Pick<TimerClock, 'monotonic' | 'nextTurn'>
  readonly #bounds: GrantBounds
  #looked = Number.NEGATIVE_INFINITY
  #look: Promise<void> | null = null
  readonly #gate: FairGate

  constructor(
    redis: ScriptRunner,
    time: Pick<TimerClock, 'monotonic' | 'nextTurn'>,
    bounds: GrantBounds = GRANT_BOUNDS,
  ) {
    this.#redis = redis
    this.#time = time
    this.#gate = new FairGate(AT_A_TIME, (run) => void time.nextTurn(run))
    this.#bounds = bounds
  }

  async begin(owner: GrantOwner, family: string, grant: Grant, digest: string, life: Milliseconds): Promise<boolean> {
    const { client, namespace } = this.#bounds.families
    const member = memberOf(owner, family)
    const [key, families] = keysOf(owner, family)
    const args = [life, member, digestOf(`${owner.issuer} ${grant.client}`), JSON.stringify(grant), digest]
    return (await this.#run(owner, BEGIN, [key, families], [...args, client, namespace])) === 1
  }

  async find(owner: GrantOwner, family: string): Promise<GrantFamily | undefined> {
    const reply = await this.#run(owner, FIND, keysOf(owner, family).slice(0, 1), [])
    const [grant, current, previous, ends] = reply as (string | null)[]
    if (typeof grant !== 'string' || typeof current !== 'string') return undefined
    return { grant: JSON.parse(grant) as Grant, current, previous: previous ?? '', ends: Number(ends) }
  }

  async rotate(owner: GrantOwner, request: RotationRequest): Promise<Rotation> {
    const { family, presented, next, nonce, life, grace } = request
    const args = [presented, next, nonce, life, grace, memberOf(owner, family)]
    const [outcome, stored] = (await this.#run(owner, ROTATE, keysOf(owner, family), args)) as [
      Rotation['outcome'],
      string,
    ]
    return outcome === 'rotated' || outcome === 'repeated' ? { outcome, nonce: stored } : { outcome }
  }

  async revoke(owner: GrantOwner, family: string): Promise<void> {
    await this.#run(owner, REVOKE, keysOf(owner, family), [memberOf(owner, family)])
  }

  async mark(owner: GrantOwner, mark: string, client: string, life: Milliseconds): Promise<'first' | 'again' | 'full'> {
    const member = memberOf(owner, mark)
    const marks = `${tagOf(owner)}:marks`
    const keys = [`${tagOf(owner)}:m:${member}`, marks, `${marks}:${memberOf(owner, digestOf(client))}`]
    const bounds = this.#bounds.marks
    const args = [Math.max(1, Math.ceil(life)), member, bounds.namespace, bounds.client]
    return (await this.#run(owner, MARK, keys, args)) as 'first' | 'again' | 'full'
  }

  async isMarked(owner: GrantOwner, mark: string): Promise<boolean> {
    return (await this.#run(owner, IS_MARKED, [`${tagOf(owner)}:m:${memberOf(owner, mark)}`], [])) === 1
  }

  async #run({ namespace }: GrantOwner, ...call: Parameters<ScriptRunner['run']>): Promise<unknown> {
    const work = await this.#turnOf(namespace)
    try {
      if (this.#time.monotonic() - this.#looked >= LOOK_AT_EVICTION_EVERY) await this.#mustNotEvict()
      return await this.#redis.run(...call)
    } catch (error) {
      if (error instanceof RedisFault) throw new GrantStoreFailure(error.message)
      throw error
    } finally {
      this.#gate.leave(work, true)
    }
  }

  async #turnOf(namespace: string): Promise<GatedWork> {
    if (!mayWait(this.#gate.sizeOf(namespace), this.#gate.waiting, MAX_WAITING))
      throw new GrantStoreFailure('too many calls wait for Redis')
    const { promise, resolve } = Promise.withResolvers<void>()
    const work: GatedWork = { source: namespace, begin: resolve, interrupt() {} }
    this.#gate.enter(work)
    await promise
    return work
  }

  /** An id of an assertion that is evicted would let it through again. Several calls look together. */
  #mustNotEvict(): Promise<void> {
    this.#look ??= this.#lookAtEviction().finally(() => {
      this.#look = null
    })
    return this.#look
  }

  async #lookAtEviction(): Promise<void> {
    const [bytes, policy] = (await this.#redis.run(EVICTION, [], [])) as [string, string]
    if (bytes !== '0' && policy !== 'noeviction')
      throw new GrantStoreFailure(
        `Redis drops keys to make room (maxmemory-policy ${policy}), which refresh tokens and assertions cannot bear: set noeviction`,
      )
    this.#looked = this.#time.monotonic()
  }
}

function digestOf(text: string): string {
  return hash('sha256', text, 'base64url').slice(0, 22)
}

/** In braces: what Redis Cluster finds the slot by. */
function tagOf({ namespace }: GrantOwner): string {
  return `{grants:${digestOf(namespace)}}`
}

function memberOf({ issuer }: GrantOwner, name: string): string {
  return `${digestOf(issuer)}:${name}`
}

function keysOf(owner: GrantOwner, family: string): readonly [family: string, families: string] {
  const tag = tagOf(owner)
  return [`${tag}:f:${memberOf(owner, family)}`, `${tag}:families`]
}
