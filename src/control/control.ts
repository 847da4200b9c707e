/**
 * The control thread put together. Never on the way of a request: it may die at any moment, and the next one finds
 * names at their slots and workers at their ports, reads everything anew and publishes it under a higher generation.
 */
import { setTimeout as delay } from 'node:timers/promises'
import type { MessagePort } from 'node:worker_threads'
import type { AdminServer } from '../admin/server.ts'
import type { SettingsObject } from '../api/settings.ts'
import { createValidator } from '../api/validate.ts'
import type { EndpointHealth } from '../compile/conditions.ts'
import { refusedKey } from '../compile/resource-set.ts'
import type { Milliseconds } from '../lib/clock.ts'
import type { LinePump } from '../log/line-pump.ts'
import type { Logger } from '../log/process-log.ts'
import { createAccessLogWriter } from '../log/writer.ts'
import { EndpointTable } from '../shared-memory/endpoint-table.ts'
import { ListenerRows } from '../shared-memory/listener-rows.ts'
import { MetricsReader } from '../shared-memory/metrics.ts'
import { ProcessBlock } from '../shared-memory/process-block.ts'
import { RowDirectory } from '../shared-memory/row-directory.ts'
import { SlotReclaimer } from '../shared-memory/slot-reclaimer.ts'
import { WorkJournal } from '../shared-memory/work-journal.ts'
import { namespaceOf } from '../snapshot/backend-id.ts'
import { ClusterCheckpoint } from '../source/checkpoint/cluster-checkpoint.ts'
import { readKeys } from '../source/checkpoint/state-key.ts'
import { readSchemas } from '../source/crds.ts'
import type { Source, SourceProblem } from '../source/source.ts'
import type { LastGoodChange } from '../thread/retained-state.ts'
import { systemTimers } from '../thread/system-timers.ts'
import type { ResolvedPorts } from '../thread/thread-data.ts'
import { adminData, type Viewed } from './admin-view.ts'
import { NameResolver } from './endpoints/dns.ts'
import { EndpointDirectory } from './endpoints/endpoint-directory.ts'
import { FrontNames } from './endpoints/front-names.ts'
import { LastGoodStore } from './last-good/last-good-folder.ts'
import { ClusterDuties } from './leader/cluster-duties.ts'
import { installationOf } from './leader/installation.ts'
import { MetricsAnswers } from './metrics-answers.ts'
import { type ClusterConnection, connectCluster, openSource } from './open-source.ts'
import { Configuration } from './publish/configuration.ts'
import { Publisher } from './publish/publisher.ts'
import { Quarantine } from './resources/quarantine.ts'
import { SettingsFeed, type SettingsNote, withPorts } from './settings/settings-feed.ts'
import { ObjectLog } from './status/object-log.ts'
import { type ProblemEvents, ProblemList } from './status/problem-list.ts'
import { StatusCache } from './status/status-cache.ts'
import { tellName, tellStatus } from './status/status-log.ts'
import type { ControlData, ControlToMain, MainToControl } from './thread-messages.ts'

const STDOUT = 1
const TEND_EVERY: Milliseconds = 500
const FLUSH_WITHIN: Milliseconds = 800
/** Of the source's errors, as many as `/readyz` shows. */
const REASONS = 5
/** For the last good versions of other replicas, beside a checkpoint: an API server that is reachable needs less. */
const READ_WITHIN: Milliseconds = 2_000

export class Control {
  readonly #data: ControlData
  readonly #main: MessagePort
  readonly #log: Logger
  /** For what is about objects of tenants. */
  readonly #objectLog: ObjectLog
  readonly #block: ProcessBlock
  readonly #validator = createValidator(readSchemas())
  readonly #feed: SettingsFeed
  #source: Source | undefined
  readonly #accessLog: LinePump
  readonly #resolver: NameResolver
  readonly #publisher: Publisher
  readonly #viewed: Viewed
  readonly #metrics: MetricsAnswers
  #ports: ResolvedPorts | undefined
  /** As the feed gives them: with 0 where any port will do. */
  #wanted: SettingsObject | undefined
  #settings: SettingsObject | undefined
  #configuration: Configuration | undefined
  #lastGood: LastGoodStore | undefined
  #memory: ClusterCheckpoint | undefined
  /** What serves is what an earlier process knew. */
  #remembered = false
  #duties: ClusterDuties | undefined
  #admin: Promise<AdminServer> | undefined
  #settingsTroubled = false
  /** Why pods cannot be known. */
  #unread: readonly string[] = []
  readonly #parts: Omit<ConstructorParameters<typeof Configuration>[0], 'validator' | 'source' | 'inCluster'>

