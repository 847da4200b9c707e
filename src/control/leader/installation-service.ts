/** The Service in front of this installation, as the cluster has it: where the installation is reached from outside. */
import type { Random, TimerClock } from '../../lib/clock.ts'
import type { ListWatcher } from '../../source/kubernetes/client.ts'
import { Reflector } from '../../source/kubernetes/reflector.ts'
import { type HostAddress, serviceAddresses } from './address.ts'

export interface InstallationServiceOptions {
  readonly client: ListWatcher
  readonly namespace: string
  readonly name: string
  readonly random: Random
  readonly time: TimerClock
  readonly changed: (addresses: readonly HostAddress[]) => unknown
  /** The object as the API server sent it; undefined while there is none. */
  readonly seen: (service: unknown) => void
  /** For the log, once until it is over: why it cannot be watched. */
  readonly problem: (message: string) => void
}

export class InstallationService {
  readonly #reflector: Reflector
  #owner: object | undefined
  #reported: string | undefined

  constructor({ client, namespace, name, random, time, changed, seen, problem }: InstallationServiceOptions) {
    const key = `${namespace}/${name}`
    let addresses: readonly HostAddress[] = []
    const update = (raw: unknown): void => {
      addresses = serviceAddresses(raw)
      seen(raw)
      changed(addresses)
    }
    this.#reflector = new Reflector({
      kind: 'Service',
      namespace,
      selection: { fieldSelector: `metadata.name=${name}` },
      client,
      random,
      time,
      handler: {
        upsert: (object) => {
          if (object.key !== key) return
          this.#owner = { apiVersion: 'v1', kind: 'Service', name, uid: object.uid }
          update(object.raw)
        },
        delete: (gone) => {
          if (gone !== key) return
          this.#owner = undefined
          update(undefined)
        },
        synced: () => changed(addresses),
        failureChanged: (trouble) => {
          const message = trouble && `cannot ${trouble.verb} Service ${key}: ${trouble.error.message}`
          if (message !== undefined && message !== this.#reported)
            problem(`${message}; the addresses in statuses stay as they are`)
          this.#reported = message
        },
        handlerFailed: (error) => problem(`Service ${key}: ${error instanceof Error ? error.message : String(error)}`),
      },
    })
  }

  /** For objects that are to end with it; undefined while it is not known. */
  get owner(): object | undefined {
    return this.#owner
  }

  start(): void {
    this.#reflector.start()
  }

  async stop(): Promise<void> {
    await this.#reflector.stop()
  }
}
