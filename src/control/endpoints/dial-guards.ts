/**
 * Builds the settings of workers, including the dial guard for the current reserved destinations. The endpoint
 * directory uses the same guard.
 */
import type { SettingsObject } from '../../api/settings.ts'
import type { Validator } from '../../api/validate.ts'
import { ALONE, type Topology } from '../../balance/topology.ts'
import type { ResourceSet } from '../../compile/resource-set.ts'
import type { Milliseconds, TimerClock } from '../../lib/clock.ts'
import type { ListenerSettings, WorkerSettings } from '../../thread/messages.ts'
import { type ProcessShare, workerSettings } from '../../thread/worker-settings.ts'
import type { ReservedDestinations } from '../../transport/dial-guard.ts'
import type { InstallationState } from '../leader/leader.ts'
import { Replicas } from './replicas.ts'
import { type ReservedDestinationNames, ReservedDestinationTracker } from './reserved-destinations.ts'

export interface DialGuardsOptions {
  readonly validator: Pick<Validator, 'check'>
  /** In a cluster, loopback addresses are refused as backends. */
  readonly inCluster: boolean
  readonly names: ReservedDestinationNames
  readonly share: ProcessShare
  readonly time: Pick<TimerClock, 'monotonic'>
}

/** Interval at which the machine's addresses are read; changes are not notified. */
const READ_EVERY: Milliseconds = 5_000

export class DialGuards {
  readonly #options: DialGuardsOptions
  readonly #tracker: ReservedDestinationTracker
  readonly #replicas: Replicas
  #current: ReservedDestinations | undefined
  #topology = ALONE
  #seed = ''
  /** That of the state directory. */
  #keptSeed: string | undefined
  #readAt: Milliseconds = 0

  constructor(options: DialGuardsOptions) {
    this.#options = options
    this.#replicas = new Replicas(options.inCluster, process.env)
    this.#tracker = new ReservedDestinationTracker(options.inCluster, process.env, options.names)
  }

  /** `namespace/name` of Services required for this. */
  get services(): readonly string[] {
    return this.#tracker.services
  }

  /** Of this replica, as workers have it. */
  get topology(): Topology {
    return this.#topology
  }

  /** Of session tokens outside of a cluster, instead of the one of the process; before the first settings. */
  useSessionSeed(seed: string): void {
    this.#keptSeed = seed
  }

  /** @param sockets the bound sockets of the listeners */
  workerSettings(
    settings: SettingsObject,
    sockets: readonly ListenerSettings[],
    resources: ResourceSet,
  ): WorkerSettings {
    this.#current = this.#tracker.of(resources)
    this.#seed = this.#seedOf(resources)
    this.#topology = this.#replicas.topology(resources, settings.topology)
    const sessionSeed = this.#tracker.identity(resources) ?? this.#keptSeed ?? this.#seed
    const share = { ...this.#options.share, seed: this.#seed, sessionSeed }
    return workerSettings(settings, share, sockets, this.#current, this.#topology)
  }

  /** Whether the settings of workers have changed. */
  outdated(settings: SettingsObject, resources: ResourceSet): boolean {
    return (
      this.#tracker.of(resources) !== this.#current ||
      this.#seedOf(resources) !== this.#seed ||
      this.#replicas.topology(resources, settings.topology) !== this.#topology
    )
  }

  /** The seed of loop marks: equal for replicas of an installation, otherwise for the process alone. */
  #seedOf(resources: ResourceSet): string {
    return this.#tracker.identity(resources) ?? this.#options.share.seed
  }

  useInstallation({ service, nodeAddresses, podAddresses }: InstallationState): void {
    const checked = service === undefined ? undefined : this.#options.validator.check('Service', service)
    this.#tracker.useOwn({ service: checked?.ok ? checked.object : undefined, nodeAddresses, podAddresses })
  }

  /** Reads the addresses of this machine when that is due. @returns whether {@link outdated} may have changed */
  readMachine(): boolean {
    const now = this.#options.time.monotonic()
    if (now < this.#readAt) return false
    this.#readAt = now + READ_EVERY
    this.#tracker.look()
    return true
  }
}
