/**
 * The room of endpoints. In: addresses by the last compile and by the newest events, answers of DNS, the settings. Out:
 * endpoint sets and settings for the workers, Backends that cannot be reached, and whose endpoints changed.
 */
import { isDeepStrictEqual } from 'node:util'
import type { SettingsObject } from '../../api/settings.ts'
import type { Validator } from '../../api/validate.ts'
import type { Topology } from '../../balance/topology.ts'
import { connectionKeyOf } from '../../compile/backend.ts'
import { inlineService } from '../../compile/backend-service.ts'
import type { Compiled } from '../../compile/compile.ts'
import type { EndpointHealth } from '../../compile/conditions.ts'
import { endpointsOf } from '../../compile/endpoints.ts'
import type { ResourceSet, Unreachable } from '../../compile/resource-set.ts'
import type { Milliseconds, Random, TimerClock } from '../../lib/clock.ts'
import { type EndpointTable, isEligible } from '../../shared-memory/endpoint-table.ts'
import type { ProcessBlock } from '../../shared-memory/process-block.ts'
import { SlotReclaimer } from '../../shared-memory/slot-reclaimer.ts'
import { namespaceOf } from '../../snapshot/backend-id.ts'
import { connectionKey } from '../../snapshot/connection-key.ts'
import { FrozenMap } from '../../snapshot/frozen-map.ts'
import type { BackendConfig, EndpointAddress } from '../../snapshot/snapshot.ts'
import type { EndpointRow, ListenerSettings, ToWorker } from '../../thread/messages.ts'
import type { ProcessShare } from '../../thread/worker-settings.ts'
import { DialGuard, type DialRules } from '../../transport/dial-guard.ts'
import type { InstallationState } from '../leader/leader.ts'
import { DialGuards } from './dial-guards.ts'
import { NameResolver } from './dns.ts'
import { EndpointDirectory } from './endpoint-directory.ts'
import { EndpointFeed } from './endpoint-feed.ts'
import { EndpointTurns } from './endpoint-turns.ts'
import { LeavingBackends } from './leaving-backends.ts'
import { ReservedNames } from './reserved-names.ts'
import { UnreachableBackends } from './unreachable-backends.ts'

export interface EndpointsEvents {
  /** To every worker. */
  send(message: ToWorker): void
  /** Backends that are in the tables without rows of their own have them now. */
  ownRows?(backends: readonly string[]): void
  /** The endpoints of a Backend changed, or which of them may be used. */
  changed(backend: string): void
  /** Backends that cannot be reached for a lasting reason: all there are now. */
  unreachable(all: FrozenMap<Unreachable>): void
  /** Endpoints were sent. @param since when their change was seen */
  sent(since: Milliseconds): void
  /** For the log: an endpoint that is left out; once until it is well again. */
  problem(backend: string, message: string): void
  /** A name cannot be resolved, reported once; or it can again (`failure` undefined). */
  nameHealth(namespace: string, name: string, failure: string | undefined, kept: readonly string[]): void
}

/** What a compile says of endpoints. */
export interface CompiledEndpoints {
  readonly endpoints: Compiled['endpoints']
  readonly snapshot: Pick<Compiled['snapshot'], 'backends'>
}

export interface EndpointsOptions {
  readonly table: EndpointTable
  readonly block: ProcessBlock
  readonly validator: Pick<Validator, 'check'>
  readonly share: ProcessShare
  readonly inCluster: boolean
  readonly time: TimerClock
  readonly random: Random
  /** As of now, by the newest events. */
  readonly resources: () => ResourceSet
  readonly events: EndpointsEvents
}

/** Endpoints in one step: each that is new is hashed and judged. */
const AT_ONCE = 512
/** What a set costs besides its endpoints: it is sent to every worker. */
const SET_COST = 32

export class Endpoints {
  readonly #table: EndpointTable
  readonly #resources: () => ResourceSet
  readonly #events: EndpointsEvents
  readonly #reclaimer: SlotReclaimer
  readonly #resolver: NameResolver
  readonly #reservedNames: ReservedNames
  readonly #directory: EndpointDirectory
  readonly #guards: DialGuards
  readonly #feed: EndpointFeed
  readonly #turns: EndpointTurns
  readonly #unreachable: UnreachableBackends
  /** Settings and sockets of the workers; undefined until they may be sent anything. */
  #settings: { readonly settings: SettingsObject; readonly sockets: readonly ListenerSettings[] } | undefined
  /** Of the guard in force. */
  #dial: DialRules | undefined
  /** As they were last brought in line with a compile. */
  #compiled = new FrozenMap<readonly EndpointAddress[]>()
  /** Of the same compile. */
  #backends = new FrozenMap<BackendConfig>()
  /** Backends that the newest compile does not name; tables that serve somewhere may. */
  readonly #unneeded = new Set<string>()
  /** Backends that no tables name, for whose endpoints requests may wait. */
  readonly #leaving: LeavingBackends
  /** Why the endpoints of any Backend may be unknown. */
  #unread: readonly string[] = []
  /** No tables of this control thread have served everywhere yet. */
  #adopting = true

