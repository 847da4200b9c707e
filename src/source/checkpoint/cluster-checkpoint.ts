/**
 * What is remembered of a cluster in a state directory: put together from its file, its keys, and who may be served
 * from it.
 */
import { createHash } from 'node:crypto'
import type { Milliseconds } from '../../lib/clock.ts'
import type { Source } from '../source.ts'
import { type Checkpoint, recollect } from './checkpoint.ts'
import { type CheckpointLog, CheckpointWriter, type WritePacing } from './checkpoint-writer.ts'
import { CheckpointedSource, type CheckpointedSourceOptions, type KnowingSource } from './checkpointed-source.ts'
import { diskTrouble, StateFile } from './state-file.ts'
import { readKeys, type StateKey } from './state-key.ts'

export interface ClusterCheckpointOptions {
  readonly stateDirectory: string
  /** File of keys; none = Secrets are not kept, and nothing is sealed. */
  readonly keyFile: string | undefined
  /** Of the settings; none = all. */
  readonly namespaces: readonly string[]
  /** Tells one API server from another, as of now. */
  readonly identity: () => Promise<ClusterIdentity>
  /** Whether what is remembered may be served: not where newer tables are served already. */
  readonly serve: boolean
  readonly log: CheckpointLog
  readonly wall: () => Milliseconds
  /** Monotonic. */
  readonly now: () => Milliseconds
  readonly failed: (error: unknown) => void
  readonly pacing?: Partial<WritePacing>
}

export interface ClusterIdentity {
  readonly server: string
  /** PEM; addresses in a cluster are the same in many clusters. */
  readonly ca?: string
}

export class ClusterCheckpoint {
  readonly #options: ClusterCheckpointOptions
  readonly #file: StateFile
  readonly #writer: CheckpointWriter

  constructor(options: ClusterCheckpointOptions) {
    this.#options = options
    const { stateDirectory, keyFile, namespaces, log, wall, now, pacing } = options
    this.#file = new StateFile(stateDirectory)
    this.#writer = new CheckpointWriter({
      file: this.#file,
      ...(keyFile !== undefined && { keys: () => readKeys(keyFile) }),
      cluster: () => this.#cluster(),
      namespaces,
      log,
      wall,
      now,
      ...(pacing !== undefined && { pacing }),
    })
  }

  /** Whether there may be something to serve without the API server. */
  async hopeful(): Promise<boolean> {
    return this.#options.serve && (await this.#file.exists())
  }

  /** @param server of the source, for messages */
  around(
    source: KnowingSource,
    server: string,
    times: Pick<CheckpointedSourceOptions, 'patience' | 'grace'> = {},
  ): Source {
    const { log, wall, now, failed } = this.#options
    return new CheckpointedSource({
      source,
      writer: this.#writer,
      recall: () => this.#recall(),
      server,
      log,
      wall,
      now,
      failed,
      ...times,
    })
  }

  /** See {@link CheckpointWriter.stop}. */
  stop(within: Milliseconds): Promise<void> {
    return this.#writer.stop(within)
  }

  async #recall(): Promise<Checkpoint | undefined> {
    const { serve, keyFile, namespaces, log } = this.#options
    if (!serve) return undefined
    try {
      const bytes = await this.#file.read()
      if (bytes === undefined) return undefined
      const keys: readonly StateKey[] | undefined = keyFile === undefined ? undefined : await readKeys(keyFile)
      return await recollect(bytes, { cluster: await this.#cluster(), namespaces, keys })
    } catch (error) {
      log.warn(
        `${this.#file.path} is not used (${diskTrouble(error)}): nothing is served before the API server can be read; the file is replaced then`,
      )
      return undefined
    }
  }

  async #cluster(): Promise<string> {
    const { server, ca = '' } = await this.#options.identity()
    return createHash('sha256').update(`${server}\n${ca}`).digest('hex')
  }
}
