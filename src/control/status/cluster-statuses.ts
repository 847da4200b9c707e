/** Statuses and Events as the leader writes them into the cluster: two subscribers of the sink, and what they share. */
import { countEndpoints } from '../../compile/endpoints.ts'
import type { ResourceSet } from '../../compile/resource-set.ts'
import type { Milliseconds, Random, TimerClock } from '../../lib/clock.ts'
import type { SourceEvent } from '../../source/source.ts'
import type { Address } from '../leader/leader.ts'
import { ConditionEvents } from './condition-events.ts'
import { type EventClient, EventRecorder } from './events.ts'
import type { EndpointCounts } from './status-document.ts'
import type { StatusSink } from './status-sink.ts'
import { isStatusTargetKind } from './status-target.ts'
import { type StatusClient, StatusWriter } from './status-writer.ts'

export interface ClusterStatusesOptions {
  readonly client: StatusClient & EventClient
  readonly time: TimerClock
  readonly random: Random
  /** Of this control thread and no other. */
  readonly identity: string
  /** Asked before every write. */
  readonly leading: () => boolean
  /** As of now, by the newest events. */
  readonly resources: () => ResourceSet
  /** How many endpoints of a Backend get requests, and which must not. */
  readonly health: (backend: string) => Omit<EndpointCounts, 'total' | 'ready'>
  /** For the log, once for each cause. */
  readonly problem: (message: string) => void
  /** Longest wait for the workers before a status reports that not all of them serve it. */
  readonly patience?: Milliseconds
}

export class ClusterStatuses {
  readonly #sink: StatusSink
  readonly #writer: StatusWriter
  readonly #recorder: EventRecorder
  readonly #events: ConditionEvents

  constructor(sink: StatusSink, options: ClusterStatusesOptions) {
    const { client, time, random, identity, leading, resources, health, problem } = options
    this.#sink = sink
    this.#recorder = new EventRecorder({ client, time, random, instance: identity, leading, problem })
    this.#events = new ConditionEvents(this.#recorder, resources)
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
        written: (target, document, before) => sink.written(target, document, before),
        ingressChecked: (target, status, seen) => sink.ingressChecked(target, status, seen),
      },
      ...(options.patience !== undefined && { patience: options.patience }),
    })
    sink.subscribe(this.#events)
    sink.subscribe(this.#writer)
  }

  /** Everything that the source reports, as it comes: the statuses that objects have. */
  accept(events: readonly SourceEvent[]): void {
    this.#writer.accept(events)
    for (const { type, kind, key } of events)
      if (type === 'delete' && isStatusTargetKind(kind)) this.#sink.deleted({ kind, key })
  }

  /** Where the installation is reached; a status has them. */
  useAddresses(addresses: readonly Address[]): void {
    this.#writer.useAddresses(addresses)
  }

  /** This replica leads from now on. */
  lead(): void {
    this.#events.forgetAll()
    this.#sink.recheckAll()
  }

  stop(): void {
    this.#writer.stop()
    this.#recorder.stop()
  }
}
