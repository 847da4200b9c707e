/** The rooms of the control thread that exist from its start, and what flows between them. */
import { hash } from 'node:crypto'
import { createValidator, type Validator } from '../api/validate.ts'
import type { EndpointHealth } from '../compile/conditions.ts'
import type { Milliseconds, TimerClock } from '../lib/clock.ts'
import { createAccessLogWriter } from '../log/access-log-writer.ts'
import type { LinePump } from '../log/line-pump.ts'
import type { Logger } from '../log/process-log.ts'
import { GuardedClient } from '../provider/guarded-client.ts'
import { EndpointTable } from '../shared-memory/endpoint-table.ts'
import { MetricsReader } from '../shared-memory/metrics-reader.ts'
import { ProcessBlock } from '../shared-memory/process-block.ts'
import { PurgeLog } from '../shared-memory/purge-log.ts'
import { RowDirectory } from '../shared-memory/row-directory.ts'
import { namespaceOf } from '../snapshot/backend-id.ts'
import { namespacesUnder, rulesOf } from '../snapshot/host.ts'
import { readSchemas } from '../source/crds.ts'
import type { Source } from '../source/source.ts'
import type { AdminInputs } from './admin-view.ts'
import { Archive } from './archive/archive.ts'
import { Caches, type OwnListener, type PeerSettings, ReplicaPods } from './cache/caches.ts'
import type { Configuration } from './configuration.ts'
import { Endpoints } from './endpoints/endpoints.ts'
import { Explanations, type NamedListener } from './explanations.ts'
import { GrantRequests } from './grant-requests.ts'
import { Health } from './health/health.ts'
import { KeySets } from './key-sets/key-sets.ts'
import { LastGoodVersions } from './last-good/last-good.ts'
import { MetricsAnswers } from './metrics-answers.ts'
import { Passwords } from './passwords/passwords.ts'
import { Pipeline } from './publish/pipeline.ts'
import { RegisteredEndpoints } from './registered-endpoints.ts'
import { SettingsFeed } from './settings/settings-feed.ts'
import { SignIns } from './sign-in/sign-ins.ts'
import { Statuses } from './status/statuses.ts'
import type { ControlData, ControlToMain } from './thread-messages.ts'

const STDOUT = 1
/** Of probes, where nothing says how many there are. */
const FEW_SOCKETS = 64

/** What the rooms reach that does not exist yet when they are made. */
export interface RoomLinks {
  /** To the supervisor. */
  post(message: ControlToMain): void
  readonly configuration: () => Configuration | undefined
  readonly locate: Source['locate']
  /** Undefined: replicas do not tell each other. */
  readonly peers: () => PeerSettings | undefined
  /** Those that are open. */
  readonly listeners: () => readonly (OwnListener & NamedListener)[]
}

export class Rooms {
  readonly validator: Validator = createValidator(readSchemas())
  readonly block: ProcessBlock
  readonly table: EndpointTable
  readonly accessLog: LinePump
  readonly settings: SettingsFeed
  readonly lastGood: LastGoodVersions
  readonly statuses: Statuses
  readonly endpoints: Endpoints
  readonly registered: RegisteredEndpoints
  readonly grants: GrantRequests
  readonly archive: Archive
  readonly pipeline: Pipeline
  readonly keySets: KeySets
  readonly passwords: Passwords
  readonly health: Health
  readonly signIns: SignIns
  readonly caches: Caches
  readonly explanations: Explanations
  readonly admin: AdminInputs
  readonly metrics: MetricsAnswers
  readonly #links: RoomLinks
  readonly #providers: GuardedClient
  readonly #others: ReplicaPods

