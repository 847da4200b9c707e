/**
 * The entry point of resources. Input: events of the source, last good versions, the settings. Output: the served
 * objects, the impact of their changes, and their problems.
 */
import type { MemorySizes } from '../../admin/metrics-source.ts'
import type { Kind } from '../../api/kinds.ts'
import type { FieldProblem } from '../../api/object.ts'
import type { SettingsObject } from '../../api/settings.ts'
import type { Validator } from '../../api/validate.ts'
import type { OidcClient } from '../../auth/oidc-client.ts'
import { inlineService, serviceUse } from '../../compile/backend-service.ts'
import type { Compiled } from '../../compile/compile.ts'
import { objectId, type ResourceSet, type Unreachable } from '../../compile/resource-set.ts'
import { tenancyOf } from '../../compile/tenancy.ts'
import type { Milliseconds, TimerClock } from '../../lib/clock.ts'
import { formatMebibytes } from '../../lib/memory-budget.ts'
import { hostOfAddress } from '../../policy/auth/key-set.ts'
import { WorkJournal } from '../../shared-memory/work-journal.ts'
import { namespaceOf } from '../../snapshot/backend-id.ts'
import type { FrozenMap } from '../../snapshot/frozen-map.ts'
import type { Source, SourceEvent, SourceHandler } from '../../source/source.ts'
import type { ToWorker } from '../../thread/messages.ts'
import type { LastGood, LastGoodChange, ServedVersion } from '../../thread/retained-state.ts'
import type { Suspect } from '../../thread/suspect-list.ts'
import { AwaitedRecords } from './awaited-records.ts'
import { EventQueue } from './event-queue.ts'
import { HostnameReservations } from './hostname-reservations.ts'
import type { Impact } from './impact.ts'
import type { KeySetVersion } from './key-set-demand.ts'
import { MemoryAdmission } from './memory-admission.ts'
import { Quarantine } from './quarantine.ts'
import { type ObjectProblem, ResourceCache } from './resource-cache.ts'
import type { ProviderFault } from './secrets.ts'
import { ServedReferences } from './served-references.ts'
import { SourceInterest } from './source-interest.ts'

export type { KeySetVersion, ObjectProblem }

export interface ResourcesEvents {
  /** To every worker, and kept for those to come: contents. */
  send(message: ToWorker): void
  /** The settings, a reservation or an unreachable Backend require a build. */
  changed(): void
  /** All events so far are applied. @param build whether they ask for one @param since when the first was seen */
  applied(build: boolean, since: Milliseconds): void
  /** The endpoints of these Backends changed; all else is as it was. @param since when the first change was seen */
  podsChanged(backends: readonly string[], since: Milliseconds): void
  /** {@link Resources.busy} has ended: the awaited events arrived, or the wait timed out. */
  resume(): void
  /** The initial state was read and applied. */
  synced(): void
  /** Objects whose newest version is not served; the complete list, the same one as long as nothing changed. */
  problems(list: readonly ObjectProblem[]): void
  /** A warning about a valid object, for the log. */
  warning(namespace: string, message: string): void
  /** Resolves when hostnames among them are stored where a restart finds them, or cannot be. */
  keep(changes: readonly LastGoodChange[]): Promise<void>
  /** What is served of an object while a newer version is worked on; undefined = not needed any more. */
  retain(name: string, version: ServedVersion | undefined): void
  /** These namespaces use a key set and may; none: it is not wanted any more. */
  keySet(url: string, namespaces: readonly string[]): void
  /** See {@link ProviderFault}. */
  readonly providerFault?: ProviderFault
  /** A quarantined object was processed successfully, or deleted. */
  cleared(name: string): void
}

export interface ResourcesOptions {
  readonly validator: Validator
  readonly settings: SettingsObject
  readonly source: Source
  /** In a cluster, several users write objects independently. */
  readonly inCluster: boolean
  readonly time: TimerClock
  /** What manifests may take, see `MemoryBudget`. */
  readonly bytes: number
  /** What earlier processes and threads kept. */
  readonly lastGood: readonly LastGood[]
  /** What was served when a control thread ended at its successor. */
  readonly served: readonly ServedVersion[]
  /** Objects at which earlier control threads of this process ended. */
  readonly suspects: readonly Suspect[]
  readonly journal: SharedArrayBuffer
  /** Services needed in addition to those that objects refer to. */
  readonly servicesInUse: () => Iterable<string>
  readonly events: ResourcesEvents
}

/** Changes that are applied wait for those that are not, where tenants may send more than can be applied. */
const PATIENCE: Milliseconds = 250

