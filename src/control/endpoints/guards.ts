/**
 * What workers are told of the settings, with the dial guard as of what is around this process now; the directory of
 * endpoints asks the same guard.
 */
import type { SettingsObject } from '../../api/settings.ts'
import type { Validator } from '../../api/validate.ts'
import type { ResourceSet } from '../../compile/resource-set.ts'
import type { Milliseconds } from '../../lib/clock.ts'
import type { ListenerSettings, ToWorker } from '../../thread/messages.ts'
import { type ProcessShare, workerSettings } from '../../thread/worker-settings.ts'
import { DialGuard, type ReservedDestinations } from '../../transport/dial-guard.ts'
import type { SeenOfInstallation } from '../leader/cluster-duties.ts'
import { type FrontResolver, ReservedDestinationTracker } from './reserved-destinations.ts'

export interface GuardsParts {
  readonly validator: Validator
  /** Loopback is then no place for a backend. */
  readonly inCluster: boolean
  /** Names in front of us. */
  readonly fronts: FrontResolver
  readonly share: ProcessShare
  readonly publisher: { send(message: ToWorker): void }
  readonly directory: { guardBy(guard: DialGuard): void }
  readonly now: () => Milliseconds
}

/** Between two looks at the addresses of this machine, which come and go without a word. */
const LOOK_EVERY: Milliseconds = 5_000

export class Guards {
  readonly #parts: GuardsParts
  readonly #neighbourhood: ReservedDestinationTracker
  #told: ReservedDestinations | undefined
  #seed = ''
  #lookAt: Milliseconds = 0

  constructor(parts: GuardsParts) {
    this.#parts = parts
    this.#neighbourhood = new ReservedDestinationTracker(parts.inCluster, process.env, parts.fronts)
  }

  /** `namespace/name` of Services that have to be read for this. */
  get services(): readonly string[] {
    return this.#neighbourhood.services
  }

  /** @param sockets what listeners are bound to */
  tell(settings: SettingsObject, sockets: readonly ListenerSettings[], resources: ResourceSet): void {
    const { share, publisher, directory } = this.#parts
    this.#told = this.#neighbourhood.of(resources)
    this.#seed = this.#seedOf(resources)
    const forWorkers = workerSettings(settings, { ...share, seed: this.#seed }, sockets, this.#told)
    publisher.send({ type: 'settings', settings: forWorkers })
    directory.guardBy(new DialGuard(forWorkers.dial))
  }

  /** Something is there, or gone, since workers were told. */
  outdated(resources: ResourceSet): boolean {
    return this.#neighbourhood.of(resources) !== this.#told || this.#seedOf(resources) !== this.#seed
  }

  /** Replicas recognise each other's passes; a process that is alone recognises its own. */
  #seedOf(resources: ResourceSet): string {
    return this.#neighbourhood.identity(resources) ?? this.#parts.share.seed
  }

  /** What a cluster tells of the installation itself. */
  useOwn({ service, nodeAddresses, podAddresses }: SeenOfInstallation): void {
    const checked = service === undefined ? undefined : this.#parts.validator.check('Service', service)
    this.#neighbourhood.useOwn({ service: checked?.ok ? checked.object : undefined, nodeAddresses, podAddresses })
  }

  /** Now and then. @returns whether {@link outdated} may have changed */
  look(): boolean {
    const now = this.#parts.now()
    if (now < this.#lookAt) return false
    this.#lookAt = now + LOOK_EVERY
    this.#neighbourhood.look()
    return true
  }
}
