/** Resources and settings → snapshot → tables, endpoints and statuses, again each time something changes. */
import { isDeepStrictEqual } from 'node:util'
import type { MemorySizes } from '../../admin/metrics-source.ts'
import type { SettingsObject } from '../../api/settings.ts'
import { type Compiled, compile } from '../../compile/compile.ts'
import { CompileState } from '../../compile/compile-state.ts'
import { endpointsOf, inlineService } from '../../compile/endpoints.ts'
import type { ResourceSet } from '../../compile/resource-set.ts'
import { grantsByLabels } from '../../compile/tenancy.ts'
import type { Milliseconds } from '../../lib/clock.ts'
import { namespaceOf } from '../../snapshot/backend-id.ts'
import { FrozenMap } from '../../snapshot/frozen-map.ts'
import { Packer, type PackResult } from '../../snapshot/pack.ts'
import type { EndpointAddress, Snapshot } from '../../snapshot/snapshot.ts'
import type { SourceEvent, SourceHandler } from '../../source/source.ts'
import type { ListenerSettings } from '../../thread/messages.ts'
import type { LastGood } from '../../thread/retained-state.ts'
import { systemTimers } from '../../thread/system-timers.ts'
import { EndpointFeed } from '../endpoints/endpoint-feed.ts'
import { EndpointTurns } from '../endpoints/endpoint-turns.ts'
import { Guards } from '../endpoints/guards.ts'
import { UnreachableBackends } from '../endpoints/unreachable-backends.ts'
import type { SeenOfInstallation } from '../leader/cluster-duties.ts'
import { AwaitedRecords } from '../resources/awaited-records.ts'
import { EventQueue, type EventQueueEvents } from '../resources/event-queue.ts'
import { HostnameReservations } from '../resources/hostname-reservations.ts'
import type { Impact } from '../resources/impact.ts'
import { MemoryAdmission } from '../resources/memory-admission.ts'
import { ResourceCache } from '../resources/resource-cache.ts'
import { SourceInterest } from '../resources/source-interest.ts'
import { tellHandovers } from '../status/handover-log.ts'
import { BuildScheduler } from './build-scheduler.ts'
import type { ConfigurationParts } from './configuration-parts.ts'

interface Built {
  readonly compiled: Compiled
  /** Those that it knew of. */
  readonly holds: ResourceSet['holds']
  /** Undefined when the snapshot is the one that is published. */
  readonly packed: PackResult | undefined
}

/** Endpoint sets brought in line in one step; each is hashed and sent to every worker. */
const SETS_AT_ONCE = 8
/** Changes that are in wait for those that are not, where tenants may send more than can be taken in. */
const PATIENCE: Milliseconds = 250

export class Configuration implements Pick<SourceHandler, 'changed' | 'synced'> {
  readonly #parts: ConfigurationParts
  readonly #admission: MemoryAdmission
  readonly #cache: ResourceCache
  readonly #memo: CompileState
  readonly #packer: Packer
  readonly #rebuild: BuildScheduler<Built>
  readonly #intake: EventQueue
  readonly #endpointFeed: EndpointFeed
  readonly #interest: SourceInterest
  readonly #turns: EndpointTurns
  readonly #guards: Guards
  readonly #holds: HostnameReservations
  readonly #records = new AwaitedRecords(() => this.#rebuild.resume())
  readonly #unreachable: UnreachableBackends
  #settings: SettingsObject
  #synced = false
  /** What workers listen on; set when they may be told. */
  #sockets: readonly ListenerSettings[] | undefined
  /** Endpoint sets as they were last brought in line with a compile. */
  #endpoints = new FrozenMap<readonly EndpointAddress[]>()
  /** Backends that the newest tables do not name; older ones that still serve somewhere may. */
  readonly #unneeded = new Set<string>()
  #compiled: Compiled | undefined
  #published: Snapshot | undefined

