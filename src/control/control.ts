/**
 * The life of the control thread: it learns the settings, opens the source, answers the supervisor, and stops. Never on
 * the path of a request: it may end at any moment, and the next one finds names at their slots and workers at their
 * ports, reads everything anew and publishes it under a higher generation.
 */
import type { MessagePort } from 'node:worker_threads'
import type { AdminServer } from '../admin/server.ts'
import type { Kind } from '../api/kinds.ts'
import { settingsReferences } from '../api/references.ts'
import type { SettingsObject } from '../api/settings.ts'
import type { Milliseconds, TimerClock } from '../lib/clock.ts'
import { parseBytes } from '../lib/quantity.ts'
import type { Logger } from '../log/process-log.ts'
import { ListenerRows } from '../shared-memory/listener-rows.ts'
import { ClusterCheckpoint } from '../source/checkpoint/cluster-checkpoint.ts'
import { readKeys } from '../source/checkpoint/state-key.ts'
import type { Source, SourceProblem } from '../source/source.ts'
import { TokenFile } from '../source/token-file.ts'
import { keptSessionSeed } from '../store/session-seed.ts'
import { redisLocation } from '../thread/redis-location.ts'
import type { LastGood } from '../thread/retained-state.ts'
import { systemTimers } from '../thread/system-timers.ts'
import type { ResolvedPorts } from '../thread/thread-data.ts'
import { adminData } from './admin-view.ts'
import type { CacheSettings, OwnListener } from './cache/caches.ts'
import { ClusterDuties } from './cluster-duties.ts'
import { Configuration } from './configuration.ts'
import type { NamedListener } from './explanations.ts'
import { installationOf } from './leader/leader.ts'
import { type ClusterConnection, connectCluster, openSource } from './open-source.ts'
import { peerSettings } from './peer-settings.ts'
import { Rooms } from './rooms.ts'
import { type SettingsNote, withPorts } from './settings/settings-feed.ts'
import type { ControlData, ControlToMain, MainToControl } from './thread-messages.ts'

const TEND_EVERY: Milliseconds = 500
const LOOK_AT_TOKENS_EVERY: Milliseconds = 2_000
const FLUSH_WITHIN: Milliseconds = 800
/** Of the source's errors, as many as `/readyz` shows. */
const REASONS = 5
/** For the last good versions of other replicas, beside a checkpoint: an API server that is reachable needs less. */
const READ_WITHIN: Milliseconds = 2_000

export class Control {
  readonly #data: ControlData
  readonly #main: MessagePort
  readonly #log: Logger
  readonly #time: TimerClock
  readonly #rooms: Rooms
  #source: Source | undefined
  #ports: ResolvedPorts | undefined
  /** As the feed gives them: with 0 where any port will do. */
  #wanted: SettingsObject | undefined
  #settings: SettingsObject | undefined
  #configuration: Configuration | undefined
  #checkpoint: ClusterCheckpoint | undefined
  /** What serves is what an earlier process knew. */
  #servesCheckpoint = false
  #duties: ClusterDuties | undefined
  #admin: Promise<AdminServer> | undefined
  #settingsBroken = false
  /** Why pods cannot be known. */
  #unread: readonly string[] = []

