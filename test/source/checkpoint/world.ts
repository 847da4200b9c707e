/**
 * A source that remembers, on a fake API server that can be taken away, and one process after the other on the same
 * state directory.
 */
import { randomBytes } from 'node:crypto'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { WritePacing } from '../../../src/source/checkpoint/checkpoint-writer.ts'
import type { CheckpointedSourceOptions } from '../../../src/source/checkpoint/checkpointed-source.ts'
import { ClusterCheckpoint, type ClusterCheckpointOptions } from '../../../src/source/checkpoint/cluster-checkpoint.ts'
import { KubernetesClient } from '../../../src/source/kubernetes/client.ts'
import { FixedCredentials } from '../../../src/source/kubernetes/credentials.ts'
import { type KubernetesOptions, KubernetesSource } from '../../../src/source/kubernetes/kubernetes-source.ts'
import type { Interest, Source } from '../../../src/source/source.ts'
import { Recorder } from '../../suite/source.ts'
import { FakeApi } from '../kubernetes/fake-api.ts'
import { QUICK } from '../kubernetes/world.ts'

/** Written as soon as something has changed. */
export const AT_ONCE: Partial<WritePacing> = { batch: 1, pause: 1, bytesPerSecond: 1e12 }

export interface Life {
  readonly source: Source
  readonly heard: Recorder
  readonly memory: ClusterCheckpoint
  readonly log: string[]
  readonly failures: unknown[]
  /** Ends as a process does: what was not written yet is, if there is time. */
  end(within?: number): Promise<void>
}

export interface LifeOptions {
  readonly interest?: Interest
  readonly memory?: Partial<ClusterCheckpointOptions>
  readonly kubernetes?: Partial<KubernetesOptions>
  readonly times?: Pick<CheckpointedSourceOptions, 'patience' | 'grace'>
}

export class Place {
  readonly api: FakeApi
  readonly state: string
  readonly keyFile: string

  private constructor(api: FakeApi, state: string) {
    this.api = api
    this.state = state
    this.keyFile = join(state, 'keys')
  }

  static async open(): Promise<Place> {
    const state = await mkdtemp(join(tmpdir(), 'headgate-memory-'))
    const place = new Place(await new FakeApi().listen(), state)
    await writeFile(place.keyFile, randomBytes(32).toString('base64'))
    return place
  }

  get file(): string {
    return join(this.state, 'cluster', 'objects')
  }

  bytes(): Promise<Buffer> {
    return readFile(this.file)
  }

  /** A process; not started. */
  life({ interest, memory: memoryOptions, kubernetes, times }: LifeOptions = {}): Life {
    const client = new KubernetesClient(new FixedCredentials(this.api.url))
    const failures: unknown[] = []
    const log: string[] = []
    const say = (message: string) => void log.push(message)
    const failed = (error: unknown) => void failures.push(error)
    const now = () => performance.now()
    const namespaces = memoryOptions?.namespaces ?? []
    const memory = new ClusterCheckpoint({
      stateDirectory: this.state,
      keyFile: undefined,
      namespaces,
      identity: async () => ({ server: this.api.url }),
      serve: true,
      log: { info: say, warn: say },
      wall: () => Date.now(),
      now,
      failed,
      pacing: AT_ONCE,
      ...memoryOptions,
    })
    const inner = new KubernetesSource({
      client,
      server: this.api.url,
      namespaces,
      random: Math.random,
      now,
      failed,
      ...kubernetes,
      pacing: { ...QUICK, ...kubernetes?.pacing },
    })
    const source = memory.around(inner, this.api.url, times)
    if (interest !== undefined) source.interest?.(interest)
    return {
      source,
      heard: new Recorder(),
      memory,
      log,
      failures,
      end: async (within = 5_000) => {
        await memory.stop(within)
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
