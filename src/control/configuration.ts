/**
 * From the source to the workers: settings, resources, endpoints, tables and statuses, each in a room of its own. Here
 * is the order in which one follows from another; the work is done in the rooms.
 */
import { isDeepStrictEqual } from 'node:util'
import type { MemorySizes } from '../admin/metrics-source.ts'
import type { SettingsObject } from '../api/settings.ts'
import type { OidcClient } from '../auth/oidc-client.ts'
import type { ResourceSet } from '../compile/resource-set.ts'
import { settingsSecretFaults } from '../compile/settings-secrets.ts'
import type { Milliseconds } from '../lib/clock.ts'
import type { Logger } from '../log/process-log.ts'
import type { ListenerRows } from '../shared-memory/listener-rows.ts'
import type { ProcessBlock } from '../shared-memory/process-block.ts'
import type { SourceEvent, SourceHandler } from '../source/source.ts'
import type { ListenerFailure, ListenerSettings } from '../thread/messages.ts'
import type { LastGood } from '../thread/retained-state.ts'
import type { Caches } from './cache/caches.ts'
import type { Endpoints, EndpointsEvents } from './endpoints/endpoints.ts'
import type { Health } from './health/health.ts'
import type { BuildStages, Pipeline } from './publish/pipeline.ts'
import { type KeySetVersion, Resources, type ResourcesEvents, type ResourcesOptions } from './resources/resources.ts'
import type { Statuses } from './status/statuses.ts'

export interface ConfigurationRooms {
  readonly endpoints: Endpoints
  readonly pipeline: Pipeline
  readonly health: Pick<Health, 'accept'>
  readonly statuses: Statuses
  readonly block: ProcessBlock
  readonly listenerRows: ListenerRows
  readonly log: Logger
  /** Towards the cluster that this runs in; none = nothing is written there. */
  readonly observe: (events: readonly SourceEvent[]) => void
  readonly keep: ResourcesEvents['keep']
  readonly retain: ResourcesEvents['retain']
  readonly cleared: ResourcesEvents['cleared']
  readonly keySet: ResourcesEvents['keySet']
  readonly caches: Pick<Caches, 'accept'>
  readonly providerFault: NonNullable<ResourcesEvents['providerFault']>
}

export type ConfigurationInput = Omit<ResourcesOptions, 'servicesInUse' | 'events'>

export class Configuration implements Pick<SourceHandler, 'changed' | 'synced'> {
  readonly #rooms: ConfigurationRooms
  readonly #resources: Resources
  #settings: SettingsObject
  #synced = false
  /** What workers listen on; set once they may be sent anything. */
  #sockets: readonly ListenerSettings[] | undefined

