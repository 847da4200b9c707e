/** Resources and settings → snapshot → tables, endpoints and statuses, again each time something changes. */

import type { MemorySizes } from '../admin/metrics-source.ts'
import type { SettingsObject } from '../api/settings.ts'
import type { Validator } from '../api/validate.ts'
import { type Compiled, compile } from '../compile/compile.ts'
import { endpointsOf, inlineService } from '../compile/endpoints.ts'
import { CompileMemo } from '../compile/memo.ts'
import type { ResourceSet } from '../compile/resource-set.ts'
import { grantsByLabels } from '../compile/tenancy.ts'
import type { Milliseconds } from '../lib/clock.ts'
import { DialGuard, type Surroundings } from '../link/dial-guard.ts'
import { workerSettings } from '../link/worker-settings.ts'
import type { Logger } from '../log/process-log.ts'
import type { SlotReclaimer } from '../shared-memory/epoch.ts'
import type { ProcessBlock } from '../shared-memory/process-block.ts'
import type { RowDirectory } from '../shared-memory/row-directory.ts'
import { FrozenMap } from '../snapshot/frozen-map.ts'
import { Packer, type PackResult } from '../snapshot/pack.ts'
import type { EndpointAddress, Snapshot } from '../snapshot/snapshot.ts'
import type { Source, SourceEvent, SourceHandler } from '../source/source.ts'
import type { ClusterDuties } from './cluster/cluster-duties.ts'
import { EndpointFeed } from './cluster/endpoint-feed.ts'
import { systemTime } from './cluster/timekeeper.ts'
import type { EndpointDirectory } from './endpoint-directory.ts'
import { HostnameHolds } from './hostname-holds.ts'
import type { Impact } from './impact.ts'
import { Intake } from './intake.ts'
import { MemoryAdmission } from './memory-admission.ts'
import { NamedServices } from './needs.ts'
import type { ProblemList } from './problem-list.ts'
import type { Publisher } from './publisher.ts'
import { Rebuild } from './rebuild.ts'
import { type LastGood, type LastGoodChange, ResourceCache } from './resource-cache.ts'
import type { StatusBoard } from './status-board.ts'
import { Neighbourhood } from './surroundings.ts'
import { UnreadServices } from './unread-services.ts'

export interface ConfigurationParts {
  readonly validator: Validator
  readonly block: ProcessBlock
  readonly directory: EndpointDirectory
  readonly reclaimer: SlotReclaimer
  readonly publisher: Publisher
  readonly board: StatusBoard
  readonly problems: ProblemList
  readonly rows: RowDirectory
  readonly source: Source
  /** Loopback is then no place for a backend. */
  readonly inCluster: boolean
  readonly log: Logger
  readonly now: () => Milliseconds
  readonly wall: () => Milliseconds
  /** Client connections of one worker, by the process limit. */
  readonly connections: number
  /** What manifests may take, see `MemoryBudget`. */
  readonly configurationBytes: number
  readonly keepLastGood: (changes: readonly LastGoodChange[]) => void
  /** Towards the cluster that this runs in; none = it writes nothing there. */
  readonly duties: () => ClusterDuties | undefined
}

interface Built {
  readonly compiled: Compiled
  /** Those that it knew of. */
  readonly holds: ResourceSet['holds']
  /** Undefined when the snapshot is the one that is published. */
  readonly packed: PackResult | undefined
}

/** Endpoint sets brought in line in one step; each is hashed and sent to every worker. */
const SETS_AT_ONCE = 8
/** Of a turn in which endpoints are sent. */
const FEED_SLICE: Milliseconds = 3

