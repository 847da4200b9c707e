/**
 * The history of purges in Redis: a stream whose entries are numbered without gaps, and its identity beside it. Each
 * replica waits for the next entry on a connection of its own, and asks for what is new in one step, which also says
 * whether the last entry that it knows is still there. Where a failover, an eviction or a restart took entries away,
 * the history gets another identity, by which every replica knows that it cannot know what was purged.
 */

import { decodePurge, encodePurge, type PurgeRecord } from '../../cache/purge-record.ts'
import type { Milliseconds, Random, TimerClock } from '../../lib/clock.ts'
import type { OtherReplicas, PurgeReach, PurgeStore, PurgeStoreEvents } from '../purge-store.ts'
import { APPEND, ENTRIES, HISTORIES, LAST_OF_NAMESPACES, PURGE_KEYS, READ, RENEW } from './purge-scripts.ts'
import type { RedisAccess } from './redis-access.ts'
import type { RedisScript } from './redis-script.ts'
import { KNOWN_FOR, ReplicaList } from './replica-list.ts'
import { StreamWait } from './stream-wait.ts'

/** Between two looks at what is new, while it cannot be waited for. */
const EVERY: Milliseconds = 30
/** And at least so often: nothing is heard of a Redis that was emptied, before somebody begins another history. */
const AT_LEAST: Milliseconds = 250
/** How often a replica says that it is there. */
const HEARTBEAT: Milliseconds = 2_000
const REACH_WITHIN: Milliseconds = 1_000
/** Entries that Redis keeps; a replica that was away for more than those knows that it missed some. */
const KEPT = 65_536
const PAGE = 256
const BETWEEN_PAGES: Milliseconds = 10

export interface PurgeStreamEdges {
  readonly redis: Pick<RedisAccess, 'run' | 'config' | 'keyPrefix'>
  readonly time: TimerClock
  readonly random: Random
  /** Of this process; nobody else has it. */
  readonly name: string
  readonly others: OtherReplicas
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
  /** At the list of replicas. */
  #lookedAt = Number.NEGATIVE_INFINITY
  #reading: Promise<void> | undefined
  readonly #wait: StreamWait
  readonly #replicas: ReplicaList
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
    this.#replicas = new ReplicaList(edges)
    this.#next()
  }

  async append(records: readonly PurgeRecord[]): Promise<void> {
    const args = records.flatMap((record) => [
      Buffer.from(encodePurge(record)).toString('base64'),
      record.kind === 'everything' ? '' : record.namespace,
    ])
    await this.#run(APPEND, [this.#identity(), KEPT, ...args])
    await this.#read()
  }

  async reach(id: number): Promise<PurgeReach> {
    const { time } = this.#edges
    const until = time.monotonic() + REACH_WITHIN
    for (;;) {
      const place = this.#places.get(id)
      const members = place === undefined ? undefined : await this.#replicas.members(this.#history, place)
      const all = members?.every(({ acts }) => acts) === true
      if (all || time.monotonic() >= until || this.#stopped)
        return { members: members ?? this.#unasked(), complete: members !== undefined }
      await this.#pause(EVERY)
    }
  }

  #unasked(): PurgeReach['members'] {
    const { own } = this.#edges.others
    return [{ name: own, acts: true }, ...this.others.map((name) => ({ name, acts: false }))]
  }

  get others(): readonly string[] {
    return this.#replicas.remembered
  }

  async sharers(): Promise<readonly string[] | undefined> {
    return (await this.#replicas.members(this.#history, 0))?.map(({ name }) => name)
  }

  async stop(): Promise<void> {
    this.#stopped = true
    this.#stopTimer()
    this.#wait.stop()
    // What it says of itself would come behind.
    await this.#reading
    await this.#replicas.forget([this.#edges.name])
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
    const { keyPrefix } = redis
    const after = { stream: keyPrefix + ENTRIES, id: `${this.#position}-0` }
    this.#hint ??= this.#wait.next(config, after, keyPrefix + HISTORIES).finally(() => {
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
      (error: unknown) => {
        // What waits may be as dead, and nothing would tell.
        this.#wait.restart()
        this.#events.failure(error instanceof Error ? error.message : String(error))
      },
    )
    this.#reading = reading
    await reading
    if (this.#reading === reading) this.#reading = undefined
  }

  async #readAll(): Promise<void> {
    while (!this.#stopped) {
      const { time, name, others } = this.#edges
      const now = time.monotonic()
      const says = now - this.#saidAt >= HEARTBEAT || this.#saidPosition !== this.#position
      const said = this.#position
      const how = !says || !this.#began ? 0 : this.#saidAt === Number.NEGATIVE_INFINITY ? 2 : 1
      const args = [this.#identity(), said, PAGE, name, KNOWN_FOR, how, others.own, this.#history]
      const page = pageOf(await this.#run(READ, args))
      if (this.#stopped) return
      if (says && this.#began) [this.#saidAt, this.#saidPosition] = [now, said]
      if (this.#began && now - this.#lookedAt >= HEARTBEAT) {
        this.#lookedAt = now
        void this.#replicas.look(page.history)
      }
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
    if (first > this.#position + 1) {
      const passed = await this.#passOver(history, first)
      if (this.#stopped) return true
      if (passed) return false
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

  /**
   * Entries before the first one are not kept any more: all of the namespaces that they were of counts as purged.
   *
   * @returns false: which ones these are is not known
   */
  async #passOver(history: number, first: number): Promise<boolean> {
    const known = this.#position
    const namespaces = missedOf(await this.#run(LAST_OF_NAMESPACES, []), history, known, first)
    if (namespaces === undefined || this.#stopped) return false
    if (!this.#began) this.#begin(history, first, false)
    this.#position = first - 1
    this.#lastId = undefined
    for (const namespace of namespaces)
      this.#events.told({ ...UNKNOWN, kind: 'all', namespace, position: this.#position })
    return true
  }

  #begin(history: number, first: number, missed: boolean): void {
    const resumed = history === this.#history
    if (!resumed) {
      // Its places may be below the one behind which it waits.
      this.#wait.restart()
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

  #run(script: RedisScript, args: readonly (string | number)[]): Promise<unknown> {
    return this.#edges.redis.run(script, PURGE_KEYS, args)
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

/**
 * A failover may have taken some entries of the last moments away, and others have got their places: who knew those
 * does not know these. Whoever is there notices it, and makes it another history; so many are allowed for where nobody
 * was.
 */
const LOST_AT_MOST = 1_024

/** @returns labels of namespaces that may have purged something between two places; undefined: that is not known */
function missedOf(reply: unknown, history: number, known: number, first: number): readonly number[] | undefined {
  if (!Array.isArray(reply)) throw new TypeError(NO_HISTORY)
  const [id, ...pairs] = reply.map(String) as [string, ...string[]]
  const places = new Map<string, number>()
  for (let i = 0; i + 1 < pairs.length; i += 2) places.set(pairs[i]!, Number(pairs[i + 1]))
  if (![...places.values()].every((place) => Number.isSafeInteger(place))) return undefined
  const from = Math.max(0, known - LOST_AT_MOST)
  const [since, upto] = [places.get('since'), places.get('upto')]
  if (id !== String(history) || since === undefined || upto === undefined) return undefined
  if (since > from || upto < first - 1) return undefined
  return [...places].flatMap(([name, place]) => (/^[0-9]+$/.test(name) && place > from ? [Number(name)] : []))
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