  constructor(rooms: ConfigurationRooms, input: ConfigurationInput) {
    this.#rooms = rooms
    this.#settings = input.settings
    const servicesInUse = (): Iterable<string> => rooms.endpoints.services
    this.#resources = new Resources({ ...input, servicesInUse, events: this.#resourcesEvents() })
    rooms.pipeline.start(this.#buildStages())
  }

  /** Bytes; see `MetricsSource`. */
  get memory(): MemorySizes {
    return { tables: this.#rooms.pipeline.bytes, ...this.#resources.memory }
  }

  /** As of now. */
  get resources(): ResourceSet {
    return this.#resources.current
  }

  /** The client of a provider that a Secret describes. @param key `namespace/name` */
  oidcClient(key: string): OidcClient | undefined {
    return this.#resources.oidcClient(key)
  }

  restore(reading: Promise<readonly LastGood[]>): void {
    this.#resources.restore(reading)
  }

  changed(events: SourceEvent[]): void {
    this.#rooms.observe(events)
    this.#resources.changed(events)
  }

  synced(): void {
    this.#resources.synced()
  }

  /** From now on, not before, workers are sent everything that is in force. */
  open(settings: SettingsObject, sockets: readonly ListenerSettings[]): void {
    this.#settings = settings
    this.#sockets = sockets
    this.#sendSettings()
    this.#request(true)
  }

  /** Listeners are bound to others than before, or cannot be. */
  useSockets(sockets: readonly ListenerSettings[]): void {
    if (isDeepStrictEqual(sockets, this.#sockets)) return
    this.#sockets = sockets
    this.#sendSettings()
  }

  useSettings(settings: SettingsObject): void {
    this.#settings = settings
    const differs = this.#resources.useSettings(settings)
    if (this.#sockets === undefined || !differs) return
    this.#sendSettings()
    this.#rooms.statuses.recheckAll()
  }

  /** Listeners that are not open as configured; the complete list. */
  useFailures(failures: readonly ListenerFailure[]): void {
    // Of several workers that cannot open one, the cause of the first is shown.
    this.#resources.useUnopened(new Map(failures.toReversed().map(({ name, message }) => [name, message])))
  }

  useUnreachable(all: Parameters<EndpointsEvents['unreachable']>[0]): void {
    this.#resources.useUnreachable(all)
  }

  useRegistered(backends: readonly string[], registered: ResourceSet['registered']): void {
    this.#resources.useRegistered(backends, registered)
  }

  useKeySet(url: string, version: KeySetVersion): void {
    this.#resources.useKeySet(url, version)
  }

  /** Whether a namespace may have something fetched from a host. */
  targetGranted(namespace: string, host: string, port: number): boolean {
    return this.#settings.tenancy !== 'Strict' || this.#resources.targetGranted(namespace, host, port)
  }

  /** A generation serves everywhere. */
  served(generation: number): void {
    this.#resources.served(generation)
  }

  /** Regularly: what ends by itself, and what can be given back. */
  tend(): void {
    this.#rooms.endpoints.runMaintenance()
    this.#resources.served(this.#rooms.block.appliedEverywhere())
    this.#resources.runMaintenance()
  }

  stop(): void {
    this.#resources.stop()
  }

  /** Whether a build may begin, and what it goes through. */
  #buildStages(): BuildStages {
    const { endpoints, statuses, log } = this.#rooms
    const resources = this.#resources
    return {
      mayBegin: () => !resources.busy,
      begin: () => {
        endpoints.compiling()
        return resources.compiling()
      },
      working: (object) => resources.working(object),
      watch: (steps) => resources.watch(steps),
      prepareEndpoints: (compiled) => endpoints.prepare(compiled),
      prepareStatuses: (next) => statuses.prepare(next),
      compiled: ({ compiled, resources: input, handovers }) => {
        resources.compiled(compiled, input)
        statuses.problems.setSecrets(settingsSecretFaults(input))
        statuses.handedOver(handovers)
      },
      published: (generation, first) => {
        endpoints.seal()
        resources.published(generation, first)
        statuses.commit(generation)
      },
      failed: (error) => log.error({ error }, 'a rebuild failed; what is served stays as it is'),
    }
  }

  #resourcesEvents(): ResourcesEvents {
    const { endpoints, pipeline, health, statuses, block, keep, retain, cleared, keySet, providerFault } = this.#rooms
    const { caches } = this.#rooms
    return {
      send: (message) => {
        pipeline.send(message)
        health.accept(message)
        caches.accept(message)
      },
      changed: () => this.#request(false),
      applied: (build, since) => {
        endpoints.refreshGuards()
        if (build) this.#request(false, since)
        pipeline.resume()
      },
      podsChanged: (backends, since) => {
        // The compile that follows counts what refers to them.
        this.#request(false)
        endpoints.podsChanged(backends, since, (backend) => this.#resources.awaits(backend))
      },
      resume: () => pipeline.resume(),
      synced: () => {
        this.#synced = true
        block.setSynced(true)
        this.#request(true)
      },
      problems: (list) => statuses.problems.setObjects(list),
      warning: (namespace, message) => statuses.warnOf(namespace, message),
      keep,
      retain,
      cleared,
      keySet,
      providerFault,
    }
  }

  #request(urgent: boolean, since?: Milliseconds): void {
    if (this.#sockets !== undefined && this.#synced) this.#rooms.pipeline.request(urgent, since)
  }

  #sendSettings(): void {
    if (this.#sockets === undefined) return
    this.#rooms.listenerRows.sync(this.#sockets.map(({ name }) => name))
    this.#rooms.endpoints.useSettings(this.#settings, this.#sockets)
  }
}
