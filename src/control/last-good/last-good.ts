/**
 * The room of last good versions, and of hostnames that are reserved for a namespace. In: what must survive this
 * control thread. Out: what earlier threads, processes and other replicas stored. Three places, each optional but the
 * first: the supervisor's memory, a state directory, ConfigMaps of the installation.
 */
import type { TimerClock } from '../../lib/clock.ts'
import type { StateKey } from '../../source/checkpoint/state-key.ts'
import type { LastGood, LastGoodChange } from '../../thread/retained-state.ts'
import { type LastGoodConfigMapOptions, LastGoodConfigMaps } from './last-good-configmap.ts'
import { LastGoodFolder } from './last-good-folder.ts'

export type { LastGoodConfigMaps }

export interface LastGoodOptions {
  readonly time: TimerClock
  /** To the supervisor, for the next control thread. */
  readonly retain: (changes: readonly LastGoodChange[]) => void
  /** For the log. */
  readonly warn: (message: string) => void
}

export class LastGoodVersions {
  readonly #options: LastGoodOptions
  #folder: LastGoodFolder | undefined
  #configMaps: LastGoodConfigMaps | undefined

  constructor(options: LastGoodOptions) {
    this.#options = options
  }

  /** From now on in a state directory, too. @returns what earlier processes stored there */
  async readFolder(stateDirectory: string, keys?: () => Promise<readonly StateKey[]>): Promise<LastGood[]> {
    this.#folder = new LastGoodFolder(stateDirectory, this.#options.time, this.#options.warn, keys)
    return await this.#folder.read()
  }

  /** From now on in ConfigMaps, too. */
  writeTo(options: LastGoodConfigMapOptions): LastGoodConfigMaps {
    this.#configMaps = new LastGoodConfigMaps(options)
    return this.#configMaps
  }

  /** Resolves when hostnames among them are written where a restart finds them, or cannot be. */
  async keep(changes: readonly LastGoodChange[]): Promise<void> {
    if (changes.length === 0) return
    this.#folder?.keep(changes)
    this.#configMaps?.keep(changes)
    this.#options.retain(changes)
    await Promise.all([this.#folder?.recorded(), this.#configMaps?.flushed()])
  }

  /** Resolves when everything is in the state directory, or was reported not to be. */
  async flushed(): Promise<void> {
    await this.#folder?.flushed()
  }
}
