/**
 * The history of purges in Redis: a stream whose entries are numbered without gaps, and its identity beside it. Each
 * replica waits for the next entry on a connection of its own, and asks for what is new in one step, which also says
 * whether the last entry that it knows is still there. Where a failover, an eviction or a restart took entries away,
 * the history gets another identity, by which every replica knows that it cannot know what was purged.
 */

import { decodePurge, encodePurge, type PurgeRecord } from '../../cache/purge-record.ts'
import type { Milliseconds, Random, TimerClock } from '../../lib/clock.ts'
import type { PurgeReach, PurgeStore, PurgeStoreEvents } from '../purge-store.ts'
import type { RedisAccess } from './redis-access.ts'
import { RedisScript } from './redis-script.ts'
import { StreamWait } from './stream-wait.ts'

/** Between two looks at what is new, while it cannot be waited for. */
const EVERY: Milliseconds = 30
/** And at least so often: nothing is heard of a history that was emptied. */
const AT_LEAST: Milliseconds = 250
/** How often a replica says that it is there; one that has not for three of them is not waited for. */
const HEARTBEAT: Milliseconds = 5_000
const REACH_WITHIN: Milliseconds = 1_000
/** Entries that Redis keeps; a replica that was away for more than those knows that it missed some. */
const KEPT = 65_536
const PAGE = 256
const BETWEEN_PAGES: Milliseconds = 10

/** One slot of a cluster. */
const KEYS = ['{purges}:entries', '{purges}:history', '{purges}:replicas'] as const

const HISTORY = `
local history = redis.call('HGET', KEYS[2], 'id')
if not history then
  history = ARGV[1]
  redis.call('DEL', KEYS[1])
  redis.call('HSET', KEYS[2], 'id', history, 'last', '0')
end
local last = tonumber(redis.call('HGET', KEYS[2], 'last') or '0')
`

/** ARGV: an identity if it has none, entries that are kept, records. Returns identity and last place. */
const APPEND = new RedisScript(`${HISTORY}
for i = 3, #ARGV do
  last = last + 1
  redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[2], string.format('%.0f-0', last), 'r', ARGV[i])
end
redis.call('HSET', KEYS[2], 'last', string.format('%.0f', last))
return {history, string.format('%.0f', last)}
`)

/**
 * ARGV: an identity if it has none, place that is known, most entries, own name, milliseconds, whether it says that it
 * is there. Returns identity, last place, first place that is kept, and entries from the known one on, with it.
 */
const READ = new RedisScript(`${HISTORY}
if ARGV[6] == '1' then
  redis.call('HSET', KEYS[3], ARGV[4], history .. ' ' .. ARGV[2] .. ' ' .. redis.call('TIME')[1])
  redis.call('PEXPIRE', KEYS[3], ARGV[5])
end
local from = tonumber(ARGV[2])
local first = redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', 1)
local reply = {history, string.format('%.0f', last), first[1] and first[1][1] or ''}
if from == last and from == 0 then return reply end
for _, entry in ipairs(redis.call('XRANGE', KEYS[1], string.format('%.0f-0', from), '+', 'COUNT', ARGV[3])) do
  reply[#reply + 1] = entry[1]
  reply[#reply + 1] = entry[2][2]
end
return reply
`)

/** ARGV: identity that has lost entries, the new one. */
const RENEW = new RedisScript(`
if redis.call('HGET', KEYS[2], 'id') ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[1], KEYS[3])
redis.call('HSET', KEYS[2], 'id', ARGV[2], 'last', '0')
return 1
`)

/** ARGV: seconds after which a replica is gone. Returns what replicas have said. */
const REPLICAS = new RedisScript(`
local now = tonumber(redis.call('TIME')[1])
local said = redis.call('HGETALL', KEYS[3])
local reply = {}
for i = 1, #said, 2 do
  local at = tonumber(string.match(said[i + 1], '%d+$') or '0')
  if now - at > tonumber(ARGV[1]) then redis.call('HDEL', KEYS[3], said[i]) else reply[#reply + 1] = said[i + 1] end
end
return reply
`)

/** ARGV: own name. */
const LEAVE = new RedisScript(`return redis.call('HDEL', KEYS[3], ARGV[1])`)

export interface PurgeStreamEdges {
  readonly redis: Pick<RedisAccess, 'run' | 'config' | 'keyPrefix'>
  readonly time: TimerClock
  readonly random: Random
  /** Of this process; nobody else has it. */
  readonly name: string
}

