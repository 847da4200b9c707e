/**
 * Puts a worker's parts together: exchanges, Backends, linking, messages. The thread (main.ts) and the tests call this
 * one function; what differs between them is what they hand in.
 */
import { randomBytes } from 'node:crypto'
import { ALONE } from '../balance/topology.ts'
import { WeightedSplits } from '../balance/weighted-split.ts'
import { MemoryStores } from '../cache/memory-store.ts'
import { OwnedLru } from '../cache/owned-lru.ts'
import type { Purges } from '../cache/purges.ts'
import { ARCHIVE_OUTCOMES, ARCHIVES } from '../cache/response-archive.ts'
import type { ResponseMemory } from '../cache/response-memory.ts'
import type { ConnectorContext } from '../connector/connectors.ts'
import type { AccessLog } from '../exchange/access-log.ts'
import type { AttemptObserver } from '../exchange/attempt-observer.ts'
import { BackgroundExchanges } from '../exchange/background.ts'
import { ClientResolver } from '../exchange/client-address.ts'
import { createExchangeContext, type ExchangeContext } from '../exchange/exchange-context.ts'
import { type ExplainQuestion, explainRequest } from '../exchange/explain.ts'
import { LoopGuard } from '../exchange/loop-guard.ts'
import { MirrorClient } from '../exchange/mirror.ts'
import { UpstreamClient } from '../exchange/outgoing-client.ts'
import { ProxyRequestHandler } from '../exchange/request-handler.ts'
import type { Random, TimerClock } from '../lib/clock.ts'
import { WorkerPlaces } from '../limit/places.ts'
import type { RemoteLimiters } from '../limit/remote-limiter.ts'
import { TableLimiters } from '../limit/table-limiters.ts'
import { UpstreamBudget } from '../limit/upstream-budget.ts'
import { Linker } from '../link/linker.ts'
import { normalizePath } from '../pattern/path.ts'
import type { PatternCache } from '../pattern/pattern-cache.ts'
import { compilePattern } from '../pattern/regex.ts'
import type { ResponseArchives } from '../policy/cache-services.ts'
import { ContentStore, type Contents } from '../policy/contents.ts'
import type { ProviderClient } from '../policy/provider-client.ts'
import type { FilterRegistry } from '../policy/registry.ts'
import type { FilterServices } from '../policy/services.ts'
import type { EndpointTable } from '../shared-memory/endpoint-table.ts'
import type { LimitTable } from '../shared-memory/limit-table.ts'
import type { WorkerMetrics } from '../shared-memory/metrics.ts'
import type { NamedPlaces } from '../shared-memory/named-places.ts'
import type { BackendConfig } from '../snapshot/snapshot.ts'
import { RedisSessions, type SharedScripts } from '../store/redis-sessions.ts'
import type { FromWorker, WorkerSettings } from '../thread/messages.ts'
import type { Connector } from '../transport/connector.ts'
import { DialGuard } from '../transport/dial-guard.ts'
import { Timers } from '../transport/timers.ts'
import { WorkerArchives } from './archives.ts'
import { Backends } from './backends.ts'
import { WorkerCache } from './cache-services.ts'
import { CachedObjects, type Scannable } from './cached-objects.ts'
import { EndpointLoad } from './endpoint-load.ts'
import { WorkerGrantStores } from './grant-stores.ts'
import { KeySetRequests } from './key-sets.ts'
import { MessageLoop } from './message-loop.ts'
import { PassiveHealth } from './passive-health.ts'
import { PasswordClient } from './password-client.ts'
import { SessionKeys } from './session-keys.ts'
import { WorkerSignIns } from './sign-ins.ts'

/**
 * Of this worker. Fixed and small as long as no policy uses a store: the first that does gives stores a share of the
 * memory's division (lib/memory-budget.ts).
 */
const STORE_BOUNDS = { bytes: 4 * 1024 * 1024, maxValueBytes: 1024 * 1024 }
/** Of verified credentials: some 4 KiB each. */
const MEMO_BYTES = 16 * 1024 * 1024

/** Why nothing is dialled before the settings have come. */
const UNGUARDED = 'cannot be judged yet'

/** The Redis of the settings, as far as limits are counted in it. */
export interface RemoteLimits {
  readonly limiters: RemoteLimiters
  readonly scripts: SharedScripts
  use(redis: WorkerSettings['redis']): void
  /** A password may be another one. */
  contentsChanged(): void
}