  constructor(data: ControlData, main: MessagePort, log: Logger, time: TimerClock = systemTimers) {
    this.#data = data
    this.#main = main
    this.#log = log
    this.#time = time
    this.#ports = data.ports
    this.#rooms = new Rooms(data, log, time, {
      post: (message) => this.#post(message),
      configuration: () => this.#configuration,
      locate: (kind, key, path) => this.#source?.locate(kind, key, path),
      listeners: () => this.#ownListeners(),
      peers: () => peerSettings(this.#settings, data.source),
    })
  }

  start(): void {
    for (const { index, port } of this.#data.workers) this.#rooms.pipeline.addWorker(index, port)
    this.#time.every(TEND_EVERY, () => this.#configuration?.tend())
    this.#rooms.settings.start({
      changed: (settings) => this.#useSettings(settings),
      problems: (notes) => this.#settingsProblems(notes),
    })
  }

  accept(message: MainToControl): void {
    const { pipeline, metrics } = this.#rooms
    switch (message.type) {
      case 'go':
        this.#usePorts(message.ports)
        break
      case 'worker':
        pipeline.addWorker(message.index, message.port)
        break
      case 'worker-gone':
        pipeline.removeWorker(message.index)
        break
      case 'metrics':
        void metrics.tryRead().then((answer) => this.#post({ type: 'metrics', id: message.id, answer }))
        break
      case 'stop':
        void this.#stop()
        break
    }
  }

  /** The operator may name Secrets of any namespace. */
  #isNamedBySettings(kind: Kind, key: string): boolean {
    return [...settingsReferences(this.#settings)].some(
      (reference) => reference.kind === kind && `${reference.namespace}/${reference.name}` === key,
    )
  }

  #post(message: ControlToMain): void {
    this.#main.postMessage(message)
  }

  #usePorts(ports: ResolvedPorts): void {
    this.#ports = ports
    if (this.#configuration === undefined || this.#wanted === undefined || this.#admin === undefined)
      return this.#open(ports)
    this.#useFailures(this.#configuration, ports)
    this.#settings = withPorts(this.#wanted, ports)
    this.#configuration.useSettings(this.#settings)
    this.#configuration.useSockets(ports.sockets)
  }

  /** For requests of its own. */
  #ownListeners(): (OwnListener & NamedListener)[] {
    return (this.#settings?.listeners ?? []).map(({ name, address, port, tls }) => ({
      name,
      address: address ?? 'localhost',
      port,
      tls: tls !== undefined,
    }))
  }

  #useFailures(configuration: Configuration, { failures }: ResolvedPorts): void {
    this.#rooms.statuses.problems.setListeners(failures)
    configuration.useFailures(failures)
  }

  #useSettings(settings: SettingsObject): void {
    this.#wanted = settings
    const real = this.#ports === undefined ? settings : withPorts(settings, this.#ports)
    this.#settings = real
    this.#post({ type: 'settings', settings })
    if (this.#configuration !== undefined) {
      this.#configuration.useSettings(real)
      this.#rooms.caches.useSettings(cacheSettings(real, this.#data.source))
      this.#log.info('new settings are in force; /api/v1/config shows them')
    } else void this.#begin(real)
  }

  #settingsProblems(notes: readonly SettingsNote[]): void {
    const broken = notes.some(({ level }) => level === 'error')
    if (this.#settings === undefined && broken) {
      if (this.#data.settings === undefined) {
        this.#post({ type: 'refused', lines: notes.map(({ message }) => message) })
        return
      }
      this.#useSettings(this.#data.settings)
    }
    this.#rooms.statuses.problems.setSettings(notes)
    if (!broken && this.#settingsBroken) this.#log.info('the settings are well again')
    this.#settingsBroken = broken
  }

  /** Reading begins while the supervisor is still looking whether the addresses are free. */
  async #begin(settings: SettingsObject): Promise<void> {
    const { source: choice, memory } = this.#data
    const kept = await this.#readLastGood(settings)
    this.#keepSessions(settings)
    const failed = (error: unknown): void => this.#log.error({ error }, 'the source failed')
    const connection = choice.type === 'kubernetes' ? connectCluster(choice, this.#time) : undefined
    if (connection !== undefined) this.#checkpoint = this.#openCheckpoint(settings, connection, failed)
    const source = openSource(
      choice,
      { namespaces: settings.watchNamespaces, beyond: (kind, key) => this.#isNamedBySettings(kind, key) },
      failed,
      connection,
      this.#time,
      this.#checkpoint,
      memory,
    )
    this.#source = source
    // What this process has served itself is the newer.
    const configuration = this.#configure(settings, source, [...kept, ...this.#data.lastGood])
    this.#configuration = configuration
    this.#rooms.registered.open(settings.stateDirectory, this.#data.registrations)
    this.#rooms.grants.open(settings.stateDirectory)
    this.#rooms.caches.start(cacheSettings(settings, choice))
    this.#rooms.archive.open(cacheFiles(settings, choice), memory.archive)
    if (this.#ports !== undefined) this.#open(this.#ports)
    if (connection !== undefined) await this.#takeUpDuties(configuration, connection)
    source.start({
      changed: (events) => configuration.changed(events),
      synced: () => {
        this.#rooms.block.setServesCheckpoint(this.#servesCheckpoint)
        configuration.synced()
      },
      problems: (list) => this.#sourceProblems(list),
    })
  }

  async #readLastGood({ stateDirectory, stateKeyFile }: SettingsObject): Promise<LastGood[]> {
    if (stateDirectory === undefined) return []
    const keys = stateKeyFile === undefined ? undefined : () => readKeys(stateKeyFile)
    return await this.#rooms.lastGood.readFolder(stateDirectory, keys)
  }

  #keepSessions({ stateDirectory }: SettingsObject): void {
    if (stateDirectory === undefined) return
    try {
      this.#rooms.endpoints.useSessionSeed(keptSessionSeed(stateDirectory))
    } catch (error) {
      this.#log.warn({ error }, 'session tokens do not outlive this process, because their seed cannot be kept')
    }
  }

  #configure(settings: SettingsObject, source: Source, lastGood: readonly LastGood[]): Configuration {
    const { validator, block, endpoints, health, pipeline, statuses, lastGood: store } = this.#rooms
    const { shared, memory, served, suspects, source: choice } = this.#data
    return new Configuration(
      {
        endpoints,
        health,
        pipeline,
        statuses,
        block,
        listenerRows: new ListenerRows(shared.metrics),
        log: this.#log,
        observe: (events) => this.#duties?.accept(events),
        keep: (changes) => store.keep(changes),
        retain: (name, version) => this.#post({ type: 'served', name, version }),
        cleared: (name) => this.#post({ type: 'cleared', name }),
        keySet: (url, namespaces) => this.#rooms.keySets.want(url, namespaces),
        caches: this.#rooms.caches,
        providerFault: (namespace, issuer) => this.#rooms.signIns.providerFault(namespace, issuer),
      },
      {
        validator,
        settings,
        source,
        inCluster: choice.type === 'kubernetes',
        time: this.#time,
        bytes: memory.configuration,
        lastGood,
        served,
        suspects,
        journal: shared.journal,
      },
    )
  }

  #openCheckpoint(
    { stateDirectory, stateKeyFile, watchNamespaces }: SettingsObject,
    connection: Promise<ClusterConnection>,
    failed: (error: unknown) => void,
  ): ClusterCheckpoint | undefined {
    if (stateDirectory === undefined) return undefined
    return new ClusterCheckpoint({
      stateDirectory,
      keyFile: stateKeyFile,
      namespaces: watchNamespaces,
      identity: async () => (await connection).identity(),
      // A thread that takes the place of another finds workers that serve what is newer.
      serve: !this.#rooms.block.ready,
      log: this.#log,
      time: this.#time,
      failed,
    })
  }

  /**
   * Before the source reports anything: an object may be broken whose last good version another replica has kept.
   */
  async #takeUpDuties(configuration: Configuration, connection: Promise<ClusterConnection>): Promise<void> {
    const installation = installationOf(process.env)
    if (installation === undefined) return
    // The source reports why it cannot be reached.
    const client = await connection.then((made) => made.client).catch(() => undefined)
    if (client === undefined) return
    const { endpoints, statuses, lastGood } = this.#rooms
    const duties = new ClusterDuties({
      client,
      installation,
      statuses,
      lastGood,
      time: this.#time,
      random: Math.random,
      log: this.#log,
      resources: () => configuration.resources,
      health: (backend) => this.#rooms.healthOf(backend),
      seen: (state) => endpoints.useInstallation(state),
    })
    const reading = duties.lastGood.read()
    // Then the API server need not be there for something to be served.
    const available = (await this.#checkpoint?.available()) === true
    configuration.restore(available ? this.#atMost(READ_WITHIN, reading) : reading)
    this.#duties = duties
    void reading.then(() => duties.start())
  }

  /** What is read, or nothing when that takes longer. */
  #atMost(within: Milliseconds, reading: Promise<LastGood[]>): Promise<readonly LastGood[]> {
    const { promise, resolve } = Promise.withResolvers<readonly LastGood[]>()
    this.#time.after(within, () => resolve([]))
    return Promise.race([reading, promise])
  }

  #open(ports: ResolvedPorts): void {
    if (this.#configuration === undefined || this.#settings === undefined || this.#admin !== undefined) return
    const settings = withPorts(this.#settings, ports)
    this.#settings = settings
    this.#useFailures(this.#configuration, ports)
    this.#configuration.open(settings, ports.sockets)
    this.#rooms.keySets.start()
    this.#rooms.signIns.start()
    this.#admin = this.#openAdmin(settings)
    this.#admin.catch((error: unknown) => this.#log.error({ error }, 'the admin API cannot be opened'))
  }

  /** Loaded only here: nothing that serves traffic waits for it. */
  async #openAdmin(settings: SettingsObject): Promise<AdminServer> {
    const { startAdmin } = await import('../admin/server.ts')
    const { address, tokenFile } = settings.admin
    const tokens = tokenFile === undefined ? undefined : this.#watchTokens(new TokenFile(tokenFile))
    const { admin, registered, caches, explanations } = this.#rooms
    const data = adminData(admin)
    return await startAdmin({ address, tokens, data, registrations: registered.registrations, caches, explanations })
  }

  /** A file that cannot be used is reported before the first request finds out. */
  #watchTokens(file: TokenFile): TokenFile {
    const { problems } = this.#rooms.statuses
    const look = async (): Promise<void> => {
      const tokens = await file.read()
      problems.setTokens(tokens.ok ? undefined : tokens.fault)
    }
    void look()
    this.#time.every(LOOK_AT_TOKENS_EVERY, () => void look())
    return file
  }

  #sourceProblems(list: readonly SourceProblem[]): void {
    const { block, endpoints, statuses } = this.#rooms
    statuses.problems.setSource(list)
    const unread = list.flatMap(({ kind, message }) =>
      kind === 'EndpointSlice' || kind === 'Service' ? [message] : [],
    )
    const differs = unread.join() !== this.#unread.join()
    this.#unread = unread
    endpoints.useUnread(unread)
    if (differs) statuses.recheckAll()
    const servesCheckpoint = list.some(({ reason }) => reason === 'RememberedState')
    if (servesCheckpoint !== this.#servesCheckpoint) block.setServesCheckpoint(servesCheckpoint)
    this.#servesCheckpoint = servesCheckpoint
    this.#post({ type: 'source', reasons: statuses.problems.ofSource().slice(0, REASONS) })
  }

  async #stop(): Promise<void> {
    this.#configuration?.stop()
    const left = this.#rooms.stop()
    const stored = this.#checkpoint?.stop(FLUSH_WITHIN)
    await this.#rooms.accessLog.close(FLUSH_WITHIN)
    await Promise.all([this.#rooms.lastGood.flushed(), this.#duties?.stop(), stored, left])
    process.exit(0)
  }
}

/** Where purges are kept for what outlives the process: without files nothing does. */
const cacheSettings = (settings: SettingsObject, source: ControlData['source']): CacheSettings => ({
  redis: redisLocation(settings),
  stateDirectory: cacheFiles(settings, source)?.stateDirectory,
})

/** In a cluster replicas know nothing of each other's files, and a pod's are gone with it. */
function cacheFiles(
  { stateDirectory, cache }: SettingsObject,
  { type }: ControlData['source'],
): { readonly stateDirectory: string; readonly maxBytes: number } | undefined {
  if (stateDirectory === undefined || type !== 'folder') return undefined
  const maxBytes = parseBytes(cache.files)
  return maxBytes === 0 ? undefined : { stateDirectory, maxBytes }
}
