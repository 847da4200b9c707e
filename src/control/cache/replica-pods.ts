/**
 * The other replicas, by the EndpointSlices of the installation's own Service, which this process reads anyway: it
 * lists pods that are not ready, too. Whether a process has ended is asked at the port of its probes, which the
 * supervisor holds open for as long as the process lives: where nothing listens there any more, nothing serves.
 */

import { connect } from 'node:net'
import { hostname } from 'node:os'
import type { EndpointSlice } from '../../api/kubernetes.ts'
import type { ServedResource } from '../../compile/resource-set.ts'
import type { Milliseconds, TimerClock } from '../../lib/clock.ts'
import type { OtherReplicas, ReplicaPod } from '../../store/purge-store.ts'

/** Name of the port of probes, in the Service. */
const PROBED = 'signals'
/** Who does not refuse within that may live. */
const REFUSES_WITHIN: Milliseconds = 300

export interface ReplicaPodsOptions {
  readonly inCluster: boolean
  readonly environment: Readonly<Record<string, string | undefined>>
  /** Of a Service, `namespace/name`. */
  readonly slices: (service: string) => Slices | undefined
  readonly time: Pick<TimerClock, 'after'>
}

interface Pod extends ReplicaPod {
  readonly addresses: string[]
  ready: boolean
}

type Slices = ReadonlyMap<string, ServedResource<EndpointSlice>>

export class ReplicaPods implements OtherReplicas {
  readonly own: string
  readonly #options: ReplicaPodsOptions
  /** `namespace/name` of the Service that lists every replica. */
  readonly #service: string | undefined
  /** What {@link #pods} was made of. */
  #slices: Slices | undefined
  #pods: readonly Pod[] | undefined

  constructor(options: ReplicaPodsOptions) {
    this.#options = options
    const { POD_NAME, POD_NAMESPACE, HEADGATE_REPLICAS } = options.environment
    const listed = options.inCluster && POD_NAME && POD_NAMESPACE && HEADGATE_REPLICAS
    this.own = listed ? `${POD_NAMESPACE}/${POD_NAME}` : `${hostname()}/${process.pid}`
    this.#service = listed ? `${POD_NAMESPACE}/${HEADGATE_REPLICAS}` : undefined
  }

  get unlisted(): boolean {
    return this.#service !== undefined && this.pods() === undefined
  }

  /** Without this one; undefined: nobody lists them, or they are not known yet. */
  pods(): readonly Pod[] | undefined {
    const slices = this.#service === undefined ? undefined : this.#options.slices(this.#service)
    if (slices === this.#slices) return this.#pods
    this.#slices = slices
    this.#pods = slices && this.#podsOf(slices)
    return this.#pods
  }

  #podsOf(slices: Slices): readonly Pod[] {
    const pods = new Map<string, Pod>()
    for (const { object } of slices.values()) {
      const ports = new Map((object.ports ?? []).map(({ name, port }) => [name ?? '', port ?? 0]))
      for (const { addresses, targetRef, conditions } of object.endpoints) {
        if (targetRef?.kind !== 'Pod' || targetRef.name === undefined) continue
        const name = `${targetRef.namespace ?? object.metadata.namespace}/${targetRef.name}`
        if (name === this.own) continue
        // The Service publishes pods that are not ready, so only `serving` says it.
        const ready = conditions?.serving !== false
        const known = pods.get(name)
        if (known === undefined) pods.set(name, { name, addresses: [...addresses], ready, ports })
        else {
          known.addresses.push(...addresses)
          known.ready ||= ready
        }
      }
    }
    return [...pods.values()]
  }

  async hasEnded({ addresses, ports }: ReplicaPod): Promise<boolean> {
    const port = ports.get(PROBED) ?? 0
    if (port === 0 || addresses.length === 0) return false
    const refused = await Promise.all(addresses.map((address) => this.#refuses(address, port)))
    return refused.every((one) => one)
  }

  #refuses(host: string, port: number): Promise<boolean> {
    const { promise, resolve } = Promise.withResolvers<boolean>()
    const socket = connect({ host, port })
    const stop = this.#options.time.after(REFUSES_WITHIN, () => resolve(false))
    socket.once('connect', () => resolve(false))
    socket.once('error', ({ code }: NodeJS.ErrnoException) => resolve(code === 'ECONNREFUSED'))
    return promise.finally(() => {
      stop()
      socket.destroy()
    })
  }
}
