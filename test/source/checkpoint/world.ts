/**
 * A source with a checkpoint on a fake API server that can be stopped, for consecutive processes with the same state
 * directory.
 */
import { randomBytes } from 'node:crypto'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { WritePacing } from '../../../src/source/checkpoint/checkpoint-writer.ts'
import type { CheckpointedSourceOptions } from '../../../src/source/checkpoint/checkpointed-source.ts'
import { ClusterCheckpoint, type ClusterCheckpointOptions } from '../../../src/source/checkpoint/cluster-checkpoint.ts'
import { KubernetesClient } from '../../../src/source/kubernetes/client.ts'
import { StaticCredentials } from '../../../src/source/kubernetes/credentials.ts'
import { type KubernetesOptions, KubernetesSource } from '../../../src/source/kubernetes/kubernetes-source.ts'
import type { Interest, Source } from '../../../src/source/source.ts'
import { systemTimers } from '../../../src/thread/system-timers.ts'
import { Recorder } from '../../suite/source.ts'
import { FakeApi } from '../kubernetes/fake-api.ts'
import { QUICK } from '../kubernetes/world.ts'

/** Writes after every change. */
export const IMMEDIATE_WRITES: Partial<WritePacing> = { batch: 1, pause: 1, bytesPerSecond: 1e12 }

export interface GatewayRun {
  readonly source: Source
  readonly recorder: Recorder
  readonly checkpoint: ClusterCheckpoint
  readonly log: string[]
  readonly failures: unknown[]
  /** Ends like a process: outstanding changes are written within the timeout. */
  end(timeout?: number): Promise<void>
}

export interface RunOptions {
  readonly references?: Interest
  readonly checkpoint?: Partial<ClusterCheckpointOptions>
  readonly kubernetes?: Partial<KubernetesOptions>
  readonly times?: Pick<CheckpointedSourceOptions, 'syncTimeout' | 'forbiddenGrace'>
}

export class CheckpointWorld {
  readonly api: FakeApi
  readonly state: string
  readonly keyFile: string

  private constructor(api: FakeApi, state: string) {
    this.api = api
    this.state = state
    this.keyFile = join(state, 'keys')
  }

  static async open(): Promise<CheckpointWorld> {
    const state = await mkdtemp(join(tmpdir(), 'headgate-memory-'))
    const world = new CheckpointWorld(await new FakeApi().listen(), state)
    await writeFile(world.keyFile, randomBytes(32).toString('base64'))
    return world
  }

  get file(): string {
    return join(this.state, 'cluster', 'objects')
  }

  bytes(): Promise<Buffer> {
    return readFile(this.file)
  }

  /** One process on the state directory; not started. */
  run({ references, checkpoint: checkpointOptions, kubernetes, times }: RunOptions = {}): GatewayRun {
    const client = new KubernetesClient(new StaticCredentials(this.api.url), systemTimers)
    const failures: unknown[] = []
    const log: string[] = []
    const append = (message: string) => void log.push(message)
    const failed = (error: unknown) => void failures.push(error)
    const namespaces = checkpointOptions?.namespaces ?? []
    const checkpoint = new ClusterCheckpoint({
      stateDirectory: this.state,
      keyFile: undefined,
      namespaces,
      identity: async () => ({ server: this.api.url }),
      serve: true,
      log: { info: append, warn: append },
      time: systemTimers,
      failed,
      pacing: IMMEDIATE_WRITES,
      ...checkpointOptions,
    })
    const inner = new KubernetesSource({
      client,
      server: this.api.url,
      namespaces,
      random: Math.random,
      time: systemTimers,
      handlerFailed: failed,
      ...kubernetes,
      pacing: { ...QUICK, ...kubernetes?.pacing },
    })
    const source = checkpoint.wrap(inner, this.api.url, times)
    if (references !== undefined) source.interest?.(references)
    return {
      source,
      recorder: new Recorder(),
      checkpoint,
      log,
      failures,
      end: async (timeout = 5_000) => {
        await checkpoint.stop(timeout)
        await source.stop()
        await client.close()
      },
    }
  }

  async close(): Promise<void> {
    await this.api.kill().catch(() => {})
    await rm(this.state, { recursive: true, force: true })
  }
}
