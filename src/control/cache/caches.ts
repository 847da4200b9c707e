/** The room of the HTTP cache: purges, in this process and over all replicas, and what fills the cache ahead. */
import type {
  CacheRefusal,
  CacheRequests,
  LookupOutcome,
  PurgeBody,
  PurgeOutcome,
  PurgeView,
  Reach,
  ReplicaStatistics,
  StatisticsOutcome,
  WarmUpBody,
  WarmUpOutcome,
} from '../../admin/caches.ts'
import type { CachedObject } from '../../cache/cached-object.ts'
import type { PurgeRecord } from '../../cache/purge-record.ts'
import { MAX_PURGED_NAMES, purgedHosts, purgeRecords } from '../../cache/purge-request.ts'
import type { Milliseconds, Random, TimerClock } from '../../lib/clock.ts'
import { ContentStore } from '../../policy/contents.ts'
import type { MetricsReader } from '../../shared-memory/metrics-reader.ts'
import type { CacheBuffers } from '../../shared-memory/process-buffers.ts'
import type { PurgeLog } from '../../shared-memory/purge-log.ts'
import type { RedisLocation } from '../../snapshot/redis-location.ts'
import { PeerPort, type PeerPortEdges } from '../../store/peers/peer-port.ts'
import type { PeerReply } from '../../store/peers/peer-server.ts'
import { PurgeMesh } from '../../store/peers/purge-mesh.ts'
import { PurgeJournal } from '../../store/purge-journal.ts'
import type { OtherReplicas, ReplicaPod } from '../../store/purge-store.ts'
import { PurgeStream } from '../../store/redis/purge-stream.ts'
import { RedisAccess } from '../../store/redis/redis-access.ts'
import type { ToWorker } from '../../thread/messages.ts'
import { WorkerQuestions } from '../../thread/worker-questions.ts'
import { answerLookup, type Found, lookedUp, lookupQuestion, readFound } from './lookups.ts'
import { PurgeKeeper } from './purge-keeper.ts'
import { purgeView } from './purge-view.ts'
import { refusal } from './refusal.ts'
import { type ReplicaAnswer, ReplicaQuestions, SharedAnswers } from './replica-questions.ts'
import { ownStatistics, readStatistics, sumStatistics } from './replica-statistics.ts'
import { type ServedRule, unknownNames } from './unknown-names.ts'
import type { OwnListener } from './warm-up.ts'
import { WARM_UP, WarmUps } from './warm-ups.ts'

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
  /** How replicas tell and ask each other; undefined: they do not. */
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
export type PeerSettings = Pick<PeerPortEdges, 'listen' | 'secrets'>

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
/** Names of questions to other replicas. */
const STATISTICS = 'cache statistics'
const LOOKUP = 'cache lookup'
/** Of names that nothing here has: they may be of what was just deleted, and is stored still. */
const ALL_THE_SAME = 'What is stored by it is purged all the same.'
/** In a sentence. */
const MAX_NAMED = 16

export class Caches implements CacheRequests {
  readonly #options: CacheRoomOptions
  readonly #keeper: PurgeKeeper
  readonly #contents = new ContentStore(() => this.#redis?.contentsChanged())
  readonly #replicas: ReplicaQuestions
  readonly #warmUps: WarmUps
  /** By replica; '' is all of them. */
  readonly #statistics = new SharedAnswers<StatisticsOutcome>()
  #port: PeerPort | undefined
  #redis: RedisAccess | undefined
  /** Of the settings in force, so that the same ones change nothing. */
  #where = ''
  #history: PurgeView['history'] = 'None'
  readonly #questions: WorkerQuestions<Found>
  #problem: string | undefined
  #stopFailing: (() => void) | undefined
  #pace: Promise<void> = Promise.resolve()

  constructor(options: CacheRoomOptions) {
    this.#options = options
    const { log, writer, time, random, others, replicas, listeners } = options
    this.#questions = new WorkerQuestions(options)
    this.#keeper = new PurgeKeeper({ log, writer, time, random, failure: (message) => this.#failed(message) })
    const ask = () => {
      const port = this.#port
      return port && ((pod: ReplicaPod, what: string, body: unknown) => port.ask(pod, what, body))
    }
    this.#replicas = new ReplicaQuestions({ others, replicas, ask, sharers: () => this.#keeper.sharers() })
    this.#warmUps = new WarmUps({ time, random, listeners, questions: this.#replicas })
  }

