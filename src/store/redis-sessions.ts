/**
 * What replicas share of sessions of browsers, in Redis: which are over, and that a refresh is done by one of them. It
 * is help alone: without Redis, or while it does not answer, each replica does as if it were the only one.
 */
import { createHash } from 'node:crypto'
import { open, type SealingKey, seal } from '../auth/sealed-text.ts'
import type { SignOut } from '../auth/sign-outs.ts'
import type { Milliseconds, TimerClock } from '../lib/clock.ts'
import type { IssuedTokens, SignInFailure } from '../policy/sign-ins.ts'
import { RedisFault } from './redis/redis-fault.ts'
import { RedisScript } from './redis/redis-script.ts'

/** Part of `RedisAccess`. */
export interface SharedScripts {
  readonly configured: boolean
  run(script: RedisScript, keys: readonly string[], args: readonly (string | number)[]): Promise<unknown>
}

export interface SharedSignOut {
  readonly owner: string
  readonly client: string
  readonly entry: SignOut
}

export interface RedisSessionsOptions {
  readonly scripts: SharedScripts
  readonly time: Pick<TimerClock, 'after' | 'monotonic'>
  readonly random: (bytes: number) => Uint8Array
  /** Of the installation: see `SignIns.seed`. */
  readonly seed: () => Uint8Array
}

type Refreshed = IssuedTokens | SignInFailure

/** Longer than a refresh takes; then another replica may try. */
const LOCK: Milliseconds = 12_000
/** As long as one replica keeps what a refresh has brought. */
const KEPT: Milliseconds = 60_000
/** Between two looks whether another replica is done. */
const LOOK: Milliseconds = 100
const SIGN_OUTS = '{oidc}:sign-outs'
/** As long as sessions last. */
const LIFE: Milliseconds = 7 * 86_400_000
const MAX_SIGN_OUTS = 65_536
/** Read by one call. */
const PAGE = 500
/** Of replicas whose calls were late: what is read again changes nothing. */
const OVERLAP: Milliseconds = 10_000

/** @returns what there is of it, or 1: it is the caller's to do */
const TAKE = new RedisScript(`
local found = redis.call('GET', KEYS[1])
if found then return found end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
`)

/** Only for who has it still. */
const GIVE = new RedisScript(`
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
if ARGV[2] == '' then return redis.call('DEL', KEYS[1]) end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return 1
`)

const NOW = `
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
`

const TELL = new RedisScript(`${NOW}
for i = 3, #ARGV do redis.call('ZADD', KEYS[1], 'NX', string.format('%.0f', now), ARGV[i]) end
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now - ARGV[1]))
redis.call('ZREMRANGEBYRANK', KEYS[1], 0, -1 - ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[1])
return 1
`)

const READ = new RedisScript(`${NOW}
local found = redis.call('ZRANGEBYSCORE', KEYS[1], ARGV[1], '+inf', 'WITHSCORES', 'LIMIT', ARGV[2], ARGV[3])
return { string.format('%.0f', now), found }
`)

export class RedisSessions {
  readonly #options: RedisSessionsOptions
  /** Where reading goes on: a score, and how many of it and behind it were read. */
  #from = 0
  #offset = 0

  constructor(options: RedisSessionsOptions) {
    this.#options = options
  }

  get configured(): boolean {
    return this.#options.scripts.configured
  }

  /**
   * A refresh that one replica does, and the others get from it.
   *
   * @param refreshToken only who has it can read what there is
   */
  async refreshOnce(client: string, refreshToken: string, refresh: () => Promise<Refreshed>): Promise<Refreshed> {
    if (!this.configured) return await refresh()
    const { random, time } = this.#options
    const digest = createHash('sha256').update(`${client} ${refreshToken}`).digest('base64url')
    const key = `{oidc:${digest}}`
    const mine = `lock ${Buffer.from(random(16)).toString('base64url')}`
    const end = time.monotonic() + LOCK
    try {
      while (time.monotonic() < end) {
        const found = await this.#take(key, mine)
        if (found === 1) return await this.#refresh(key, mine, refreshToken, refresh)
        const opened = String(found).startsWith('lock ') ? undefined : open(this.#sealing(refreshToken), String(found))
        if (opened !== undefined) return JSON.parse(opened) as Refreshed
        await new Promise<void>((resolve) => void time.after(LOOK, resolve))
      }
    } catch {
      // Redis does not answer; what was asked of it may still have been done.
    }
    return await this.#refresh(key, mine, refreshToken, refresh)
  }

  /** @returns a lock where there are too many calls now: then it is asked again */
  async #take(key: string, mine: string): Promise<unknown> {
    try {
      return await this.#options.scripts.run(TAKE, [key], [mine, LOCK])
    } catch (error) {
      if (error instanceof RedisFault && error.kind === 'full') return 'lock of others'
      throw error
    }
  }

  async #refresh(
    key: string,
    mine: string,
    refreshToken: string,
    refresh: () => Promise<Refreshed>,
  ): Promise<Refreshed> {
    const { scripts, random } = this.#options
    const outcome = await refresh()
    const again = 'fault' in outcome && outcome.fault === 'unavailable'
    const text = again ? '' : seal(this.#sealing(refreshToken), JSON.stringify(outcome), random)
    await scripts.run(GIVE, [key], [mine, text, KEPT]).catch(() => {})
    return outcome
  }

  #sealing(refreshToken: string): SealingKey {
    const key = createHash('sha256').update(this.#options.seed()).update(refreshToken).digest()
    return { key, purpose: 'refreshed' }
  }

  /** Tells the others; what cannot be told now is not told. */
  async tell(owner: string, client: string, entries: readonly SignOut[]): Promise<void> {
    if (!this.configured) return
    const members = entries.map(({ id, before, until }) => JSON.stringify([owner, client, id, before, until]))
    await this.#options.scripts.run(TELL, [SIGN_OUTS], [LIFE, MAX_SIGN_OUTS, ...members]).catch(() => {})
  }

  /**
   * What was told since it was last read, at the first call all there is; a page of it.
   *
   * @returns with `more`: there is more to read now
   */
  async read(): Promise<{ readonly told: readonly SharedSignOut[]; readonly more: boolean }> {
    const { scripts } = this.#options
    const [now, rows] = (await scripts.run(READ, [SIGN_OUTS], [this.#from, this.#offset, PAGE])) as [string, string[]]
    const told: SharedSignOut[] = []
    for (let i = 0; i < rows.length; i += 2) {
      const [owner, client, id, before, until] = JSON.parse(rows[i]!) as [string, string, string, number, number]
      told.push({ owner, client, entry: { id, before, until } })
    }
    const more = told.length === PAGE
    if (more) this.#offset += PAGE
    else {
      this.#from = Math.max(0, Number(now) - OVERLAP)
      this.#offset = 0
    }
    return { told, more }
  }
}