/** What a data plane is handed. */
export interface DataPlaneEdges {
  /** Row of this worker in every ledger. */
  readonly worker: number
  /** Among which the ceilings of the installation are divided. */
  readonly workers: number
  readonly clock: TimerClock
  readonly random: Random
  /** That nobody can guess. */
  randomBytes(size: number): Uint8Array
  /** How the endpoints of a Backend are connected to. */
  connectorOf(plan: BackendConfig, context: ConnectorContext): Connector
  /** The same for connections that carry no requests. */
  tunnelsOf(plan: BackendConfig): Connector
  /** @param refuses see {@link DialGuard.refuses}; the guard that is in force */
  providersOf(refuses: DialGuard['refuses']): ProviderClient
  readonly endpoints: EndpointTable
  /** Of all workers: what is counted by key. */
  readonly limits: LimitTable
  /** For tests: instead of those of the worker. */
  readonly archives?: ResponseArchives
  /** Of all workers: requests in flight. */
  readonly places: NamedPlaces
  /** What replicas count together. */
  remoteLimiters(contents: Contents): RemoteLimits
  /** Responses that were stored, and what has been purged of them, of all workers. */
  readonly responses: ResponseMemory
  readonly purges: Purges
  readonly metrics: WorkerMetrics
  readonly registry: FilterRegistry
  /** Hears of every attempt, besides the counts in flight. */
  readonly observer?: AttemptObserver
  /** Of the thread. */
  readonly patterns: PatternCache
  /** Row of a Backend in the metrics, by its id. */
  metricsRow(id: string): number
  accessLog(settings: WorkerSettings['accessLog']): AccessLog
  /** Settings are in force for exchanges and upstreams; listeners are the caller's. */
  settings(settings: WorkerSettings, tablesFollow: boolean): void
  /** A generation is in force. */
  applied(generation: number): void
  epoch(epoch: number): void
  /** See `ProcessBlock.setWaitedFor`. */
  waitedFor?(generation: number): void
  /** See {@link Timers}. */
  alive?(): void
  send(message: FromWorker): void
  /** An error that is a fault of the gateway. */
  unexpected(error: unknown): void
  filterThrew(filter: string, error: unknown): void
}

export interface DataPlane {
  readonly timers: Timers
  readonly context: ExchangeContext
  /** Takes requests, from whatever accepts them. */
  readonly handler: ProxyRequestHandler
  readonly backends: Backends
  readonly budget: UpstreamBudget
  readonly contents: ContentStore
  readonly cache: WorkerCache
  /** Takes what control sends. */
  readonly messages: MessageLoop
}