  constructor(data: ControlData, main: MessagePort, log: Logger) {
    this.#data = data
    this.#main = main
    this.#log = log
    this.#objectLog = new ObjectLog({ time: systemTimers, write: (level, message) => log[level](message) })
    const { shared } = data
    const now = (): Milliseconds => performance.now()
    this.#block = new ProcessBlock(shared.process)
    this.#ports = data.ports
    this.#feed = new SettingsFeed(data.settingsFile, data.overrides, this.#validator, data.settings)
    this.#accessLog = createAccessLogWriter({
      rings: shared.accessLog,
      out: { fd: STDOUT },
      onDrop: (lines) => log.warn({ lines }, 'lines of the access log were lost: standard output is read too slowly'),
      onError: (error) => log.error({ error }, 'the access log cannot be written'),
    })
    const table = new EndpointTable(shared.endpoints)
    const reclaimer = new SlotReclaimer(table, this.#block)
    const metrics = new MetricsReader(shared.metrics)
    this.#publisher = new Publisher(
      this.#block,
      {
        replica: (message) => this.#tell({ type: 'replica', message }),
        served: (generation, took) => {
          for (const time of took) metrics.observeChange(time)
          this.#configuration?.served(generation)
          this.#tell({ type: 'programmed', generation, ...board.sizes() })
        },
        endpoints: (took) => metrics.observeEndpoints(took),
        problem: (worker, message) => log.error(`worker ${worker}: ${message}`),
      },
      now,
    )
    this.#resolver = new NameResolver(
      {
        changed: (name) => {
          directory.renamed(name)
          for (const backend of directory.usersOf(name)) this.#duties?.endpointsChanged(backend)
          this.#configuration?.reachChanged(directory.usersOf(name))
          this.#configuration?.tend()
        },
        health: (name, failure, kept) => {
          const users = directory.usersOf(name)
          tellName(this.#objectLog, namespaceOf(users[0] ?? ''), name, failure, kept)
          for (const backend of users) this.#duties?.endpointsChanged(backend)
          this.#configuration?.reachChanged(users)
        },
      },
      Math.random,
    )
    const directory = new EndpointDirectory(table, reclaimer, this.#resolver, {
      send: (message) => this.#publisher.send(message),
      problem: (backend, message) => this.#objectLog.tell(namespaceOf(backend), 'warn', message),
    })
    const board = new StatusCache({
      changed: (status, before) => tellStatus(this.#objectLog, status, before),
      endpoints: (backend) => ({ total: directory.rows(backend).length, ...this.#healthOf(backend) }),
    })
    const tell: ProblemEvents['tell'] = (level, message, namespace) =>
      namespace === undefined ? log[level](message) : this.#objectLog.tell(namespace, level, message)
    const problems = new ProblemList({ tell }, (kind, key, path) => this.#source?.locate(kind, key, path))
    this.#parts = {
      block: this.#block,
      directory,
      reclaimer,
      publisher: this.#publisher,
      board,
      problems,
      rows: new RowDirectory(shared.metrics),
      listenerRows: new ListenerRows(shared.metrics),
      fronts: new FrontNames({ changed: () => this.#configuration?.lookAround(), random: Math.random, now }),
      log,
      now,
      wall: () => Date.now(),
      share: data.share,
      tellOfObject: (namespace, message) => this.#objectLog.tell(namespace, 'warn', message),
      configurationBytes: data.memory.configuration,
      keepLastGood: (changes) => this.#keepLastGood(changes),
      duties: () => this.#duties,
      served: data.served,
      quarantine: new Quarantine(data.suspects, new WorkJournal(shared.journal), systemTimers, {
        retry: (event) => this.#configuration?.changed([event]),
        cleared: (name) => this.#tell({ type: 'cleared', name }),
        keep: (version) => this.#tell({ type: 'served', name: refusedKey(version.kind, version.key), version }),
        drop: (name) => this.#tell({ type: 'served', name, version: undefined }),
      }),
    }
    this.#viewed = {
      block: this.#block,
      table,
      directory,
      board,
      problems,
      version: data.version,
      snapshot: () => this.#configuration?.snapshot,
      settingViews: () => this.#feed.views(),
      generation: () => this.#publisher.generation,
      budget: data.memory,
      memory: () => this.#configuration?.memory ?? { tables: 0, configuration: 0, waiting: 0 },
      metrics: () => this.#metrics.read(),
    }
    this.#metrics = new MetricsAnswers(shared, this.#viewed, log)
  }

  start(): void {
    for (const { index, port } of this.#data.workers) this.#publisher.addWorker(index, port)
    setInterval(() => this.#configuration?.tend(), TEND_EVERY).unref()
    this.#feed.start({
      changed: (settings) => this.#useSettings(settings),
      problems: (notes) => this.#settingsProblems(notes),
    })
  }

  accept(message: MainToControl): void {
    switch (message.type) {
      case 'go':
        this.#usePorts(message.ports)
        break
      case 'worker':
        this.#publisher.addWorker(message.index, message.port)
        break
      case 'worker-gone':
        this.#publisher.removeWorker(message.index)
        break
      case 'metrics':
        void this.#metrics.tryRead().then((answer) => this.#tell({ type: 'metrics', id: message.id, answer }))
        break
      case 'stop':
        void this.#stop()
        break
    }
  }

  #usePorts(ports: ResolvedPorts): void {
    this.#ports = ports
    if (this.#configuration === undefined || this.#wanted === undefined || this.#admin === undefined)
      return this.#open(ports)
    this.#parts.problems.setListeners(ports.failures)
    this.#settings = withPorts(this.#wanted, ports)
    this.#configuration.useSettings(this.#settings)
    this.#configuration.useSockets(ports.sockets)
  }

  #tell(message: ControlToMain): void {
    this.#main.postMessage(message)
  }

  #useSettings(settings: SettingsObject): void {
    this.#wanted = settings
    const real = this.#ports === undefined ? settings : withPorts(settings, this.#ports)
    this.#settings = real
    this.#tell({ type: 'settings', settings })
    if (this.#configuration !== undefined) {
      this.#configuration.useSettings(real)
      this.#log.info('new settings are in force; /api/v1/config shows them')
    } else void this.#begin(real)
  }

  #settingsProblems(notes: readonly SettingsNote[]): void {
    const broken = notes.some(({ level }) => level === 'error')
    if (this.#settings === undefined && broken) {
      if (this.#data.settings === undefined) {
        this.#tell({ type: 'refused', lines: notes.map(({ message }) => message) })
        return
      }
      this.#useSettings(this.#data.settings)
    }
    this.#parts.problems.setSettings(notes)
    if (!broken && this.#settingsTroubled) this.#log.info('the settings are well again')
    this.#settingsTroubled = broken
  }

  /** Reading begins while the supervisor is still looking whether the addresses are free. */
  async #begin(settings: SettingsObject): Promise<void> {
    const { stateDirectory, stateKeyFile } = settings
    if (stateDirectory !== undefined) {
      const keys = stateKeyFile === undefined ? undefined : () => readKeys(stateKeyFile)
      this.#lastGood = new LastGoodStore(stateDirectory, (message) => this.#log.warn(message), keys)
    }
    const kept = (await this.#lastGood?.read()) ?? []
    // What this process has served itself is the newer.
    const lastGood = [...kept, ...this.#data.lastGood]
    const { source: choice } = this.#data
    const inCluster = choice.type === 'kubernetes'
    const connection = choice.type === 'kubernetes' ? connectCluster(choice) : undefined
    const failed = (error: unknown): void => this.#log.error({ error }, 'the source failed')
    if (connection !== undefined) this.#memory = this.#openMemory(settings, connection, failed)
    const source = openSource(choice, settings.watchNamespaces, failed, connection, this.#memory, this.#data.memory)
    this.#source = source
    const parts = { ...this.#parts, validator: this.#validator, source, inCluster }
    this.#configuration = new Configuration(parts, settings, lastGood)
    const configuration = this.#configuration
    if (this.#ports !== undefined) this.#open(this.#ports)
    if (connection !== undefined) await this.#takeUpDuties(configuration, connection)
    source.start({
      changed: (events) => configuration.changed(events),
      synced: () => {
        this.#block.setServesCheckpoint(this.#remembered)
        configuration.synced()
      },
      problems: (list) => this.#sourceProblems(list),
    })
  }

  #openMemory(
    settings: SettingsObject,
    connection: Promise<ClusterConnection>,
    failed: (error: unknown) => void,
  ): ClusterCheckpoint | undefined {
    const { stateDirectory, stateKeyFile, watchNamespaces } = settings
    if (stateDirectory === undefined) return undefined
    return new ClusterCheckpoint({
      stateDirectory,
      keyFile: stateKeyFile,
      namespaces: watchNamespaces,
      identity: async () => (await connection).identity(),
      // A thread that takes the place of another finds workers that serve what is newer.
      serve: !this.#block.ready,
      log: this.#log,
      wall: this.#parts.wall,
      now: this.#parts.now,
      failed,
    })
  }

  /**
   * Before the source reports anything: an object may be broken whose last good version another replica has kept.
   */
  async #takeUpDuties(configuration: Configuration, connection: Promise<ClusterConnection>): Promise<void> {
    const installation = installationOf(process.env)
    if (installation === undefined) return
    // The source says why it cannot be reached.
    const client = await connection.then((made) => made.client).catch(() => undefined)
    if (client === undefined) return
    const duties = new ClusterDuties({
      ...installation,
      client,
      time: systemTimers,
      random: Math.random,
      log: this.#log,
      resources: () => configuration.resources,
      health: (backend) => this.#healthOf(backend),
      seen: (own) => configuration.useOwn(own),
    })
    const reading = duties.lastGood.read()
    // Then the API server need not be there for something to be served.
    const checkpointAvailable = (await this.#memory?.available()) === true
    configuration.restore(checkpointAvailable ? Promise.race([reading, delay(READ_WITHIN, [])]) : reading)
    this.#duties = duties
    void reading.then(() => duties.start())
  }

  #open(ports: ResolvedPorts): void {
    if (this.#configuration === undefined || this.#settings === undefined || this.#admin !== undefined) return
    const settings = withPorts(this.#settings, ports)
    this.#settings = settings
    this.#parts.problems.setListeners(ports.failures)
    this.#configuration.open(settings, ports.sockets)
    this.#admin = this.#openAdmin(settings)
    this.#admin.catch((error: unknown) => this.#log.error({ error }, 'the admin API cannot be opened'))
  }

  /** Loaded only here: nothing that serves traffic waits for it. */
  async #openAdmin(settings: SettingsObject): Promise<AdminServer> {
    const { startAdmin } = await import('../admin/server.ts')
    const { address, tokenFile } = settings.admin
    return await startAdmin({ address, tokenFile, data: adminData(this.#viewed) })
  }

  #sourceProblems(list: readonly SourceProblem[]): void {
    this.#parts.problems.setSource(list)
    const unread = list.flatMap(({ kind, message }) =>
      kind === 'EndpointSlice' || kind === 'Service' ? [message] : [],
    )
    const other = unread.join() !== this.#unread.join()
    this.#unread = unread
    if (other) this.#duties?.settingsChanged()
    const remembered = list.some(({ reason }) => reason === 'RememberedState')
    if (remembered !== this.#remembered) this.#block.setServesCheckpoint(remembered)
    this.#remembered = remembered
    this.#tell({ type: 'source', reasons: this.#parts.problems.ofSource().slice(0, REASONS) })
  }

  #healthOf(backend: string): Omit<EndpointHealth, 'total'> {
    const { directory, table } = this.#viewed
    const leftOut = directory.leftOut(backend)
    return {
      eligible: directory.rows(backend).filter((row) => table.eligible(row.slot)).length,
      refused: directory.refused(backend),
      unknown: [...directory.unresolved(backend), ...this.#unread],
      ...(leftOut !== undefined && { leftOut }),
    }
  }

  async #keepLastGood(changes: readonly LastGoodChange[]): Promise<void> {
    if (changes.length === 0) return
    this.#lastGood?.keep(changes)
    this.#duties?.lastGood.keep(changes)
    this.#tell({ type: 'last-good', changes })
    await Promise.all([this.#lastGood?.recorded(), this.#duties?.lastGood.flushed()])
  }

  async #stop(): Promise<void> {
    this.#configuration?.stop()
    this.#resolver.stop()
    this.#objectLog.stop()
    const remembered = this.#memory?.stop(FLUSH_WITHIN)
    await this.#accessLog.close(FLUSH_WITHIN)
    await Promise.all([this.#lastGood?.flushed(), this.#duties?.stop(), remembered])
    process.exit(0)
  }
}