/** What of the history an earlier control thread of this process has told. */
export interface KnownPurges {
  readonly history: number
  readonly position: number
}

export class PurgeStream implements PurgeStore {
  readonly #edges: PurgeStreamEdges
  readonly #events: PurgeStoreEvents
  #history: number
  #position: number
  /** The id of the record at `#position`; undefined: not known, since an earlier thread told it. */
  #lastId: number | undefined
  /** Places of own records. */
  readonly #places = new Map<number, number>()
  #began = false
  #saidAt = Number.NEGATIVE_INFINITY
  #saidPosition = -1
  #reading: Promise<void> | undefined
  readonly #wait: StreamWait
  /** That is being waited for; one at a time. */
  #hint: Promise<boolean> | undefined
  #stopTimer: () => void = () => {}
  #stopped = false

  constructor(known: KnownPurges, edges: PurgeStreamEdges, events: PurgeStoreEvents) {
    this.#history = known.history
    this.#position = known.position
    this.#edges = edges
    this.#events = events
    this.#wait = new StreamWait(edges.time)
    this.#next()
  }

  async append(records: readonly PurgeRecord[]): Promise<void> {
    const texts = records.map((record) => Buffer.from(encodePurge(record)).toString('base64'))
    await this.#run(APPEND, [this.#identity(), KEPT, ...texts])
    await this.#read()
  }

