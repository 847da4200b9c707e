/** The room of the HTTP cache: purges, in this process and over all replicas, and what fills the cache ahead. */
import { cacheJudgements, cacheResults } from '../../admin/cache-metrics.ts'
import type {
  CacheReason,
  CacheRefusal,
  CacheRequests,
  CacheStatisticsView,
  LookupOutcome,
  LookupView,
  PurgeBody,
  PurgeOutcome,
  PurgeView,
  WarmUpBody,
  WarmUpOutcome,
} from '../../admin/caches.ts'
import type { CachedObject } from '../../cache/cached-object.ts'
import { sumCacheStatistics } from '../../cache/memory/buffers.ts'
import type { PurgeRecord } from '../../cache/purge-record.ts'
import { MAX_PURGED_NAMES, purgedHosts, purgeRecords } from '../../cache/purge-request.ts'
import type { Milliseconds, Random, TimerClock } from '../../lib/clock.ts'
import { ContentStore } from '../../policy/contents.ts'
import type { MetricsReader } from '../../shared-memory/metrics-reader.ts'
import type { CacheBuffers } from '../../shared-memory/process-buffers.ts'
import type { PurgeLog } from '../../shared-memory/purge-log.ts'
import type { RedisLocation } from '../../snapshot/redis-location.ts'
import { PurgeMesh, type PurgeMeshEdges } from '../../store/peers/purge-mesh.ts'
import { PurgeJournal } from '../../store/purge-journal.ts'
import type { OtherReplicas } from '../../store/purge-store.ts'
import { PurgeStream } from '../../store/redis/purge-stream.ts'
import { RedisAccess } from '../../store/redis/redis-access.ts'
import type { ToWorker } from '../../thread/messages.ts'
import { WorkerQuestions } from '../../thread/worker-questions.ts'
import { PurgeKeeper } from './purge-keeper.ts'
import { purgeView } from './purge-view.ts'
import { type ServedRule, unknownNames } from './unknown-names.ts'
import { type OwnListener, WarmUp } from './warm-up.ts'

export { ReplicaPods } from './replica-pods.ts'
export type { OwnListener } from './warm-up.ts'

export interface CacheRoomOptions {
  readonly log: PurgeLog
  /** Of the log: that of the control thread. */
  readonly writer: number
  readonly time: TimerClock
  readonly random: Random
  /** This process among others; nobody else has it. */
  readonly name: string
  /** Namespaces of the rules that a host leads to; undefined: not known yet. */
  readonly namespacesOf: (host: string) => Iterable<string> | undefined
  /** All that are served; undefined: not known yet. */
  readonly rules: () => Iterable<ServedRule> | undefined
  readonly others: OtherReplicas
  /** How replicas tell each other without Redis; undefined: they do not. */
  readonly peers: () => PeerSettings | undefined
  /** How many there are at least, where somebody says it. */
  readonly replicas: () => number
  readonly listeners: () => readonly OwnListener[]
  /** Asks any worker. @returns false: there is none */
  readonly ask: (message: ToWorker) => boolean
  readonly metrics: MetricsReader
  /** Undefined: there is none. */
  readonly memory: CacheBuffers | undefined
  /** The history of purges cannot be reached, and why; undefined: it can again. */
  readonly failure: (message: string | undefined) => void
  readonly report: (level: 'info' | 'warn', message: string) => void
}

/** Read at the start. */
export type PeerSettings = Pick<PurgeMeshEdges, 'listen' | 'secrets'>

/** Where the history is, by the settings. */
export interface CacheSettings {
  readonly redis: RedisLocation | null
  readonly stateDirectory: string | undefined
}

