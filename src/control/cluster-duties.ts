/**
 * What an installation writes into the cluster it runs in: a Lease, statuses and Events, last good versions. Traffic
 * does not depend on any of it.
 */
import type { EndpointHealth } from '../compile/conditions.ts'
import type { ResourceSet } from '../compile/resource-set.ts'
import type { Milliseconds, Random, TimerClock } from '../lib/clock.ts'
import type { KubernetesClient } from '../source/kubernetes/client.ts'
import type { SourceEvent } from '../source/source.ts'
import type { LastGoodConfigMaps, LastGoodVersions } from './last-good/last-good.ts'
import { type Installation, type InstallationState, Leader, type LeaderOptions } from './leader/leader.ts'
import type { ClusterStatuses, Statuses } from './status/statuses.ts'

export interface ClusterDutiesOptions {
  readonly client: Pick<
    KubernetesClient,
    'get' | 'create' | 'update' | 'apply' | 'mergePatch' | 'delete' | 'list' | 'watch'
  >
  readonly installation: Installation
  readonly statuses: Pick<Statuses, 'writeTo'>
  readonly lastGood: Pick<LastGoodVersions, 'writeTo'>
  /** The objects of the installation, as far as they are known by now. */
  readonly seen?: (state: InstallationState) => void
  readonly time: TimerClock
  readonly random: Random
  readonly log: { info(message: string): void; warn(message: string): void }
  /** As of now, by the newest events. */
  readonly resources: () => ResourceSet
  /** How many endpoints of a Backend get requests, and which must not. */
  readonly health: (backend: string) => Omit<EndpointHealth, 'total'>
  readonly leaseTimes?: LeaderOptions['leaseTimes']
}

/** What is still to be stored is written before the Lease is freed, if the API server answers. */
const FLUSH_WITHIN: Milliseconds = 300

export class ClusterDuties {
  readonly #leader: Leader
  readonly #statuses: ClusterStatuses
  /** Last good versions of stale objects, beside a state directory: to be read before the source starts. */
  readonly lastGood: LastGoodConfigMaps

  constructor({ client, installation, time, random, log, ...options }: ClusterDutiesOptions) {
    const { namespace, name, identity } = installation
    const leading = (): boolean => this.#leader.leading
    const problem = (message: string): void => log.warn(message)
    this.#leader = new Leader({
      client,
      installation,
      time,
      random,
      events: {
        leading: () => {
          log.info(`writes statuses from now on: it holds the Lease ${namespace}/${name}`)
          this.#statuses.lead()
          this.lastGood.lead()
        },
        lost: () => log.info('does not write statuses any more: it does not hold the Lease'),
        addresses: (addresses) => this.#statuses.useAddresses(addresses),
        seen: (state) => options.seen?.(state),
        problem,
      },
      ...(options.leaseTimes && { leaseTimes: options.leaseTimes }),
    })
    this.#statuses = options.statuses.writeTo({
      client,
      time,
      random,
      identity,
      leading,
      resources: options.resources,
      health: options.health,
      problem,
    })
    this.lastGood = options.lastGood.writeTo({
      client,
      namespace,
      installation: name,
      time,
      random,
      leading,
      owner: () => this.#leader.owner,
      warn: problem,
    })
  }

  get leading(): boolean {
    return this.#leader.leading
  }

  start(): void {
    this.#leader.start()
  }

  /** Everything that the source reports, as it comes. */
  accept(events: readonly SourceEvent[]): void {
    this.#statuses.accept(events)
  }

  /** Frees the Lease, so that another replica goes on at once. Takes at most some seconds. */
  async stop(): Promise<void> {
    this.#statuses.stop()
    await this.lastGood.finish(FLUSH_WITHIN)
    this.lastGood.stop()
    await Promise.all([this.#leader.stop(), this.lastGood.flushed()])
  }
}