export function createDataPlane(edges: DataPlaneEdges): DataPlane {
  const { worker, clock, random, endpoints, metrics } = edges
  const timers = new Timers(clock, () => edges.alive?.())
  const budget = new UpstreamBudget(edges.workers)
  const contents: ContentStore = new ContentStore((ids) => {
    backends.contentsChanged(ids)
    remoteLimits.contentsChanged()
    grants.contentsChanged()
    archives.contentsChanged()
  })
  const remoteLimits = edges.remoteLimiters(contents)
  const grants = new WorkerGrantStores({
    clock,
    random,
    contents,
    ask: (id, request) => edges.send({ type: 'grants', id, request }),
    problem: (message) => edges.send({ type: 'problem', message }),
    recovered: (message) => edges.send({ type: 'recovered', message }),
  })
  let guard: DialGuard | undefined
  const sessionKeys = new SessionKeys(contents)
  const archives = new WorkerArchives({
    clock,
    random,
    randomBytes: (size) => edges.randomBytes(size),
    contents,
    key: () => sessionKeys.cacheKey,
    // An entry may take half of what a worker has, and half of that may be held although it is gone: the rest of this
    // is for slow clients.
    maxPutBytes: edges.responses.maxBodyBytes / 4,
    count: (archive, outcome) => metrics.cacheArchive(ARCHIVES.indexOf(archive), ARCHIVE_OUTCOMES.indexOf(outcome)),
    askForFiles: () => edges.send({ type: 'ask-archive' }),
    problem: (message) => edges.send({ type: 'problem', message }),
    recovered: (message) => edges.send({ type: 'recovered', message }),
  })
  const cache = new WorkerCache(edges.responses, edges.purges, metrics, edges.archives ?? archives)
  const signIns = new WorkerSignIns({
    clock,
    random: (size) => edges.randomBytes(size),
    seed: () => sessionKeys.browserKey,
    shared: new RedisSessions({
      scripts: remoteLimits.scripts,
      time: clock,
      random: (size) => edges.randomBytes(size),
      seed: () => sessionKeys.browserKey,
    }),
    send: (message) => edges.send(message),
  })
  const backends = new Backends({
    worker,
    random,
    timers,
    endpoints,
    metrics,
    metricsRow: (id) => edges.metricsRow(id),
    sessionKey: () => sessionKeys.key,
    mayDial: (address, port) => guard !== undefined && guard.refuses(address, port) === undefined,
    connectorOf: (plan) => edges.connectorOf(plan, { contents, timers }),
    tunnelsOf: (plan) => edges.tunnelsOf(plan),
    budget,
    limits: { head: 65_536, headers: 100, uri: 16_384 },
    topology: ALONE,
  })
  const context = createExchangeContext({
    worker,
    clock,
    random,
    timers,
    endpoints,
    metrics,
    splits: new WeightedSplits(random),
    observer: new PassiveHealth(endpoints, timers, new EndpointLoad(worker, endpoints, timers, edges.observer ?? null)),
    waitedFor: (generation) => edges.waitedFor?.(generation),
    unexpected: (error) => edges.unexpected(error),
  })
  const keySets = new KeySetRequests({
    time: clock,
    ask: (url, known) => edges.send({ type: 'ask-key-set', url, known }),
  })
  const passwords = new PasswordClient(clock, (id, question) => edges.send({ type: 'check-password', id, question }))
  const filters = filterServices(edges, context, backends, {
    cache,
    contents,
    remoteLimiters: remoteLimits.limiters,
    signIns,
    grants,
    keySets,
    passwords,
    providers: edges.providersOf((address, port) => (guard === undefined ? UNGUARDED : guard.refuses(address, port))),
  })
  const linker = new Linker({
    filters,
    registry: edges.registry,
    timers: clock,
    backends,
    patterns: edges.patterns,
    commit(tables) {
      context.waiting.replaced(tables.generation, timers.now)
      context.tables = tables
      context.recurring.clear()
      edges.applied(tables.generation)
    },
    problem: (message) => edges.send({ type: 'problem', message }),
  })
  const useSettings = (settings: WorkerSettings, tablesFollow: boolean): void => {
    context.clients = new ClientResolver(settings.clientAddress)
    context.accessLog = edges.accessLog(settings.accessLog)
    context.loops = new LoopGuard(settings.loop)
    guard = new DialGuard(settings.dial)
    grants.use(settings)
    sessionKeys.use(settings.tls.ticketKey, settings.sessionSeed)
    backends.limits = settings.limits
    backends.topology = settings.topology
    budget.use(settings.upstreams, settings.limits.connections)
    remoteLimits.use(settings.redis)
    cache.use(settings.cache)
    archives.use(settings.redis)
    context.recurring.clear()
    edges.settings(settings, tablesFollow && context.tables === null)
  }
  const explain = async (id: number, question: ExplainQuestion): Promise<void> => {
    const { tables, clients } = context
    const { registry } = edges
    const answer = tables === null ? null : await explainRequest(question, { tables, clients, filters, registry })
    edges.send({ type: 'explained', id, answer })
  }
  const messages = new MessageLoop({
    clock,
    linker,
    endpoints: backends,
    contents,
    signIns,
    grants,
    archives,
    keySets,
    passwords,
    cached: new CachedObjects({
      memory: 'scan' in edges.responses ? (edges.responses as Scannable) : undefined,
      purges: edges.purges,
      clock,
      nextTurn: (run) => clock.nextTurn(run),
      found: (id, objects, complete) => edges.send({ type: 'cached', id, objects, complete }),
    }),
    explain: (id, question) =>
      void explain(id, question).catch((error: unknown) => {
        edges.unexpected(error)
        edges.send({ type: 'explained', id, answer: null })
      }),
    settings: useSettings,
    epoch: (epoch) => edges.epoch(epoch),
    send: (message) => edges.send(message),
  })
  return { timers, context, handler: new ProxyRequestHandler(context), backends, budget, contents, cache, messages }
}

function filterServices(
  edges: DataPlaneEdges,
  context: ExchangeContext,
  backends: Backends,
  given: Pick<
    FilterServices,
    'cache' | 'contents' | 'grants' | 'keySets' | 'passwords' | 'providers' | 'remoteLimiters' | 'signIns'
  >,
): FilterServices {
  const { clock, random } = edges
  return {
    clock,
    random,
    randomBytes,
    timers: clock,
    client: new UpstreamClient(context, (id) => backends.findLeaving(id)),
    background: new BackgroundExchanges((run) => void clock.nextTurn(run)),
    mirrors: new MirrorClient(
      context,
      (id) => backends.find(id),
      (run) => void clock.nextTurn(run),
    ),
    ...given,
    stores: new MemoryStores(STORE_BOUNDS, clock),
    memos: new OwnedLru(MEMO_BYTES, clock),
    limiters: new TableLimiters(edges.limits, clock),
    places: new WorkerPlaces(edges.worker, edges.places),
    compilePattern,
    normalizePath,
    report: (filter, error) => edges.filterThrew(filter, error),
  }
}