  start(settings: CacheSettings): void {
    const peers = this.#options.peers()
    if (peers !== undefined) {
      const { time, others } = this.#options
      const answer = (what: string, body: unknown) => this.#answer(what, body)
      this.#port = new PeerPort({ ...peers, time, others, answer })
    }
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

  async statistics(replica?: string): Promise<StatisticsOutcome> {
    const only = this.#only(replica)
    if (typeof only === 'object') return only
    return await this.#statistics.get(only ?? '', async () => {
      const own = async () => ({ answer: this.#ownStatistics() })
      const question = { what: STATISTICS, body: null, own, read: readStatistics }
      const asked = await this.#replicas.ask(question, await this.#replicas.addressees(only))
      const { answers, ...reach } = asked
      if (answers.length === 0) return silence(reach)
      const replicas = answers.map(({ name, answer }) => ({ name, ...answer }))
      return { ok: true, view: { ...sumStatistics(replicas), replicas, ...reach } }
    })
  }

  async lookup(namespace: string | undefined, names: PurgeBody, replica?: string): Promise<LookupOutcome> {
    const only = this.#only(replica)
    if (typeof only === 'object') return only
    const what = this.#recordsOf(namespace, names, 'It cannot be looked up')
    if (!what.ok) return what
    const addressees = await this.#replicas.addressees(only)
    const body = lookupQuestion(what.namespaces, names, addressees.pods.length + 1)
    const question = { what: LOOKUP, body, own: () => this.#find(what.records), read: readFound }
    const { answers, ...reach } = await this.#replicas.ask(question, addressees)
    if (answers.length === 0) return silence(reach)
    const view = lookedUp(answers)
    return { ok: true, view: { ...view, unknown: await this.#unknownOf(namespace, names), ...reach } }
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
    return {
      ok: true,
      view: {
        ...view,
        unknown,
        detail: [
          ...unknown,
          ...(unknown.length > 0 && namespace !== undefined ? [ALL_THE_SAME] : []),
          view.detail,
        ].join(' '),
      },
    }
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

  async warmUp(body: WarmUpBody, replica?: string): Promise<WarmUpOutcome> {
    const only = this.#only(replica)
    return typeof only === 'object' ? only : await this.#warmUps.begin(body, only)
  }

  warmUpState(id: string): WarmUpOutcome {
    return this.#warmUps.state(id)
  }

  /** Resolves when the other replicas know it, or cannot be told. */
  async stop(): Promise<void> {
    this.#stopFailing?.()
    this.#warmUps.stop()
    const late = new Promise<void>((resolve) => this.#options.time.after(LEAVE_WITHIN, resolve))
    await Promise.race([this.#keeper.stop(), late])
    this.#port?.stop()
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
    const { time, random, name, others } = this.#options
    const port = this.#port
    if (port !== undefined) {
      this.#history = 'Peers'
      const edges = { time, random, name, others, port }
      return this.#keeper.use((before, events) => new PurgeMesh(before, edges, events))
    }
    this.#history = stateDirectory === undefined ? 'None' : 'File'
    return this.#keeper.use(
      stateDirectory === undefined
        ? undefined
        : (_, events) => new PurgeJournal(stateDirectory, { random, time }, events),
    )
  }

  #ownStatistics(): ReplicaStatistics {
    const { metrics, memory } = this.#options
    const purges = { history: this.#history, ...(this.#problem !== undefined && { problem: this.#problem }) }
    return ownStatistics(metrics, memory, purges)
  }

  /** In the memory of this replica. */
  async #find(records: readonly PurgeRecord[]): Promise<ReplicaAnswer<Found>> {
    const found = await this.#questions.ask((id) => ({ type: 'find-cached', id, records }))
    return found === null ? { why: 'no worker of it answers' } : { answer: found }
  }

  /** What other replicas ask. */
  #answer(what: string, body: unknown): Promise<PeerReply> | undefined {
    if (what === STATISTICS) return Promise.resolve({ ok: true, body: this.#ownStatistics() })
    if (what === LOOKUP) return answerLookup(body, (records) => this.#find(records))
    if (what === WARM_UP) return Promise.resolve(this.#warmUps.workOn(body))
    return undefined
  }

  /** The full name of the replica that is asked alone. */
  #only(replica: string | undefined): string | undefined | CacheRefusal {
    if (replica === undefined) return undefined
    const names = this.#replicas.names()
    const there = `There are ${names.slice(0, MAX_NAMED).join(', ')}`
    return this.#replicas.nameOf(replica) ?? refusal(404, 'NoReplica', `There is no replica ${replica}`, there)
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
    const hosts = [...purgedHosts(body)]
    const which = hosts.length === 1 ? `host ${hosts[0]}` : `hosts ${hosts.slice(0, MAX_NAMED).join(', ')}`
    return refusal(404, 'NamespaceUnknown', `No rule has the ${which}`, 'State the namespace')
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

/** Nobody who was asked answers. */
function silence({ detail }: Reach): CacheRefusal {
  return refusal(503, 'NotServing', 'No replica answers', detail)
}