export class Resources implements Pick<SourceHandler, 'changed' | 'synced'> {
  readonly #source: Source
  readonly #time: TimerClock
  readonly #events: ResourcesEvents
  readonly #admission: MemoryAdmission
  readonly #quarantine: Quarantine
  readonly #references: ServedReferences
  readonly #cache: ResourceCache
  readonly #reservations: HostnameReservations
  readonly #records: AwaitedRecords
  readonly #interest: SourceInterest
  readonly #queue: EventQueue
  /** What was compiled last: its grants decide who may have key sets fetched. */
  #granting: ResourceSet | undefined

  constructor({ validator, settings, source, time, events, ...options }: ResourcesOptions) {
    this.#source = source
    this.#time = time
    this.#events = events
    this.#admission = new MemoryAdmission(options.bytes)
    this.#quarantine = new Quarantine(options.suspects, new WorkJournal(options.journal), time, {
      retry: (event) => this.changed([event]),
      cleared: (name) => events.cleared(name),
      keep: (version) => events.retain(objectId(version.kind, version.key), version),
      drop: (name) => events.retain(name, undefined),
    })
    const kept = [...options.lastGood, ...options.served]
    this.#references = new ServedReferences({
      send: (message) => events.send(message),
      configurationBytes: options.bytes,
      wall: () => time.wall(),
      wantKeySet: (url, namespaces) => events.keySet(url, namespaces),
      mayFetch: (namespace, url) => this.#mayFetch(namespace, url),
      ...(events.providerFault === undefined ? {} : { providerFault: events.providerFault }),
    })
    this.#cache = new ResourceCache(
      validator,
      settings,
      kept,
      this.#admission,
      this.#quarantine,
      this.#references,
      options.inCluster,
    )
    this.#reservations = new HostnameReservations(() => time.wall(), settings)
    this.#reservations.restore(options.lastGood)
    this.#records = new AwaitedRecords(time, () => events.resume())
    this.#interest = new SourceInterest({
      source,
      graph: this.#references.graph,
      guarded: options.servicesInUse,
      done: () => events.resume(),
      time,
    })
    // The files of a folder are written together by one user.
    this.#queue = new EventQueue(this.#cache, this.#queueEvents(), time, options.inCluster ? PATIENCE : undefined)
    this.#interest.update()
  }

  /** The current resources, immutable. */
  get current(): ResourceSet {
    return this.#cache.resources()
  }

  /** Whether events or references are pending. */
  get busy(): boolean {
    return this.#queue.busy || this.#interest.busy || this.#records.busy
  }

  /** Whether a change of the Backend or of its Service has come and is not applied yet. */
  awaits(backend: string): boolean {
    const service = serviceUse(this.current, backend)?.key
    return (
      (service !== undefined && this.#queue.holds('Service', service)) ||
      (inlineService(backend) === undefined && this.#queue.holds('Backend', backend))
    )
  }

  /** Bytes. */
  get memory(): Pick<MemorySizes, 'configuration' | 'waiting'> {
    return { configuration: this.#admission.used, waiting: this.#admission.waiting }
  }

  /** What another replica has kept: objects are judged when it is known. Before the first event. */
  restore(reading: Promise<readonly LastGood[]>): void {
    const restored = reading.then((lastGood) => {
      this.#cache.restore(lastGood)
      this.#reservations.restore(lastGood)
    })
    this.#queue.holdUntil(restored)
  }

  changed(events: SourceEvent[]): void {
    this.#interest.addEvents(events)
    this.#queue.add(events)
  }

  synced(): void {
    this.#queue.whenDrained(() => {
      this.#interest.synced()
      this.#cache.synced()
      void this.#events.keep(this.#cache.lastGoodChanges())
      this.#events.synced()
    })
  }

  /** @returns whether the settings have changed */
  useSettings(settings: SettingsObject): boolean {
    const before = this.#admission.used
    const impact = this.#cache.useSettings(settings)
    this.#warnOfMemory(before)
    this.#interest.update()
    this.#reservations.useSettings(settings)
    this.#applyReservations()
    this.#ask(impact)
    return impact !== 'ignore'
  }

  useUnreachable(unreachable: FrozenMap<Unreachable>): void {
    this.#ask(this.#cache.useUnreachable(unreachable))
  }

  useUnopened(unopened: ReadonlyMap<string, string>): void {
    this.#ask(this.#cache.useUnopenedListeners(unopened))
  }

  /** Services have registered other endpoints for these Backends; `registered` has those of all. */
  useRegistered(backends: readonly string[], registered: ResourceSet['registered']): void {
    this.#cache.useRegistered(registered)
    this.#events.podsChanged(backends, this.#time.monotonic())
  }

  /** A compile begins, of everything that is applied. @returns that */
  compiling(): ResourceSet {
    this.#quarantine.compiling()
    const { current } = this
    const before = this.#granting
    this.#granting = current
    // Who may have key sets fetched is part of what is compiled.
    if (before === undefined || tenancyOf(before) !== tenancyOf(current)) this.#cache.recheckKeySets()
    this.#references.contents.compiling()
    return this.current
  }

  /** The keys of a provider are others, or what is wrong with them. */
  useKeySet(url: string, version: KeySetVersion): void {
    this.#ask(this.#cache.useKeySet(url, version))
  }

  /** See {@link Tenancy.isTargetGranted}. */
  targetGranted(namespace: string, host: string, port: number): boolean {
    return (
      namespace === '' ||
      (this.#granting !== undefined && tenancyOf(this.#granting).isTargetGranted(namespace, host, port))
    )
  }

  #mayFetch(namespace: string, url: string): boolean {
    const { host, port } = hostOfAddress(url)
    return this.#cache?.settings.tenancy === 'Shared' || this.targetGranted(namespace, host, port)
  }

  /** See {@link Quarantine.working}. */
  working(object?: string): void {
    this.#quarantine.working(object)
  }

  /** See {@link Quarantine.watch}. */
  watch<T>(steps: Generator<void, T>): Generator<void, T> {
    return this.#quarantine.watch(steps)
  }

  /**
   * A compile is complete: applies the owners of hostnames.
   *
   * @param resources what was compiled
   */
  compiled({ owners }: Compiled, resources: ResourceSet): void {
    this.#reservations.settle(owners, resources.reservations)
    this.#applyReservations()
  }

  /** Its tables were sent as this generation. */
  published(generation: number, first: boolean): void {
    this.#quarantine.published()
    this.#references.contents.published(generation)
    // Behind the tables: those of an earlier control thread are in force until these are.
    if (first) this.#references.contents.adopt()
  }

  /** The client of a provider that a Secret describes. @param key `namespace/name` */
  oidcClient(key: string): OidcClient | undefined {
    return this.#references.contents.oidcClient(key)
  }

  /** This generation serves everywhere: contents that only older tables refer to are withdrawn. */
  served(generation: number): void {
    this.#references.contents.served(generation, this.#time.monotonic())
  }

  /** Called periodically: expires reservations, and retries objects rejected for lack of memory. */
  runMaintenance(): void {
    this.#reservations.expire()
    this.#applyReservations()
    this.#ask(this.#cache.retryContents())
    if (this.#queue.busy) return
    const waiting = this.#cache.waiting()
    if (waiting.length > 0) this.#queue.add(waiting)
  }

  stop(): void {
    this.#queue.stop()
    this.#quarantine.stop()
    this.#interest.stop()
  }

  #queueEvents(): ConstructorParameters<typeof EventQueue>[1] {
    return {
      endpoints: (backends, since) => this.#events.podsChanged(backends, since),
      applied: (impact, since) => this.#applied(impact, since),
      warning: (kind, key, problem) => this.#warn(kind, key, problem),
    }
  }

  /** Reports the impact of a whole burst. */
  #applied(impact: Impact, since: Milliseconds): void {
    this.#interest.update()
    this.#reservations.release(this.#cache.releasedHostnames())
    this.#applyReservations()
    this.#events.problems(this.#cache.problems())
    void this.#events.keep(this.#cache.lastGoodChanges())
    this.#events.applied(impact !== 'ignore', since)
  }

  #applyReservations(): void {
    const { changes, late } = this.#reservations.changes()
    if (changes.length === 0) return
    const written = this.#events.keep(changes)
    if (late) void this.#records.add(written)
    this.#ask(this.#cache.useReservations(this.#reservations.current))
  }

  #ask(impact: Impact): void {
    if (impact !== 'ignore') this.#events.changed()
  }

  /** The settings have another cache for all rules. @param before bytes that were in use */
  #warnOfMemory(before: number): void {
    const { used, limit } = this.#admission
    if (used <= before || used <= limit) return
    this.#events.warning(
      '',
      `with the cache that policies of the settings state for all rules, manifests take ${formatMebibytes(used)} of ${formatMebibytes(limit)}: ` +
        'they serve on, but further ones are refused, and at the next start those that come last; raise limits.memory, or state the cache in the Routes that need it',
    )
  }

  #warn(kind: Kind, key: string, { path, message }: FieldProblem): void {
    const place = this.#source.locate(kind, key, path)
    const where = place === undefined ? '' : `${place.file}:${place.line}:${place.column}: `
    this.#events.warning(namespaceOf(key), `${where}${kind} ${key}: ${message}`)
  }
}