/** Nobody's request waits for these calls. */
const REDIS_BOUNDS = {
  deadline: 1_000,
  inFlight: 64,
  // Where nothing tells that a connection is dead, purges of others are missed until it is given up.
  failures: 1,
  greeting: 1_000,
  // One connection of one thread: a Redis that is back is asked at once. A dial that is refused takes 0.2 ms.
  pauses: { first: 20, longest: 50 },
  overlap: 70,
}
/** For the others to be told that this one ends. */
const LEAVE_WITHIN: Milliseconds = 500
/** What a purge waits for its way into the history. */
const KEPT_WITHIN: Milliseconds = 1_000
/** Behind each of so many names: other threads read them before they are overwritten. */
const PACE: Milliseconds = 20
const PACED_NAMES = 32
/** Of one namespace; more are purged as one, so that purges of others do not wait behind them. */
const MAX_ENDED_RULES = 32
const FAILS_FOR: Milliseconds = 3_000
const MAX_WARM_UPS = 4
const KEPT_WARM_UPS = 32

/** What a worker has found. */
type Found = Omit<LookupView, 'unknown'>

export class Caches implements CacheRequests {
  readonly #options: CacheRoomOptions
  readonly #keeper: PurgeKeeper
  readonly #contents = new ContentStore(() => this.#redis?.contentsChanged())
  readonly #warmUps = new Map<string, WarmUp>()
  #redis: RedisAccess | undefined
  /** Of the settings in force, so that the same ones change nothing. */
  #where = ''
  #history: PurgeView['history'] = 'None'
  #lastWarmUp = 0
  readonly #questions: WorkerQuestions<Found>
  #problem: string | undefined
  #stopFailing: (() => void) | undefined
  #pace: Promise<void> = Promise.resolve()

  constructor(options: CacheRoomOptions) {
    this.#options = options
    const { log, writer, time, random } = options
    this.#questions = new WorkerQuestions(options)
    this.#keeper = new PurgeKeeper({ log, writer, time, random, failure: (message) => this.#failed(message) })
  }

  start(settings: CacheSettings): void {
    this.#keeper.start()
    this.useSettings(settings)
  }