  constructor(parts: ConfigurationParts, settings: SettingsObject, lastGood: readonly LastGood[]) {
    this.#parts = parts
    this.#settings = settings
    this.#memo = new CompileState((name) => parts.quarantine.working(name))
    this.#admission = new MemoryAdmission(parts.configurationBytes)
    this.#cache = new ResourceCache(
      parts.validator,
      settings,
      [...lastGood, ...parts.served],
      this.#admission,
      parts.quarantine,
    )
    this.#packer = new Packer(Math.random)
    this.#holds = new HostnameReservations(parts.wall, settings)
    this.#holds.restore(lastGood)
    this.#unreachable = new UnreachableBackends({
      factsOf: (backend) => parts.directory.facts(backend),
      changed: (all) => this.#request(this.#cache.useUnreachable(all)),
    })
    this.#guards = new Guards(parts)
    const intakeEvents: EventQueueEvents = {
      endpoints: (backends, since) => this.#endpointsChanged(backends, since),
      taken: (impact, since) => this.#taken(impact, since),
      warning: (kind, key, { path, message }) => {
        const place = parts.source.locate(kind, key, path)
        const where = place === undefined ? '' : `${place.file}:${place.line}:${place.column}: `
        parts.tellOfObject(namespaceOf(key), `${where}${kind} ${key}: ${message}`)
      },
      now: parts.now,
    }
    // The files of a folder are written together, and by one hand.
    this.#intake = new EventQueue(this.#cache, intakeEvents, parts.inCluster ? PATIENCE : undefined)
    this.#endpointFeed = new EndpointFeed({
      sink: {
        set: (backend, addresses) => {
          parts.directory.set(backend, addresses)
          this.#unreachable.look([backend])
          parts.duties()?.endpointsChanged(backend)
        },
      },
      endpoints: (backend) => endpointsOf(this.#cache.resources(), backend),
      moves: (backend) => this.#hasPods(backend),
      time: systemTimers,
    })
    this.#turns = new EndpointTurns({
      send: (backend) => this.#endpointFeed.changed([backend]),
      seal: () => this.#seal(),
      done: (since) => parts.publisher.timeEndpoints(since),
      now: parts.now,
    })
    this.#interest = new SourceInterest({
      source: parts.source,
      servicesInUse: () => [...this.#cache.servicesInUse, ...this.#guards.services],
      namespaces: () => grantsByLabels(this.#settings),
      done: () => this.#rebuild.resume(),
      now: parts.now,
    })
    this.#rebuild = new BuildScheduler<Built>({
      steps: () => parts.quarantine.watch(this.#build()),
      done: (built, since) => this.#publish(built, since),
      failed: (error) => parts.log.error({ error }, 'a rebuild failed; what is served stays as it is'),
      now: parts.now,
      mayBegin: () => !this.#intake.busy && !this.#interest.busy && !this.#records.busy,
    })
    this.#interest.tell()
  }

  get settings(): SettingsObject {
    return this.#settings
  }

  /** Bytes; see `MetricsSource`. */
  get memory(): MemorySizes {
    return { tables: this.#packer.bytes, configuration: this.#admission.used, waiting: this.#admission.waiting }
  }

  /** As of now. */
  get resources(): ResourceSet {
    return this.#cache.resources()
  }

  /** What another replica has kept: objects are judged when it is known. Before the first event. */
  restore(reading: Promise<readonly LastGood[]>): void {
    const restored = reading.then((lastGood) => {
      this.#cache.restore(lastGood)
      this.#holds.restore(lastGood)
    })
    this.#intake.hold(restored)
  }

  /** As last compiled. */
  get snapshot(): Snapshot | undefined {
    return this.#compiled?.snapshot
  }

  /** Workers may be told: from now on, not before, everything that is in force. */
  open(settings: SettingsObject, sockets: readonly ListenerSettings[]): void {
    this.#sockets = sockets
    this.#tellSettings(settings, sockets)
    if (this.#synced) this.#rebuild.request(true)
  }

  /** Listeners are bound to others than before, or cannot be. */
  useSockets(sockets: readonly ListenerSettings[]): void {
    if (isDeepStrictEqual(sockets, this.#sockets)) return
    this.#sockets = sockets
    this.#tellSettings(this.#settings, sockets)
  }

  useSettings(settings: SettingsObject): void {
    const impact = this.#cache.useSettings(settings)
    this.#settings = settings
    this.#interest.tell()
    this.#holds.useSettings(settings)
    this.#useHolds()
    if (this.#sockets === undefined || impact === 'ignore') return
    this.#tellSettings(settings, this.#sockets)
    this.#request(impact)
    this.#parts.duties()?.settingsChanged()
  }

  changed(events: SourceEvent[]): void {
    this.#parts.duties()?.accept(events)
    this.#interest.note(events)
    this.#intake.add(events)
  }

  synced(): void {
    this.#intake.whenEmpty(() => {
      this.#synced = true
      this.#interest.synced()
      this.#cache.synced()
      this.#parts.block.setSynced(true)
      void this.#parts.keepLastGood(this.#cache.lastGoodChanges())
      if (this.#sockets !== undefined) this.#rebuild.request(true)
    })
  }

  /** A generation serves everywhere: what only older ones needed is withdrawn. */
  served(generation: number): void {
    const { directory, publisher, board } = this.#parts
    board.served(generation)
    this.#parts.duties()?.served(generation)
    const compiled = this.#compiled
    if (generation < publisher.generation || compiled === undefined) return
    for (const id of this.#unneeded) {
      if (compiled.endpoints.has(id)) continue
      this.#endpointFeed.forget(id)
      directory.withdraw(id)
      this.#unreachable.forget(id)
    }
    this.#unneeded.clear()
    this.#seal()
  }

  /** A name among the endpoints of these leads elsewhere, or can, or cannot, be resolved. */
  reachChanged(backends: readonly string[]): void {
    this.#unreachable.look(backends)
  }

  /** What a cluster tells of the installation itself. */
  useOwn(own: SeenOfInstallation): void {
    this.#guards.useOwn(own)
    this.lookAround()
  }

  /** What must not be dialled may be something else by now: brings the guards in line with it. */
  lookAround(): void {
    const sockets = this.#sockets
    if (sockets !== undefined && this.#guards.outdated(this.#cache.resources()))
      this.#tellSettings(this.#settings, sockets)
  }

  /** Names lead elsewhere, or a look at what can be given back is due. */
  tend(): void {
    if (this.#guards.look()) this.lookAround()
    this.#seal()
    for (const backend of this.#parts.directory.tend()) this.#parts.duties()?.endpointsChanged(backend)
    this.#holds.expire()
    this.#useHolds()
    if (this.#intake.busy) return
    const waiting = this.#cache.waiting()
    if (waiting.length > 0) this.#intake.add(waiting)
  }

  stop(): void {
    this.#intake.stop()
    this.#parts.quarantine.stop()
    this.#interest.stop()
    this.#turns.stop()
    this.#unreachable.stop()
    this.#rebuild.stop()
    this.#endpointFeed.stop()
  }

  #request(impact: Impact, since?: Milliseconds): void {
    if (impact === 'ignore' || this.#sockets === undefined || !this.#synced) return
    this.#rebuild.request(false, since)
  }

  #tellSettings(settings: SettingsObject, sockets: readonly ListenerSettings[]): void {
    const { directory, listenerRows } = this.#parts
    listenerRows.sync(sockets.map(({ name }) => name))
    this.#guards.tell(settings, sockets, this.#cache.resources())
    this.#unreachable.look(directory.ids())
  }

  *#build(): Generator<void, Built> {
    this.#endpointFeed.compiling()
    this.#parts.quarantine.compiling()
    const resources = this.#cache.resources()
    const compiled = yield* compile(resources, this.#memo)
    yield* this.#bringEndpoints(compiled.endpoints)
    const { snapshot } = compiled
    const packed = snapshot === this.#published ? undefined : yield* this.#packer.packSteps(snapshot)
    yield* this.#parts.board.prepare(compiled.statuses)
    yield* this.#parts.duties()?.prepare(compiled.statuses) ?? []
    return { compiled, packed, holds: resources.holds }
  }

  /** Before the tables that need them. What they do not need any more goes when they serve everywhere. */
  *#bringEndpoints(endpoints: ReadonlyMap<string, readonly EndpointAddress[]>): Generator<void> {
    const next = endpoints instanceof FrozenMap ? endpoints : FrozenMap.from(endpoints)
    let count = 0
    for (const { key, after } of this.#endpoints.changesTo(next)) {
      if (after !== undefined) this.#endpointFeed.compiled(key, after as readonly EndpointAddress[])
      else this.#unneeded.add(key)
      if (++count % SETS_AT_ONCE === 0) yield
    }
    this.#endpoints = next
  }

  #publish({ compiled, packed, holds }: Built, since: Milliseconds): void {
    const { publisher, board, directory, rows, reclaimer, wall, quarantine } = this.#parts
    const first = this.#compiled === undefined
    this.#compiled = compiled
    this.#holds.settle(compiled.owners, holds)
    this.#useHolds()
    tellHandovers(this.#memo.handovers.take(), this.#parts)
    if (first) {
      reclaimer.adopt(directory.inUse())
      publisher.send({ type: 'backends', ids: [...compiled.endpoints.keys()] })
    }
    if (packed !== undefined) {
      const { backends } = compiled.snapshot
      if (backends !== this.#published?.backends) rows.sync(backends.keys(), wall(), namespaceOf)
      this.#published = compiled.snapshot
      publisher.publish(packed, since, (backend) => directory.slotOf(backend))
    }
    this.#seal()
    quarantine.published()
    board.commit(publisher.generation)
    this.#parts.duties()?.commit(publisher.generation)
  }

  #useHolds(): void {
    const { changes, late } = this.#holds.changes()
    if (changes.length === 0) return
    const written = this.#parts.keepLastGood(changes)
    if (late) void this.#records.add(written)
    this.#request(this.#cache.useHolds(this.#holds.holds))
  }

  #hasPods(backend: string): boolean {
    if (inlineService(backend) !== undefined) return true
    return this.#cache.resources().backends.get(backend)?.object.spec.service !== undefined
  }

  /** Behind every endpoint set that was sent: workers that handle it know of no slot that was withdrawn before. */
  #seal(): void {
    const epoch = this.#parts.reclaimer.seal()
    if (epoch !== undefined) this.#parts.publisher.send({ type: 'epoch', epoch })
  }

  /** What was asked for by events that were just taken in, all of a burst together. */
  #taken(impact: Impact, since: Milliseconds): void {
    this.#interest.tell()
    this.lookAround()
    this.#holds.release(this.#cache.releasedHostnames())
    this.#useHolds()
    this.#parts.problems.setObjects(this.#cache.problems())
    void this.#parts.keepLastGood(this.#cache.lastGoodChanges())
    this.#request(impact, since)
    this.#rebuild.resume()
  }

  /**
   * Pods: at once, whatever else is being taken in or compiled. The compile that follows counts what refers to them.
   */
  #endpointsChanged(backends: readonly string[], since: Milliseconds): void {
    this.#request({ endpoints: backends })
    this.#turns.add(backends, since)
  }
}