  async reach(id: number): Promise<PurgeReach> {
    const { time } = this.#edges
    const until = time.monotonic() + REACH_WITHIN
    for (;;) {
      const place = this.#places.get(id)
      const said = place === undefined ? [] : await this.#replicas()
      const reached = said.filter(({ history, position }) => history === this.#history && position >= place!).length
      if ((place !== undefined && reached === said.length) || time.monotonic() >= until || this.#stopped)
        return { replicas: said.length, reached }
      await this.#pause(EVERY)
    }
  }

  stop(): void {
    this.#stopped = true
    this.#stopTimer()
    this.#wait.stop()
    void this.#run(LEAVE, [this.#edges.name]).catch(() => {})
  }

  #pause(duration: Milliseconds): Promise<void> {
    return new Promise((resolve) => this.#edges.time.after(duration, resolve))
  }

  #next(): void {
    if (this.#stopped) return
    const { redis, time } = this.#edges
    let over = false
    const look = (): void => {
      if (over) return
      over = true
      this.#stopTimer()
      void this.#read().then(() => this.#next())
    }
    const { config } = redis
    if (config === undefined || !this.#began) {
      this.#stopTimer = time.after(EVERY, look)
      return
    }
    this.#stopTimer = time.after(AT_LEAST, look)
    this.#hint ??= this.#wait.next(config, redis.keyPrefix + KEYS[0], `${this.#position}-0`).finally(() => {
      this.#hint = undefined
    })
    void this.#hint.then((waited) => {
      if (waited) look()
      else if (!over) {
        this.#stopTimer()
        this.#stopTimer = time.after(EVERY, look)
      }
    })
  }

  /** One at a time; who comes meanwhile waits for one that begins behind it. Never rejects. */
  async #read(): Promise<void> {
    const before = this.#reading
    if (before !== undefined) await before
    if (this.#reading !== undefined && this.#reading !== before) return await this.#reading
    const reading = this.#readAll().then(
      () => this.#events.failure(undefined),
      (error: unknown) => this.#events.failure(error instanceof Error ? error.message : String(error)),
    )
    this.#reading = reading
    await reading
    if (this.#reading === reading) this.#reading = undefined
  }

  async #readAll(): Promise<void> {
    while (!this.#stopped) {
      const { time, name } = this.#edges
      const now = time.monotonic()
      const says = now - this.#saidAt >= HEARTBEAT || this.#saidPosition !== this.#position
      const said = this.#position
      const args = [this.#identity(), said, PAGE, name, 3 * HEARTBEAT, says && this.#began ? 1 : 0]
      const page = pageOf(await this.#run(READ, args))
      if (this.#stopped) return
      if (says && this.#began) [this.#saidAt, this.#saidPosition] = [now, said]
      if (!(await this.#take(page))) continue
      // So that other threads read what they are told before it is overwritten.
      if (page.entries.length >= PAGE) await this.#pause(BETWEEN_PAGES)
      if (page.last <= this.#position && this.#saidPosition === this.#position) return
    }
  }

  /** @returns false: it is to be read again */
  async #take({ history, last, first, entries }: Page): Promise<boolean> {
    if (history !== this.#history) {
      this.#begin(history, first, this.#history !== 0)
      // The page began at a place of another history.
      return false
    }
    if (this.#isTorn(last, first, entries)) {
      await this.#run(RENEW, [history, this.#identity()])
      return false
    }
    if (!this.#began) this.#begin(history, first, false)
    for (const { position, text } of entries) {
      if (position <= this.#position) continue
      const record = decodePurge(Buffer.from(text, 'base64'))
      this.#position = position
      this.#lastId = record?.id ?? 0
      if (record !== undefined) this.#keepPlace(record.id, position)
      // One of another version of the gateway: what it says is not known.
      this.#events.told(record === undefined ? { ...UNKNOWN, position } : { ...record, position })
    }
    return true
  }

  #begin(history: number, first: number, missed: boolean): void {
    const resumed = history === this.#history
    if (!resumed) {
      this.#history = history
      // Everything that is kept is told. What was before is not known.
      this.#position = first === 0 ? 0 : first - 1
      this.#lastId = undefined
    }
    this.#began = true
    this.#events.began(history, this.#position, missed || (!resumed && first > 1))
  }

  /** Whether entries are missing: that which was told last, or those that follow it. */
  #isTorn(last: number, first: number, entries: readonly Entry[]): boolean {
    const known = this.#position
    if (last < known) return true
    const own = entries[0]?.position === known ? entries[0] : undefined
    if (own !== undefined) {
      const id = decodePurge(Buffer.from(own.text, 'base64'))?.id ?? 0
      this.#lastId ??= id
      if (id !== this.#lastId) return true
    }
    if (own === undefined && known > 0 && first !== known + 1) return true
    const next = own === undefined ? entries[0] : entries[1]
    if (last > known && next?.position !== known + 1) return true
    return entries.some(({ position }, i) => i > 0 && position !== entries[i - 1]!.position + 1)
  }

  #keepPlace(id: number, position: number): void {
    if (id === 0) return
    this.#places.set(id, position)
    if (this.#places.size <= PAGE * 4) return
    for (const oldest of this.#places.keys()) {
      this.#places.delete(oldest)
      break
    }
  }

  async #replicas(): Promise<{ history: number; position: number }[]> {
    const reply = await this.#run(REPLICAS, [(3 * HEARTBEAT) / 1_000]).catch(() => [])
    if (!Array.isArray(reply)) return []
    return reply.map((said) => {
      const [history, position] = String(said).split(' ').map(Number)
      return { history: history ?? 0, position: position ?? 0 }
    })
  }

  #run(script: RedisScript, args: readonly (string | number)[]): Promise<unknown> {
    return this.#edges.redis.run(script, KEYS, args)
  }

  /** For a history that has none. */
  #identity(): number {
    return 1 + Math.floor(this.#edges.random() * (Number.MAX_SAFE_INTEGER - 1))
  }
}

const UNKNOWN: Omit<PurgeRecord, 'position'> = {
  kind: 'everything',
  soft: false,
  namespace: 0,
  label: 0,
  exact: 0,
  text: '',
  id: 0,
}

interface Entry {
  readonly position: number
  readonly text: string
}

interface Page {
  readonly history: number
  readonly last: number
  /** 0: there are no entries. */
  readonly first: number
  readonly entries: readonly Entry[]
}

function pageOf(reply: unknown): Page {
  if (!Array.isArray(reply) || reply.length < 3 || reply.length % 2 !== 1) throw new TypeError(NO_HISTORY)
  const [history, last, first, ...rest] = reply.map(String) as [string, string, string, ...string[]]
  const entries: Entry[] = []
  for (let i = 0; i < rest.length; i += 2) entries.push({ position: placeOf(rest[i]!), text: rest[i + 1]! })
  return { history: numberOf(history), last: numberOf(last), first: first === '' ? 0 : placeOf(first), entries }
}

const NO_HISTORY = 'Redis replied with what is no history of purges'

const placeOf = (id: string): number => numberOf(id.replace(/-0$/, ''))

function numberOf(text: string): number {
  const number = Number(text)
  if (!Number.isSafeInteger(number) || number < 0) throw new TypeError(NO_HISTORY)
  return number
}
