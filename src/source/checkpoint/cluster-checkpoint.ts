/**
 * The checkpoint of a cluster in a state directory: combines its file, its keys, the writer and the source that replays
 * it.
 */
import { createHash } from 'node:crypto'
import type { Milliseconds, TimerClock } from '../../lib/clock.ts'
import { describeFileError } from '../../lib/system-error.ts'
import type { Source } from '../source.ts'
import { type Checkpoint, loadCheckpoint } from './checkpoint.ts'
import { type CheckpointLog, CheckpointWriter, type WritePacing } from './checkpoint-writer.ts'
import { CheckpointedSource, type CheckpointedSourceOptions, type ReadTrackingSource } from './checkpointed-source.ts'
import { StateFile } from './state-file.ts'
import { readKeys, type StateKey } from './state-key.ts'

export interface ClusterCheckpointOptions {
  readonly stateDirectory: string
  /** File of encryption keys; without one the checkpoint is not encrypted and contains no Secrets. */
  readonly keyFile: string | undefined
  /** Namespaces in the settings; empty means all. */
  readonly namespaces: readonly string[]
  /** Identifies the current API server. */
  readonly identity: () => Promise<ClusterIdentity>
  /** Whether the checkpoint may be served: not where newer tables are served already. */
  readonly serve: boolean
  readonly log: CheckpointLog
  readonly time: TimerClock
  readonly failed: (error: unknown) => void
  readonly pacing?: Partial<WritePacing>
}

export interface ClusterIdentity {
  readonly server: string
  /** PEM; distinguishes clusters in which the API server has the same address. */
  readonly ca?: string
}

export class ClusterCheckpoint {
  readonly #options: ClusterCheckpointOptions
  readonly #file: StateFile
  readonly #writer: CheckpointWriter

  constructor(options: ClusterCheckpointOptions) {
    this.#options = options
    const { stateDirectory, keyFile, namespaces, log, time, pacing } = options
    this.#file = new StateFile(stateDirectory)
    this.#writer = new CheckpointWriter({
      file: this.#file,
      ...(keyFile !== undefined && { keys: () => readKeys(keyFile) }),
      cluster: () => this.#cluster(),
      namespaces,
      log,
      time,
      ...(pacing !== undefined && { pacing }),
    })
  }

  /** Whether a checkpoint exists that may be served without the API server. */
  async available(): Promise<boolean> {
    return this.#options.serve && (await this.#file.exists())
  }

  /** Adds the checkpoint to a source. @param server URL of the API server, for messages */
  wrap(
    source: ReadTrackingSource,
    server: string,
    times: Pick<CheckpointedSourceOptions, 'syncTimeout' | 'forbiddenGrace'> = {},
  ): Source {
    const { log, time, failed } = this.#options
    return new CheckpointedSource({
      source,
      writer: this.#writer,
      loadCheckpoint: () => this.#load(),
      server,
      log,
      time,
      failed,
      ...times,
    })
  }

  /** See {@link CheckpointWriter.stop}. */
  stop(within: Milliseconds): Promise<void> {
    return this.#writer.stop(within)
  }

  async #load(): Promise<Checkpoint | undefined> {
    const { serve, keyFile, namespaces, log, time } = this.#options
    if (!serve) return undefined
    try {
      const bytes = await this.#file.read()
      if (bytes === undefined) return undefined
      const keys: readonly StateKey[] | undefined = keyFile === undefined ? undefined : await readKeys(keyFile)
      return await loadCheckpoint(bytes, { cluster: await this.#cluster(), namespaces, keys }, time)
    } catch (error) {
      log.warn(
        `the checkpoint ${this.#file.path} is not used (${describeFileError(error)}): nothing is served before the API server has been read, which replaces the file`,
      )
      return undefined
    }
  }

  async #cluster(): Promise<string> {
    const { server, ca = '' } = await this.#options.identity()
    return createHash('sha256').update(`${server}\n${ca}`).digest('hex')
  }
}