  useSettings({ redis, stateDirectory }: CacheSettings): void {
    const where = JSON.stringify([redis, redis === null ? stateDirectory : null])
    if (where === this.#where) return
    this.#where = where
    const before = this.#redis
    this.#redis = undefined
    const left = redis !== null ? this.#useRedis(redis) : this.#useOwn(stateDirectory)
    void left.then(() => before?.stop())
  }

  /** What workers are sent, of which the Secrets of Redis matter. */
  accept(message: ToWorker): void {
    if (message.type === 'contents') this.#contents.apply(message.contents)
    else if (message.type === 'content-ids') this.#contents.retain(message.ids)
  }

  statistics(): CacheStatisticsView {
    const { metrics, memory } = this.#options
    const requests = cacheResults(metrics).filter(({ count }) => count > 0)
    const hits = requests.filter(({ result }) => result === 'hit' || result === 'stale').reduce(sumCounts, 0)
    const all = requests.reduce(sumCounts, 0)
    return {
      ...memoryView(memory, metrics.layout.shape.workers),
      hitRatio: all === 0 ? 0 : hits / all,
      requests,
      responses: cacheJudgements(metrics).filter(({ count }) => count > 0),
      purges: { history: this.#history, ...(this.#problem !== undefined && { problem: this.#problem }) },
    }
  }

  async lookup(namespace: string | undefined, body: PurgeBody): Promise<LookupOutcome> {
    const what = this.#recordsOf(namespace, body, 'It cannot be looked up')
    if (!what.ok) return what
    const { records } = what
    const view = await this.#questions.ask((id) => ({ type: 'find-cached', id, records }))
    if (view === null) return refusal(503, 'NotServing', 'No worker answers', 'Try again')
    return { ok: true, view: { ...view, unknown: await this.#unknownOf(namespace, body) } }
  }

  /** What a worker has found. */
  found(id: number, items: readonly CachedObject[], complete: boolean): void {
    this.#questions.answered(id, { items, complete })
  }

  async purge(namespace: string | undefined, body: PurgeBody): Promise<PurgeOutcome> {
    const what = this.#recordsOf(namespace, body, 'It cannot be purged')
    if (!what.ok) return what
    const { namespaces, records } = what
    const id = await this.#purgePaced(records)
    const reach = await this.#keeper.reach(id, KEPT_WITHIN)
    const unknown = await this.#unknownOf(namespace, body)
    const view = purgeView(namespaces, body, this.#history, reach, this.#options)
    return { ok: true, view: { ...view, unknown, detail: [...unknown, view.detail].join(' ') } }
  }

  /** Rules have no cache any more: what they have stored is not found when they have one again. */
  ended(rules: readonly ServedRule[]): void {
    const byNamespace = Map.groupBy(rules, ({ route }) => route.slice(0, route.indexOf('/')))
    const records: PurgeRecord[] = []
    for (const [namespace, ended] of byNamespace)
      for (const what of ended.length > MAX_ENDED_RULES ? [{ all: true }] : ended) {
        const made = purgeRecords(namespace, what)
        if (!('fault' in made)) records.push(...made)
      }
    void this.#purgePaced(records)
  }

  warmUp({ urls, rate }: WarmUpBody): WarmUpOutcome {
    const running = [...this.#warmUps.values()].filter(({ finished }) => !finished).length
    if (running >= MAX_WARM_UPS)
      return refusal(429, 'TooManyWarmUps', 'Too many lists', `${running} are being worked on; wait for one to end`)
    const parsed: URL[] = []
    for (const text of urls) {
      const url = URL.parse(text)
      if (url === null || !/^https?:$/.test(url.protocol) || url.username !== '' || url.password !== '')
        return refusal(422, 'InvalidWarmUp', 'Not requested', `${JSON.stringify(text.slice(0, 128))} is no http(s) URL`)
      parsed.push(url)
    }
    const { listeners, time } = this.#options
    const id = String(++this.#lastWarmUp)
    const made = new WarmUp(id, parsed, listeners, time, rate)
    this.#warmUps.set(id, made)
    for (const [old, { finished }] of this.#warmUps) {
      if (this.#warmUps.size <= KEPT_WARM_UPS) break
      if (finished) this.#warmUps.delete(old)
    }
    return { ok: true, created: true, view: made.view }
  }

  warmUpState(id: string): WarmUpOutcome {
    const found = this.#warmUps.get(id)
    if (found === undefined)
      return refusal(404, 'NoWarmUp', 'There is no such list', 'The last lists are kept until a restart')
    return { ok: true, created: false, view: found.view }
  }

  /** Resolves when the other replicas know it, or cannot be told. */
  async stop(): Promise<void> {
    this.#stopFailing?.()
    for (const warmUp of this.#warmUps.values()) warmUp.stop()
    const late = new Promise<void>((resolve) => this.#options.time.after(LEAVE_WITHIN, resolve))
    await Promise.race([this.#keeper.stop(), late])
    this.#redis?.stop()
  }

  #useRedis(location: RedisLocation): Promise<void> {
    const { time, random, report, name, others } = this.#options
    const redis = new RedisAccess(REDIS_BOUNDS, { contents: this.#contents, time, random, report })
    this.#redis = redis
    this.#history = 'Redis'
    redis.use(location)
    return this.#keeper.use((known, events) => new PurgeStream(known, { redis, time, random, name, others }, events))
  }

  /** Without Redis. */
  #useOwn(stateDirectory: string | undefined): Promise<void> {
    const { time, random, name, others, peers } = this.#options
    const settings = peers()
    if (settings !== undefined) {
      this.#history = 'Peers'
      const edges = { ...settings, time, random, name, others }
      return this.#keeper.use((before, events) => new PurgeMesh(before, edges, events))
    }
    this.#history = stateDirectory === undefined ? 'None' : 'File'
    return this.#keeper.use(
      stateDirectory === undefined ? undefined : (_, events) => new PurgeJournal(stateDirectory, { random }, events),
    )
  }

  #recordsOf(
    namespace: string | undefined,
    body: PurgeBody,
    title: string,
  ): { ok: true; namespaces: readonly string[]; records: readonly PurgeRecord[] } | CacheRefusal {
    const namespaces = namespace === undefined ? this.#namespacesOf(body, title) : [namespace]
    if (!Array.isArray(namespaces)) return namespaces
    const records: PurgeRecord[] = []
    for (const one of namespaces) {
      const made = purgeRecords(one, body)
      if ('fault' in made) return refusal(422, 'InvalidPurge', title, made.fault)
      records.push(...made)
    }
    return { ok: true, namespaces, records }
  }

  #namespacesOf(body: PurgeBody, title: string): string[] | CacheRefusal {
    if (body.urls === undefined && body.prefixes === undefined)
      return refusal(422, 'InvalidPurge', 'A namespace is missing', 'Only URLs and prefixes go without one')
    const namespaces = new Set<string>()
    for (const host of purgedHosts(body)) {
      const found = this.#options.namespacesOf(host)
      if (found === undefined) return refusal(503, 'NotServing', 'No tables yet', 'Try again, or state the namespace')
      for (const namespace of found) namespaces.add(namespace)
    }
    if (namespaces.size > 0) return [...namespaces]
    const made = purgeRecords('', body)
    if ('fault' in made) return refusal(422, 'InvalidPurge', title, made.fault)
    return refusal(404, 'NamespaceUnknown', 'No rule has the host', 'State the namespace')
  }

  #unknownOf(namespace: string | undefined, body: PurgeBody): Promise<string[]> {
    const { rules, namespacesOf, time } = this.#options
    const nextTurn = () => new Promise<void>((resolve) => void time.nextTurn(resolve))
    return unknownNames(namespace, body, { all: rules, namespacesOf }, nextTurn)
  }

  /** Said once it lasts: a connection that is being made is none yet. */
  #failed(message: string | undefined): void {
    const { time, failure } = this.#options
    this.#problem = message
    if (message === undefined) {
      this.#stopFailing?.()
      this.#stopFailing = undefined
      return failure(undefined)
    }
    this.#stopFailing ??= time.after(FAILS_FOR, () => {
      const what = this.#history === 'Peers' ? 'are not told to other replicas' : 'do not outlive this process'
      if (this.#problem !== undefined) failure(`purges of the HTTP cache ${what}: ${this.#problem}`)
    })
  }

  /** One request behind the other, and a pause behind many names. */
  #purgePaced(records: readonly PurgeRecord[]): Promise<number> {
    const { time } = this.#options
    const purged = this.#pace.then(async () => {
      let id = 0
      for (let i = 0; i < records.length; i += MAX_PURGED_NAMES) {
        const some = records.slice(i, i + MAX_PURGED_NAMES)
        id = this.#keeper.purge(some)
        if (records.length > PACED_NAMES) await new Promise<void>((resolve) => time.after(PACE, resolve))
      }
      return id
    })
    this.#pace = purged.then(() => {})
    return purged
  }
}

const sumCounts = (sum: number, { count }: { readonly count: number }): number => sum + count

function memoryView(memory: CacheBuffers | undefined, workers: number) {
  if (memory === undefined)
    return { limit: 0, entries: 0, used: 0, held: 0, stored: 0, evicted: 0, removed: 0, replaced: 0, refused: 0 }
  const sum = sumCacheStatistics(memory, workers)
  return {
    limit: memory.memory.byteLength,
    entries: sum.Entries,
    used: sum.UsedBytes,
    held: sum.HeldBytes,
    stored: sum.Stored,
    evicted: sum.Evicted,
    removed: sum.Removed,
    replaced: sum.Replaced,
    refused: sum.NoRoom + sum.NoSlot + sum.NoClaim,
  }
}

function refusal(status: CacheRefusal['status'], reason: CacheReason, title: string, detail: string): CacheRefusal {
  return { ok: false, status, reason, title, detail }
}
