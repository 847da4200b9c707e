/** Opens the source that the command line names. */
import type { Kind } from '../api/kinds.ts'
import type { TimerClock } from '../lib/clock.ts'
import type { MemoryBudget } from '../lib/memory-budget.ts'
import type { ClusterCheckpoint, ClusterIdentity } from '../source/checkpoint/cluster-checkpoint.ts'
import { boundsOf } from '../source/folder/bounds.ts'
import { FolderSource } from '../source/folder/folder-source.ts'
import type { KubernetesClient } from '../source/kubernetes/client.ts'
import type { Interest, Source, SourceHandler, SourceLocation } from '../source/source.ts'
import type { SourceChoice } from './thread-messages.ts'

/** See `KubernetesOptions`. */
export interface ClusterScope {
  /** None = all. */
  readonly namespaces: readonly string[]
  readonly beyond: (kind: Kind, key: string) => boolean
}

/** What a source and those who write into a cluster share. */
export interface ClusterConnection {
  readonly client: KubernetesClient
  /** Of the API server, for messages. */
  readonly server: string
  readonly identity: () => Promise<ClusterIdentity>
}

/**
 * @param scope what of a cluster is read
 * @param failed a handler or the loading of a source has thrown
 * @param connection of a cluster
 * @param memory of it; none = it is not remembered
 * @param sizes bytes of files of a folder that are read at most
 */
export function openSource(
  choice: SourceChoice,
  scope: ClusterScope,
  failed: (error: unknown) => void,
  connection: Promise<ClusterConnection> | undefined,
  time: TimerClock,
  memory?: ClusterCheckpoint,
  sizes?: Pick<MemoryBudget, 'file' | 'files' | 'filesHeld'>,
): Source {
  if (choice.type === 'folder') return new FolderSource(choice.folder, time, sizes && boundsOf(sizes))
  return new ClusterSource(connection ?? connectCluster(choice, time), scope, failed, time, memory)
}

/**
 * Loads the code of a source: up to seconds of one turn for a kubeconfig's, which must come before the thread's first
 * sign of life.
 */
export async function loadSource(choice: SourceChoice): Promise<void> {
  if (choice.type === 'folder') return
  await Promise.all([import('../source/kubernetes/client.ts'), import('../source/kubernetes/kubernetes-source.ts')])
  if (choice.kubeconfig !== undefined || process.env.KUBERNETES_SERVICE_HOST === undefined)
    await import('@kubernetes/client-node')
}

export type ClusterChoice = Extract<SourceChoice, { type: 'kubernetes' }>

/** The Kubernetes source, loaded when it is started: a folder needs neither its client nor the memory for it. */
class ClusterSource implements Source {
  readonly #connection: Promise<ClusterConnection>
  readonly #scope: ClusterScope
  readonly #failed: (error: unknown) => void
  readonly #time: TimerClock
  readonly #memory: ClusterCheckpoint | undefined
  #source: Promise<Source> | undefined
  #loaded: Source | undefined
  #interest: Interest | undefined

  constructor(
    connection: Promise<ClusterConnection>,
    scope: ClusterScope,
    failed: (error: unknown) => void,
    time: TimerClock,
    memory: ClusterCheckpoint | undefined,
  ) {
    this.#memory = memory
    this.#connection = connection
    this.#scope = scope
    this.#failed = failed
    this.#time = time
  }

  start(handler: SourceHandler): void {
    this.#source = this.#load()
    this.#source.then(
      (source) => {
        this.#loaded = source
        if (this.#interest !== undefined) source.interest?.(this.#interest)
        source.start(handler)
      },
      (error: unknown) => {
        const message = `the cluster cannot be reached: ${error instanceof Error ? error.message : String(error)}`
        handler.problems([{ severity: 'error', reason: 'ClusterUnavailable', message }])
        this.#failed(error)
      },
    )
  }

  interest(interest: Interest): void {
    this.#interest = interest
    this.#loaded?.interest?.(interest)
  }

  hasSynced(kind: Kind, key: string, target: string): boolean {
    return this.#loaded?.hasSynced?.(kind, key, target) ?? false
  }

  async stop(): Promise<void> {
    await (await this.#source)?.stop()
  }

  locate(kind: Kind, key: string, path: readonly (string | number)[]): SourceLocation | undefined {
    return this.#loaded?.locate(kind, key, path)
  }

  async #load(): Promise<Source> {
    const [{ client, server }, { KubernetesSource }] = await Promise.all([
      this.#connection,
      import('../source/kubernetes/kubernetes-source.ts'),
    ])
    const source = new KubernetesSource({
      client,
      server,
      ...this.#scope,
      ingresses: true,
      random: Math.random,
      time: this.#time,
      handlerFailed: this.#failed,
    })
    return this.#memory?.wrap(source, server) ?? source
  }
}

/** Does not ask the API server for anything yet. */
export async function connectCluster(
  { kubeconfig, context }: ClusterChoice,
  time: TimerClock,
): Promise<ClusterConnection> {
  const [{ KubernetesClient }, { InClusterCredentials, inClusterServer }] = await Promise.all([
    import('../source/kubernetes/client.ts'),
    import('../source/kubernetes/in-cluster.ts'),
  ])
  const server = kubeconfig === undefined ? inClusterServer(process.env) : undefined
  const credentials =
    server === undefined
      ? await kubeConfig(kubeconfig, context, time)
      : new InClusterCredentials({ environment: process.env, now: () => time.monotonic() })
  const identity = async (): Promise<ClusterIdentity> => {
    const { server, tls } = await credentials.access()
    return { server, ...(tls.ca !== undefined && { ca: tls.ca }) }
  }
  return {
    client: new KubernetesClient(credentials, time),
    server: server ?? (await credentials.access()).server,
    identity,
  }
}

async function kubeConfig(file: string | undefined, context: string | undefined, time: TimerClock) {
  const { KubeConfigCredentials } = await import('../source/kubernetes/kube-config.ts')
  return new KubeConfigCredentials({
    time,
    ...(file === undefined ? {} : { file }),
    ...(context === undefined ? {} : { context }),
  })
}
