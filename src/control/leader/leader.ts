/**
 * The room of the installation and its leader. In: the environment of the pod and the API server. Out: whether this
 * replica leads, and the state of the installation itself.
 */
import type { Random, TimerClock } from '../../lib/clock.ts'
import type { ListWatcher } from '../../source/kubernetes/client.ts'
import { givenAddresses, type HostAddress } from './address.ts'
import { type Installation, installationOf } from './installation.ts'
import { InstallationPods } from './installation-pods.ts'
import { InstallationService } from './installation-service.ts'
import { LeaderElector, type LeaseClient, type LeaseTimes } from './lease.ts'

export type { HostAddress as Address, Installation }
export { installationOf }

/** The objects of the installation itself, as the cluster has them. */
export interface InstallationState {
  /** Its Service as the API server sent it; undefined while there is none. */
  readonly service: unknown
  readonly nodeAddresses: readonly string[]
  readonly podAddresses: readonly string[]
}

export interface LeaderEvents {
  /** This replica writes into the cluster from now on. */
  leading(): void
  lost(): void
  /** Where the installation is reached from outside. */
  addresses(addresses: readonly HostAddress[]): void
  seen(state: InstallationState): void
  /** For the log, once for each cause. */
  problem(message: string): void
}

export interface LeaderOptions {
  readonly client: LeaseClient & ListWatcher
  readonly installation: Installation
  readonly time: TimerClock
  readonly random: Random
  readonly events: LeaderEvents
  readonly leaseTimes?: Partial<LeaseTimes>
}

export class Leader {
  readonly #events: LeaderEvents
  readonly #elector: LeaderElector
  readonly #service: InstallationService | undefined
  readonly #pods: InstallationPods | undefined
  /** Given by hand, and so before those of the Service; undefined = those of the Service. */
  readonly #given: readonly HostAddress[] | undefined
  #state: InstallationState = { service: undefined, nodeAddresses: [], podAddresses: [] }

  constructor({ client, installation, time, random, events, leaseTimes = {} }: LeaderOptions) {
    const { namespace, name, identity, service, pods } = installation
    const problem = (message: string): void => events.problem(message)
    this.#events = events
    this.#elector = new LeaderElector({ client, namespace, name, identity, time, random, times: leaseTimes, events })
    const given = givenAddresses(installation.addresses)
    this.#given = service === undefined || given.length > 0 ? given : undefined
    // Watched for more than its addresses: what is stored ends with it.
    if (service !== undefined)
      this.#service = new InstallationService({
        client,
        namespace,
        name: service,
        random,
        time,
        changed: (addresses) => this.#given === undefined && events.addresses(addresses),
        seen: (object) => this.#update({ service: object }),
        problem,
      })
    if (pods !== undefined)
      this.#pods = new InstallationPods({
        client,
        namespace,
        selector: pods,
        random,
        time,
        changed: (addresses) => this.#update({ nodeAddresses: addresses.nodes, podAddresses: addresses.pods }),
        problem,
      })
  }

  /** Right at every moment, also while events wait for their turn. */
  get leading(): boolean {
    return this.#elector.leading
  }

  /** The Service, as owner of objects that are to end with it; undefined while it is not known. */
  get owner(): object | undefined {
    return this.#service?.owner
  }

  start(): void {
    if (this.#given !== undefined) this.#events.addresses(this.#given)
    this.#service?.start()
    this.#pods?.start()
    this.#elector.start()
  }

  /** Frees the Lease, so that another replica goes on at once. Takes at most some seconds. */
  async stop(): Promise<void> {
    await Promise.all([this.#elector.stop(), this.#service?.stop(), this.#pods?.stop()])
  }

  #update(change: Partial<InstallationState>): void {
    this.#state = { ...this.#state, ...change }
    this.#events.seen(this.#state)
  }
}