  constructor(data: ControlData, log: Logger, time: TimerClock, links: RoomLinks) {
    const { shared } = data
    this.#links = links
    this.block = new ProcessBlock(shared.process)
    this.table = new EndpointTable(shared.endpoints)
    this.accessLog = openAccessLog(shared.accessLog, log)
    this.settings = new SettingsFeed(data.settingsFile, data.overrides, this.validator, time, data.settings)
    this.lastGood = new LastGoodVersions({
      time,
      retain: (changes) => links.post({ type: 'last-good', changes }),
      warn: (message) => log.warn(message),
    })
    this.statuses = new Statuses({
      time,
      log: (level, message) => log[level](message),
      locate: links.locate,
      endpoints: (backend) => this.healthOf(backend),
    })
    this.endpoints = this.#createEndpoints(data, time)
    this.registered = this.#createRegistered(time)
    this.grants = new GrantRequests({
      time,
      answer: (worker, id, answer) => this.pipeline.answer(worker, id, answer),
      failure: (message) => this.statuses.problems.setGrants(message),
    })
    this.pipeline = this.#createPipeline(data, log, time)
    this.#providers = this.#createProviders(time)
    this.keySets = this.#createKeySets(time)
    this.passwords = new Passwords({ time, warn: (message) => log.warn(message) })
    this.archive = new Archive({ time, warn: (message) => log.warn(message) })
    this.health = this.#createHealth(data, time)
    this.signIns = this.#createSignIns(time)
    this.#others = new ReplicaPods({
      inCluster: data.source.type === 'kubernetes',
      environment: process.env,
      slices: (service) => links.configuration()?.resources.endpointSlices.get(service),
      time,
    })
    this.caches = this.#createCaches(data, log, time)
    const { listeners } = links
    this.explanations = new Explanations({ time, listeners, ask: (message) => this.pipeline.ask(message) })
    this.admin = this.#adminInputs(data)
    this.metrics = new MetricsAnswers(shared, this.admin, log)
  }

  /** How many endpoints of a Backend get requests, and why the others do not. */
  healthOf(backend: string): EndpointHealth {
    return { ...this.endpoints.health(backend), ...this.health.report(backend) }
  }

  async stop(): Promise<void> {
    const left = this.caches.stop()
    this.pipeline.stop()
    this.keySets.stop()
    this.passwords.stop()
    void this.archive.stop()
    this.health.stop()
    this.endpoints.stop()
    this.registered.stop()
    this.grants.stop()
    this.statuses.stop()
    await left
  }

  #createEndpoints({ share, source }: ControlData, time: TimerClock): Endpoints {
    const { statuses, validator, table, block } = this
    const configuration = this.#links.configuration
    return new Endpoints({
      table,
      block,
      validator,
      share,
      inCluster: source.type === 'kubernetes',
      time,
      random: Math.random,
      resources: () => configuration()!.resources,
      events: {
        send: (message) => this.pipeline.send(message),
        ownRows: (backends) => this.pipeline.ownRows(backends),
        changed: (backend) => {
          this.health.endpointsChanged(backend)
          statuses.endpointsChanged(backend)
        },
        unreachable: (all) => configuration()?.useUnreachable(all),
        sent: (since) => this.pipeline.timeEndpoints(since),
        problem: (backend, message) => statuses.warnOf(namespaceOf(backend), message),
        nameHealth: (namespace, name, failure, kept) => statuses.logName(namespace, name, failure, kept),
      },
    })
  }

  #createRegistered(time: TimerClock): RegisteredEndpoints {
    const { endpoints, statuses } = this
    const { configuration, post } = this.#links
    return new RegisteredEndpoints({
      time,
      resources: () => configuration()?.resources,
      refusal: (address, port) => endpoints.refusal(address, port),
      changed: (backends, registered) => configuration()?.useRegistered(backends, registered),
      retain: (changes) => post({ type: 'registrations', changes }),
      failure: (message) => statuses.problems.setRegistrations(message),
      expired: (backend, message) => statuses.warnOf(namespaceOf(backend), message),
    })
  }

  #createProviders(time: TimerClock): GuardedClient {
    const { endpoints } = this
    const { configuration } = this.#links
    const refusesHost = (owner: string, host: string, port: number): string | undefined =>
      owner === '' || configuration()?.targetGranted(owner, host, port) === true
        ? undefined
        : `upstreams.externalTargets of the settings do not allow ${host}:${port} to namespace ${owner}`
    return new GuardedClient({ time, refuses: (address, port) => endpoints.refusal(address, port), refusesHost })
  }

  #createKeySets(time: TimerClock): KeySets {
    return new KeySets({
      client: this.#providers,
      time,
      random: Math.random,
      changed: (url, version) => this.#links.configuration()?.useKeySet(url, version),
    })
  }

  #createHealth({ share }: ControlData, time: TimerClock): Health {
    const { statuses, table, endpoints } = this
    return new Health({
      table,
      time,
      random: Math.random,
      sockets: share.probes ?? FEW_SOCKETS,
      rows: (backend) => endpoints.rows(backend),
      refuses: (address, port) => endpoints.refusal(address, port),
      events: {
        changed: (backend) => statuses.endpointsChanged(backend),
        tell: (backend, message) => statuses.warnOf(namespaceOf(backend), message),
        turned: (backend, turn) => statuses.endpointTurned(backend, turn),
      },
    })
  }

  #createCaches({ shared, share, source }: ControlData, log: Logger, time: TimerClock): Caches {
    const { block, endpoints, statuses } = this
    return new Caches({
      log: new PurgeLog(shared.purges, block.workers + 1),
      writer: block.workers,
      time,
      random: Math.random,
      // The same in every control thread of the process.
      name: hash('sha256', `purges ${share.seed}`, 'base64url'),
      namespacesOf: (host) => {
        const { snapshot } = this.pipeline
        return snapshot && namespacesUnder(snapshot.hosts, host)
      },
      rules: () => {
        const { snapshot } = this.pipeline
        return snapshot && rulesOf(snapshot.hosts)
      },
      others: this.#others,
      peers: this.#links.peers,
      // Of a cluster its EndpointSlices say it.
      replicas: () => (source.type === 'kubernetes' ? 1 : endpoints.topology.place.count),
      ask: (message) => this.pipeline.ask(message),
      metrics: new MetricsReader(shared.metrics),
      memory: shared.cache,
      listeners: this.#links.listeners,
      failure: (message) => statuses.problems.setPurges(message),
      report: (level, message) => log[level](message),
    })
  }

  #createSignIns(time: TimerClock): SignIns {
    return new SignIns({
      http: this.#providers,
      time,
      clientOf: ({ namespace, secret }) => this.#links.configuration()?.oidcClient(`${namespace}/${secret}`),
      send: (message) => this.pipeline.send(message),
    })
  }

  #createPipeline({ shared }: ControlData, log: Logger, time: TimerClock): Pipeline {
    const { endpoints, statuses } = this
    const { post } = this.#links
    const metrics = new MetricsReader(shared.metrics)
    return new Pipeline({
      block: this.block,
      rows: new RowDirectory(shared.metrics),
      time,
      random: Math.random,
      slotOf: (backend) => endpoints.slotOf(backend),
      events: {
        replica: (message) => post({ type: 'replica', message }),
        served: (generation, took: readonly Milliseconds[]) => {
          for (const duration of took) metrics.observeChange(duration)
          statuses.served(generation)
          this.#links.configuration()?.served(generation)
          post({ type: 'programmed', generation, ...statuses.sizes() })
        },
        settled: (compiled) => {
          endpoints.settled(compiled)
          this.health.usePlans(compiled.snapshot.backends)
        },
        cachesEnded: (rules) => this.caches.ended(rules),
        ask: (question) => this.signIns.answer(question),
        endpoints: (took) => metrics.observeEndpoints(took),
        archiveAsked: (answer) => this.archive.ask(answer),
        passwordAsked: (question, answer) => this.passwords.ask(question, answer),
        asked: (worker, id, request) => this.grants.accept(worker, id, request),
        keySetAsked: (url, known, answer) => this.keySets.ask(url, known, answer),
        cachedFound: (id, objects, complete) => this.caches.found(id, objects, complete),
        explained: (id, answer) => this.explanations.explained(id, answer),
        problem: (worker, message) => log.error(`worker ${worker}: ${message}`),
        recovered: (worker, message) => log.info(`worker ${worker}: ${message}`),
      },
    })
  }

  #adminInputs({ version, memory }: ControlData): AdminInputs {
    const { block, table, endpoints, statuses, pipeline, settings } = this
    return {
      block,
      table,
      endpoints,
      health: this.health,
      statuses,
      pipeline,
      settings,
      version,
      budget: memory,
      resources: () => this.#links.configuration()?.resources,
      memory: () => this.#links.configuration()?.memory ?? { tables: 0, configuration: 0, waiting: 0 },
      metrics: () => this.metrics.read(),
    }
  }
}

function openAccessLog(rings: ControlData['shared']['accessLog'], log: Logger): LinePump {
  return createAccessLogWriter({
    rings,
    out: { fd: STDOUT },
    onDrop: (lines) => log.warn({ lines }, 'lines of the access log were lost: standard output is read too slowly'),
    onError: (error) => log.error({ error }, 'the access log cannot be written'),
  })
}