export class Configuration implements Pick<SourceHandler, 'changed' | 'synced'> {
  readonly #parts: ConfigurationParts
  readonly #admission: MemoryAdmission
  readonly #cache: ResourceCache
  readonly #memo = new CompileMemo()
  readonly #packer: Packer
  readonly #rebuild: Rebuild<Built>
  readonly #intake: Intake
  readonly #named = new NamedServices()
  readonly #endpointFeed: EndpointFeed
  readonly #unread: UnreadServices
  /** Backends whose endpoints are to be sent, and since when the first of them is waiting. */
  readonly #moved = new Set<string>()
  #movedSince = Number.POSITIVE_INFINITY
  #feeding: NodeJS.Immediate | undefined
  readonly #neighbourhood: Neighbourhood
  readonly #holds: HostnameHolds
  #surroundings: Surroundings | undefined
  #needed: { readonly services: ReadonlySet<string>; readonly namespaces: boolean } = {
    services: new Set(),
    namespaces: false,
  }
  #settings: SettingsObject
  #synced = false
  /** Set when workers may be told. */
  #everyAddress: string | undefined
  /** Endpoint sets as they were last brought in line with a compile. */
  #endpoints = new FrozenMap<readonly EndpointAddress[]>()
  /** Backends that the newest tables do not name; older ones that still serve somewhere may. */
  readonly #unneeded = new Set<string>()
  #compiled: Compiled | undefined
  #published: Snapshot | undefined

  constructor(parts: ConfigurationParts, settings: SettingsObject, lastGood: readonly LastGood[]) {
    this.#parts = parts
    this.#settings = settings
    this.#admission = new MemoryAdmission(parts.configurationBytes)
    this.#cache = new ResourceCache(parts.validator, settings, lastGood, this.#admission)
    this.#packer = new Packer(Math.random)
    this.#holds = new HostnameHolds(parts.wall, settings)
    this.#holds.restore(lastGood)
    this.#neighbourhood = new Neighbourhood(parts.inCluster, process.env)
    this.#intake = new Intake(this.#cache, {
      endpoints: (backends, since) => this.#endpointsChanged(backends, since),
      taken: (impact, since) => this.#taken(impact, since),
      warning: (kind, key, { path, message }) => {
        const place = parts.source.locate(kind, key, path)
        const where = place === undefined ? '' : `${place.file}:${place.line}:${place.column}: `
        parts.log.warn(`${where}${kind} ${key}: ${message}`)
      },
      now: parts.now,
    })
    this.#endpointFeed = new EndpointFeed({
      sink: {
        set: (backend, addresses) => {
          parts.directory.set(backend, addresses)
          parts.duties()?.endpointsChanged(backend)
        },
      },
      endpoints: (backend) => endpointsOf(this.#cache.resources(), backend),
      moves: (backend) => this.#hasPods(backend),
      time: systemTime,
    })
    this.#unread = new UnreadServices({
      knows: (service) => this.#hasRead(service),
      done: () => this.#rebuild.resume(),
      now: parts.now,
    })
    this.#rebuild = new Rebuild<Built>({
      steps: () => this.#build(),
      done: (built, since) => this.#publish(built, since),
      failed: (error) => parts.log.error({ error }, 'a rebuild failed; what is served stays as it is'),
      now: parts.now,
      mayBegin: () => !this.#intake.busy && !this.#unread.busy,
    })
    this.#tellNeeds()
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
  open(settings: SettingsObject, everyAddress: string): void {
    this.#everyAddress = everyAddress
    this.#tellSettings(settings, everyAddress)
    if (this.#synced) this.#rebuild.request(true)
  }

  useSettings(settings: SettingsObject): void {
    const impact = this.#cache.useSettings(settings)
    this.#settings = settings
    this.#tellNeeds()
    this.#holds.useSettings(settings)
    this.#useHolds()
    if (this.#everyAddress === undefined || impact === 'ignore') return
    this.#tellSettings(settings, this.#everyAddress)
    this.#request(impact)
    this.#parts.duties()?.settingsChanged()
  }

  changed(events: SourceEvent[]): void {
    this.#parts.duties()?.accept(events)
    if (this.#named.note(events)) this.#tellNeeds()
    this.#intake.add(events)
  }

  synced(): void {
    this.#intake.whenEmpty(() => {
      this.#synced = true
      this.#cache.synced()
      this.#parts.block.setSynced(true)
      this.#parts.keepLastGood(this.#cache.lastGoodChanges())
      if (this.#everyAddress !== undefined) this.#rebuild.request(true)
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
    }
    this.#unneeded.clear()
    this.#seal()
  }

  /** Names lead elsewhere, or a look at what can be given back is due. */
  tend(): void {
    this.#seal()
    this.#parts.reclaimer.sweep()
    this.#holds.expire()
    this.#useHolds()
    if (this.#intake.busy) return
    const impact = this.#cache.acceptWaiting()
    if (impact !== undefined) this.#taken(impact, this.#parts.now())
  }

  stop(): void {
    this.#intake.stop()
    this.#unread.stop()
    clearImmediate(this.#feeding)
    this.#rebuild.stop()
    this.#endpointFeed.stop()
  }

  #request(impact: Impact, since?: Milliseconds): void {
    if (impact === 'ignore' || this.#everyAddress === undefined || !this.#synced) return
    this.#rebuild.request(false, since)
  }

  #tellSettings(settings: SettingsObject, everyAddress: string): void {
    const { publisher, directory, connections } = this.#parts
    this.#surroundings = this.#neighbourhood.of(this.#cache.resources())
    const forWorkers = workerSettings(settings, connections, everyAddress, this.#surroundings)
    publisher.send({ type: 'settings', settings: forWorkers })
    directory.guardBy(new DialGuard(forWorkers.dial))
  }

  *#build(): Generator<void, Built> {
    this.#endpointFeed.compiling()
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
    const { publisher, board, directory, rows, reclaimer, wall } = this.#parts
    const first = this.#compiled === undefined
    this.#compiled = compiled
    this.#holds.settle(compiled.owners, holds)
    this.#useHolds()
    if (first) {
      reclaimer.adopt(directory.inUse())
      publisher.send({ type: 'backends', ids: [...compiled.endpoints.keys()] })
    }
    if (packed !== undefined) {
      const { backends } = compiled.snapshot
      if (backends !== this.#published?.backends) rows.sync(backends.keys(), wall())
      this.#published = compiled.snapshot
      publisher.publish(packed, since, (backend) => directory.slotOf(backend))
    }
    this.#seal()
    board.commit(publisher.generation)
    this.#parts.duties()?.commit(publisher.generation)
  }

  #useHolds(): void {
    const changes = this.#holds.changes()
    if (changes.length === 0) return
    this.#parts.keepLastGood(changes)
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

  /**
   * What a source that reads no more than it must is to read: what the newest objects name, and what those name that are served, since the last
   * good version of a broken one may name another.
   */
  #tellNeeds(): void {
    const { source } = this.#parts
    if (source.interest === undefined) return
    const services = new Set([...this.#named.services, ...this.#cache.servicesInUse, ...this.#neighbourhood.services])
    const namespaces = this.#named.namespaces || grantsByLabels(this.#settings)
    const { services: told, namespaces: had } = this.#needed
    if (services.symmetricDifference(told).size === 0 && namespaces === had) return
    this.#needed = { services, namespaces }
    // At the start it is synced only when it has read them.
    if (this.#synced && source.knows !== undefined) this.#unread.add(services.difference(told))
    source.interest({ services, secrets: [], configMaps: [], namespaces })
  }

  #hasRead(service: string): boolean {
    const name = service.slice(service.indexOf('/') + 1)
    const { source } = this.#parts
    return (
      source.knows?.('Service', service, name) !== false && source.knows?.('EndpointSlice', service, name) !== false
    )
  }

  /** What was asked for by events that were just taken in, all of a burst together. */
  #taken(impact: Impact, since: Milliseconds): void {
    this.#tellNeeds()
    const everyAddress = this.#everyAddress
    if (everyAddress !== undefined && this.#neighbourhood.of(this.#cache.resources()) !== this.#surroundings)
      this.#tellSettings(this.#settings, everyAddress)
    this.#holds.release(this.#cache.releasedHostnames())
    this.#useHolds()
    this.#parts.problems.setObjects(this.#cache.problems())
    this.#parts.keepLastGood(this.#cache.lastGoodChanges())
    this.#request(impact, since)
    this.#rebuild.resume()
  }

  /** Pods: at once, whatever else is being taken in or compiled. The compile that follows counts what refers to them. */
  #endpointsChanged(backends: readonly string[], since: Milliseconds): void {
    for (const backend of backends) this.#moved.add(backend)
    this.#movedSince = Math.min(this.#movedSince, since)
    this.#request({ endpoints: backends })
    if (this.#feeding === undefined) this.#feed()
  }

  /** One Service may have sixty ports and ten thousand pods, which are as many sets. */
  #feed(): void {
    const end = this.#parts.now() + FEED_SLICE
    for (const backend of this.#moved) {
      this.#moved.delete(backend)
      this.#endpointFeed.changed([backend])
      if (this.#parts.now() >= end) break
    }
    this.#seal()
    if (this.#moved.size > 0) {
      this.#feeding = setImmediate(() => this.#feed())
      return
    }
    this.#feeding = undefined
    this.#parts.publisher.timeEndpoints(this.#movedSince)
    this.#movedSince = Number.POSITIVE_INFINITY
  }
}
