/** The pods of this installation, as the cluster has them: which nodes lead to it by a port of theirs (`hostPort`). */
import type { Random, TimerClock } from '../../lib/clock.ts'
import type { ListWatcher } from '../../source/kubernetes/client.ts'
import { Reflector } from '../../source/kubernetes/reflector.ts'
import { fieldsOf } from './raw-fields.ts'

export interface PodAddresses {
  /** Of the nodes on which pods run, in every family. */
  readonly nodes: readonly string[]
  readonly pods: readonly string[]
}

export interface InstallationPodsOptions {
  readonly client: ListWatcher
  readonly namespace: string
  /** Label selector that chooses the pods of this installation and no others. */
  readonly selector: string
  readonly random: Random
  readonly time: TimerClock
  readonly changed: (addresses: PodAddresses) => void
  /** For the log, once until it is over: why they cannot be watched. */
  readonly problem: (message: string) => void
}

export class InstallationPods {
  readonly #reflector: Reflector
  readonly #options: InstallationPodsOptions
  readonly #pods = new Map<string, PodAddresses>()
  #synced = false
  #reported = ''
  #trouble: string | undefined

  constructor(options: InstallationPodsOptions) {
    this.#options = options
    const { client, namespace, selector, random, time, problem } = options
    this.#reflector = new Reflector({
      kind: 'Pod',
      namespace,
      selection: { labelSelector: selector },
      client,
      random,
      time,
      handler: {
        upsert: ({ key, raw }) => {
          this.#pods.set(key, podAddresses(raw))
          this.#report()
        },
        delete: (key) => {
          this.#pods.delete(key)
          this.#report()
        },
        synced: () => {
          this.#synced = true
          this.#report()
        },
        failureChanged: (trouble) => {
          const message = trouble && `cannot ${trouble.verb} pods of ${namespace}: ${trouble.error.message}`
          if (message !== undefined && message !== this.#trouble)
            problem(`${message}; host ports are closed to dialling at the nodes known so far`)
          this.#trouble = message
        },
        handlerFailed: (error) =>
          problem(`pods of ${namespace}: ${error instanceof Error ? error.message : String(error)}`),
      },
    })
  }

  start(): void {
    this.#reflector.start()
  }

  async stop(): Promise<void> {
    await this.#reflector.stop()
  }

  #report(): void {
    if (!this.#synced) return
    const known = [...this.#pods.values()]
    const nodes = unique(known.flatMap((pod) => pod.nodes))
    const pods = unique(known.flatMap((pod) => pod.pods))
    const text = `${nodes.join()} ${pods.join()}`
    if (text === this.#reported) return
    this.#reported = text
    this.#options.changed({ nodes, pods })
  }
}

/** @param pod as the API server sent it */
function podAddresses(pod: unknown): PodAddresses {
  const { hostIP, hostIPs, podIP, podIPs } = fieldsOf(fieldsOf(pod).status)
  return { nodes: addressesIn(hostIP, hostIPs), pods: addressesIn(podIP, podIPs) }
}

function addressesIn(first: unknown, all: unknown): string[] {
  const listed = Array.isArray(all) ? (all as unknown[]).map((entry) => fieldsOf(entry).ip) : []
  return [first, ...listed].filter((text): text is string => typeof text === 'string' && text !== '')
}

function unique(texts: readonly string[]): string[] {
  return [...new Set(texts)].sort()
}
