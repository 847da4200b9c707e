/**
 * What an installation owes the cluster it runs in: statuses, Events, last good versions, and a leader who writes them.
 * Traffic does not hang on any of it.
 */
import type { ObjectStatus } from '../../api/condition.ts'
import type { EndpointHealth } from '../../compile/conditions.ts'
import { countEndpoints } from '../../compile/endpoints.ts'
import type { Handover } from '../../compile/handover.ts'
import type { ResourceSet } from '../../compile/resource-set.ts'
import type { Milliseconds, Random, TimerClock } from '../../lib/clock.ts'
import type { FrozenMap } from '../../snapshot/frozen-map.ts'
import type { KubernetesClient } from '../../source/kubernetes/client.ts'
import type { SourceEvent } from '../../source/source.ts'
import { LastGoodConfigMaps } from '../last-good/last-good-configmap.ts'
import { handoverNotices, ingressNotices, noticesOf } from '../status/condition-events.ts'
import { EventRecorder, type Notice } from '../status/events.ts'
import type { Seen } from '../status/seen-statuses.ts'
import { type StatusTarget, statusTargetId } from '../status/status-target.ts'
import { StatusWriter } from '../status/status-writer.ts'
import { givenAddresses } from './addresses.ts'
import { InstallationPods } from './installation-pods.ts'
import { InstallationService } from './installation-service.ts'
import { LeaderElector, type LeaseTimes } from './lease.ts'

export interface ClusterDutiesOptions {
  readonly client: Pick<
    KubernetesClient,
    'get' | 'create' | 'update' | 'apply' | 'mergePatch' | 'delete' | 'list' | 'watch'
  >
  /** Where the installation is, and its name there: that of its Lease, and of its ConfigMaps with more behind it. */
  readonly namespace: string
  readonly name: string
  /** Of this control thread and no other: the pod's name and something by chance. */
  readonly identity: string
  /** The Service whose addresses go into statuses; none = only `addresses`. */
  readonly service?: string
  /** Addresses and host names that somebody has given; they go before those of the Service. */
  readonly addresses?: readonly string[]
  /** Label selector of the installation's pods, where ports of their nodes lead to them; none = they are not read. */
  readonly pods?: string
  /** The Service and the pods of the installation, as far as they are known by now. */
  readonly seen?: (own: SeenOfInstallation) => void
  readonly time: TimerClock
  readonly random: Random
  readonly log: { info(message: string): void; warn(message: string): void }
  /** As of now, by the newest events. */
  readonly resources: () => ResourceSet
  /** How many endpoints of a Backend get requests, and which must not. */
  readonly health: (backend: string) => Omit<EndpointHealth, 'total'>
  readonly leaseTimes?: Partial<LeaseTimes>
}

/** What is still to be kept is written before the Lease is freed, if the API server answers. */
const FLUSH_WITHIN: Milliseconds = 300
export interface SeenOfInstallation {
  /** As the API server sent it; undefined while there is none. */
  readonly service: unknown
  readonly nodeAddresses: readonly string[]
  readonly podAddresses: readonly string[]
}

export class ClusterDuties {
  readonly #options: ClusterDutiesOptions
  readonly #elector: LeaderElector
  readonly #events: EventRecorder
  readonly #writer: StatusWriter
  readonly #lastGood: LastGoodConfigMaps
  readonly #service: InstallationService | undefined
  readonly #pods: InstallationPods | undefined
  #seen: SeenOfInstallation = { service: undefined, nodeAddresses: [], podAddresses: [] }
  /** What was told of each Ingress: it has no conditions that would show it. */
  readonly #toldOfIngress = new Map<string, ReadonlySet<string>>()