  constructor({ table, block, validator, share, inCluster, time, random, resources, events }: EndpointsOptions) {
    this.#table = table
    this.#resources = resources
    this.#events = events
    this.#reclaimer = new SlotReclaimer(table, block, () => time.monotonic())
    this.#resolver = new NameResolver({
      time,
      random,
      events: {
        changed: (name) => this.#renamed(name),
        health: (name, failure, kept) => this.#nameHealth(name, failure, kept),
        excess: (name, message) => this.#nameExcess(name, message),
      },
    })
    this.#reservedNames = new ReservedNames({ changed: () => this.refreshGuards(), time, random })
    this.#directory = new EndpointDirectory(table, this.#reclaimer, this.#resolver, events)
    this.#guards = new DialGuards({ validator, inCluster, share, names: this.#reservedNames, time })
    this.#unreachable = new UnreachableBackends({
      factsOf: (backend) => this.#directory.facts(backend),
      changed: (all) => events.unreachable(all),
      time,
    })
    this.#leaving = new LeavingBackends({
      block,
      isBusy: (backend) => {
        const slot = this.#directory.slotOf(backend)
        return slot !== undefined && table.inFlight(slot) > 0
      },
      isShort: (namespace) => this.#directory.isShort(namespace),
      withdraw: (backend) => this.#withdraw(backend),
      withdrawn: () => this.seal(),
      time,
    })
    this.#feed = new EndpointFeed({
      sink: { set: (...set) => this.#set(...set) },
      endpoints: (backend) => endpointsOf(resources(), backend),
      connects: (backend) => connectionKeyOf(resources(), backend),
      moves: (backend) => this.#hasPods(backend),
      time,
    })
    this.#turns = new EndpointTurns({
      send: (backend) => this.#feed.changed([backend]),
      seal: () => this.seal(),
      done: (since) => events.sent(since),
      time,
    })
  }

  /** `namespace/name` of Services that have to be read for the dial guard. */
  get services(): readonly string[] {
    return this.#guards.services
  }

  /** Where this replica stands among the others. */
  get topology(): Topology {
    return this.#guards.topology
  }

  /** Endpoints of a Backend as workers have them; empty for one that is not known. */
  rows(backend: string): readonly EndpointRow[] {
    return this.#directory.rows(backend)
  }

  /** Why an address must not be dialled, by the guard that workers have; undefined when it may. */
  refusal(address: string, port: number): string | undefined {
    return this.#directory.refusal(address, port)
  }

  /** Row of the Backend itself, for its limits; undefined when the table is full. */
  slotOf(backend: string): number | undefined {
    return this.#directory.slotOf(backend)
  }

  /** How many endpoints of a Backend get requests, and which must not. */
  health(backend: string): EndpointHealth {
    const rows = this.#directory.rows(backend)
    const leftOut = this.#directory.leftOut(backend)
    const excess = this.#directory.excess(backend)
    return {
      total: rows.length,
      eligible: rows.filter((row) => isEligible(this.#table.state(row.slot))).length,
      refused: this.#directory.refused(backend),
      unknown: [...this.#directory.unresolved(backend), ...this.#unread],
      ...(leftOut !== undefined && { leftOut }),
      ...(excess.length > 0 && { excess }),
    }
  }

  /** Why the endpoints of any Backend may be unknown: kinds that the source cannot read. */
  useUnread(messages: readonly string[]): void {
    this.#unread = messages
  }

  /** Settings and sockets in force: workers get them, and the same guard applies here. */
  useSettings(settings: SettingsObject, sockets: readonly ListenerSettings[]): void {
    this.#settings = { settings, sockets }
    const message = this.#guards.workerSettings(settings, sockets, this.#resources())
    this.#events.send({ type: 'settings', settings: message })
    // A guard judges every endpoint anew: not where replicas have changed and no address.
    if (!isDeepStrictEqual(message.dial, this.#dial)) this.#directory.guardBy(new DialGuard(message.dial))
    this.#dial = message.dial
    this.#unreachable.look(this.#directory.ids())
  }

  /** See {@link DialGuards.useSessionSeed}. */
  useSessionSeed(seed: string): void {
    this.#guards.useSessionSeed(seed)
  }

  /** The objects of the installation itself, as the cluster has them. */
  useInstallation(state: InstallationState): void {
    this.#guards.useInstallation(state)
    this.refreshGuards()
  }

  /** What must not be dialled may be different by now: brings the guards in line with it. */
  refreshGuards(): void {
    if (this.#settings === undefined || !this.#guards.outdated(this.#settings.settings, this.#resources())) return
    this.useSettings(this.#settings.settings, this.#settings.sockets)
  }

  /** A compile begins: it knows of all events so far. */
  compiling(): void {
    this.#feed.compiling()
  }

  /** Endpoint sets of a compile, in steps, before the tables that need them. */
  *prepare(compiled: CompiledEndpoints): Generator<void> {
    const endpoints = frozen(compiled.endpoints)
    const backends = frozen(compiled.snapshot.backends)
    let count = 0
    for (const id of this.#changed(endpoints, backends)) {
      const addresses = endpoints.get(id)
      const connects = keyOf(backends.get(id))
      if (addresses === undefined || connects === undefined) this.#unneeded.add(id)
      else {
        this.#unneeded.delete(id)
        this.#leaving.delete(id)
        this.#feed.compiled(id, addresses, connects)
      }
      count += SET_COST + (addresses?.length ?? 0)
      if (count < AT_ONCE) continue
      count = 0
      yield
    }
    this.#compiled = endpoints
    this.#backends = backends
  }

  *#changed(endpoints: FrozenMap<readonly EndpointAddress[]>, backends: FrozenMap<BackendConfig>): Generator<string> {
    for (const { key } of this.#compiled.changesTo(endpoints)) yield key
    for (const { key, before, after } of this.#backends.changesTo(backends))
      if (before !== undefined && after !== undefined && keyOf(before) !== keyOf(after)) yield key
    yield* this.#feed.takeDeferred()
  }

  /** The newest tables serve everywhere: what only older ones needed is withdrawn. */
  settled({ endpoints, snapshot }: CompiledEndpoints): void {
    this.#directory.settle((id) => keyOf(snapshot.backends.get(id)))
    if (this.#adopting) {
      // What this thread found in use and does not need may have been in use until now.
      this.#adopting = false
      this.#reclaimer.adopt(this.#directory.inUse())
    }
    for (const id of this.#unneeded) {
      if (endpoints.has(id)) continue
      this.#unneeded.delete(id)
      this.#leaving.add(id)
    }
    this.#leaving.look()
    this.seal()
  }

  #withdraw(backend: string): void {
    this.#feed.forget(backend)
    this.#directory.withdraw(backend)
    this.#unreachable.forget(backend)
  }

  /**
   * Pods of these Backends changed: sent at once, whatever else is under way.
   *
   * @param since when that was seen
   * @param awaited whether a change of the Backend or of its Service is known and not applied yet; it may say that the
   * pods speak something else, so they come with the compile that follows
   */
  podsChanged(backends: readonly string[], since: Milliseconds, awaited: (backend: string) => boolean): void {
    const deferred = backends.filter(awaited)
    if (deferred.length > 0) this.#feed.defer(deferred)
    this.#turns.add(deferred.length === 0 ? backends : backends.filter((id) => !deferred.includes(id)), since)
  }

  /** Behind every endpoint set that was sent: workers that handle it know of no slot that was withdrawn before. */
  seal(): void {
    const epoch = this.#reclaimer.seal()
    if (epoch !== undefined) this.#events.send({ type: 'epoch', epoch })
  }

  /** Regularly: unused slots are freed, and the addresses of this machine are read. */
  runMaintenance(): void {
    if (this.#guards.readMachine()) this.refreshGuards()
    this.seal()
    for (const backend of this.#directory.tend()) this.#events.changed(backend)
  }

  stop(): void {
    this.#turns.stop()
    this.#leaving.stop()
    this.#unreachable.stop()
    this.#feed.stop()
    this.#resolver.stop()
    this.#reservedNames.stop()
  }

  #set(backend: string, addresses: readonly EndpointAddress[], connects: string): void {
    this.#directory.set(backend, addresses, connects)
    this.#unreachable.look([backend])
    this.#events.changed(backend)
  }

  #renamed(name: string): void {
    this.#directory.renamed(name)
    this.#reachChanged(this.#directory.usersOf(name))
    this.runMaintenance()
  }

  #nameHealth(name: string, failure: string | undefined, kept: readonly string[]): void {
    const users = this.#directory.usersOf(name)
    this.#events.nameHealth(namespaceOf(users[0] ?? ''), name, failure, kept)
    this.#reachChanged(users)
  }

  #nameExcess(name: string, message: string | undefined): void {
    const users = this.#directory.usersOf(name)
    for (const backend of users.slice(0, 1))
      if (message !== undefined) this.#events.problem(backend, `Backend ${backend}: ${message}`)
    this.#reachChanged(users)
  }

  #reachChanged(backends: readonly string[]): void {
    for (const backend of backends) this.#events.changed(backend)
    this.#unreachable.look(backends)
  }

  #hasPods(backend: string): boolean {
    if (inlineService(backend) !== undefined) return true
    return this.#resources().backends.get(backend)?.object.spec.service !== undefined
  }
}

function keyOf(backend: BackendConfig | undefined): string | undefined {
  return backend && connectionKey(backend)
}

function frozen<T>(map: ReadonlyMap<string, T>): FrozenMap<T> {
  return map instanceof FrozenMap ? (map as FrozenMap<T>) : FrozenMap.from(map)
}