  constructor(options: ClusterDutiesOptions) {
    this.#options = options
    const { client, namespace, name, identity, time, random, log, resources, health, leaseTimes = {} } = options
    const leading = (): boolean => this.#elector.leading
    const problem = (message: string): void => log.warn(message)
    this.#elector = new LeaderElector({
      client,
      namespace,
      name,
      identity,
      time,
      random,
      times: leaseTimes,
      events: {
        leading: () => this.#leads(),
        lost: () => log.info('does not write statuses any more: it does not hold the Lease'),
        problem,
      },
    })
    this.#events = new EventRecorder({ client, time, random, instance: identity, leading, problem })
    this.#writer = new StatusWriter({
      client,
      time,
      random,
      leading,
      ours: (className) => {
        const { ingressClass } = resources().settings
        return className === undefined ? ingressClass.default : className === ingressClass.name
      },
      endpoints: (backend) => ({ ...countEndpoints(resources(), backend), ...health(backend) }),
      events: {
        problem,
        written: (subject, wanted, before) => this.#tell(noticesOf(subject, wanted, before)),
        lookedAtIngress: (subject, status, seen) => this.#tellOfIngress(subject, status, seen),
      },
    })
    this.#lastGood = new LastGoodConfigMaps({
      client,
      namespace,
      installation: name,
      time,
      random,
      leading,
      owner: () => this.#service?.owner,
      warn: problem,
    })
    const given = givenAddresses(options.addresses ?? [])
    if (options.service === undefined || given.length > 0) this.#writer.useAddresses(given)
    // Its address is not all that it is for: what we keep ends with it.
    if (options.service !== undefined)
      this.#service = new InstallationService({
        client,
        namespace,
        name: options.service,
        random,
        now: () => time.monotonic(),
        changed: (addresses) => given.length > 0 || this.#writer.useAddresses(addresses),
        seen: (service) => this.#see({ service }),
        problem,
      })
    if (options.pods !== undefined)
      this.#pods = new InstallationPods({
        client,
        namespace,
        selector: options.pods,
        random,
        now: () => time.monotonic(),
        changed: ({ nodes, pods }) => this.#see({ nodeAddresses: nodes, podAddresses: pods }),
        problem,
      })
  }

  /** Last good versions of stale objects, instead of a state directory: to be read before the source is started. */
  get lastGood(): LastGoodConfigMaps {
    return this.#lastGood
  }

  get leading(): boolean {
    return this.#elector.leading
  }

  start(): void {
    this.#service?.start()
    this.#pods?.start()
    this.#elector.start()
  }

  /** Everything that the source tells, as it comes. */
  accept(events: readonly SourceEvent[]): void {
    this.#writer.accept(events)
    for (const { type, kind, key } of events)
      if (type === 'delete' && kind === 'Ingress') this.#toldOfIngress.delete(`Ingress ${key}`)
  }

  /** See StatusWriter; as the status board's. */
  prepare(statuses: FrozenMap<ObjectStatus>): Generator<void> {
    return this.#writer.prepare(statuses)
  }

  commit(generation: number): void {
    this.#writer.commit(generation)
  }

  served(generation: number): void {
    this.#writer.served(generation)
  }

  /** The endpoints of a Backend, or which of them get requests, may be others now. */
  endpointsChanged(backend: string): void {
    this.#writer.endpointsChanged(backend)
  }

  /** Hostnames have come to another namespace: both are told, who has it now and who had it. */
  handedOver(handovers: readonly Handover[]): void {
    this.#tell(handoverNotices(handovers, this.#options.resources()))
  }

  /** Other settings are in force: perhaps for another class. */
  settingsChanged(): void {
    this.#writer.lookAtAll()
  }

  /** Frees the Lease, so that another replica goes on at once. Takes at most some seconds. */
  async stop(): Promise<void> {
    this.#writer.stop()
    this.#events.stop()
    await this.#lastGood.finish(FLUSH_WITHIN)
    this.#lastGood.stop()
    await Promise.all([this.#elector.stop(), this.#service?.stop(), this.#pods?.stop(), this.#lastGood.flushed()])
  }

  #see(change: Partial<SeenOfInstallation>): void {
    this.#seen = { ...this.#seen, ...change }
    this.#options.seen?.(this.#seen)
  }

  #leads(): void {
    const { log, namespace, name } = this.#options
    log.info(`writes statuses from now on: it holds the Lease ${namespace}/${name}`)
    this.#toldOfIngress.clear()
    this.#writer.lookAtAll()
    this.#lastGood.lead()
  }

  #tellOfIngress(subject: StatusTarget, status: ObjectStatus, seen: Seen): void {
    const notices = ingressNotices(subject, seen, status)
    const id = statusTargetId(subject)
    const told = this.#toldOfIngress.get(id)
    const texts = notices.map(({ reason, note }) => `${reason} ${note}`)
    this.#tell(notices.filter((_, i) => told?.has(texts[i]!) !== true))
    if (texts.length > 0) this.#toldOfIngress.set(id, new Set(texts))
    else this.#toldOfIngress.delete(id)
  }

  #tell(notices: readonly Notice[]): void {
    for (const notice of notices) this.#events.tell(notice)
  }
}
