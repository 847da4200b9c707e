/** Pods of the tests of peers: each with the room of the cache, on real sockets, and with those that it is told of. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { freePort } from '../../../bench/lib/free-port.ts'
import type { CacheRoomOptions, CacheSettings } from '../../../src/control/cache/caches.ts'
import type { PeerSecrets } from '../../../src/store/peers/peer-port.ts'
import type { OtherReplicas, ReplicaPod } from '../../../src/store/purge-store.ts'
import { eventually, type Scope } from '../../feature/harness.ts'
import { type ReplicaRig, replicaRig } from './purge-rig.ts'

export const SECRET = randomBytes(32)

export interface Pod {
  readonly name: string
  readonly port: number
  readonly rig: ReplicaRig
  /** Whom it knows, by where it reaches them. */
  readonly known: Map<string, ReplicaPod>
  readonly ended: Set<string>
  secrets: readonly Uint8Array[]
  /** How often it has read them. */
  reads: number
  stop(): Promise<void>
}

export interface PodOptions {
  readonly port?: number
  readonly secrets?: readonly Uint8Array[]
  readonly settings?: CacheSettings
  /** False: replicas have no key for each other. */
  readonly peers?: boolean
  readonly room?: Partial<CacheRoomOptions>
}

export class Pods {
  readonly #scope: Scope

  constructor(scope: Scope) {
    this.#scope = scope
  }

  async start(name: string, { port = 0, secrets = [SECRET], settings, peers = true, room }: PodOptions = {}) {
    const own = port || (await freePort())
    const known = new Map<string, ReplicaPod>()
    const ended = new Set<string>()
    const others: OtherReplicas = {
      own: name,
      pods: () => [...known.values()],
      hasEnded: async ({ name: other }) => ended.has(other),
    }
    const pod = { name, port: own, known, ended, secrets, reads: 0 }
    const read = async (): Promise<PeerSecrets> => {
      pod.reads++
      return { ok: true, secrets: pod.secrets }
    }
    const told = () => (peers ? { listen: { host: '127.0.0.1', port: own }, secrets: read } : undefined)
    const rig = replicaRig(name, settings ?? { redis: null, stateDirectory: undefined }, {
      others,
      peers: told,
      ...room,
    })
    let stopped: Promise<void> | undefined
    const stop = () => (stopped ??= rig.caches.stop())
    this.#scope.after(stop)
    return Object.assign(pod, { rig, stop }) as Pod
  }

  /** Each knows each, and has told it of a purge. */
  async startAll(names: readonly string[], options: (name: string) => PodOptions = () => ({})): Promise<Pod[]> {
    const made = await Promise.all(names.map((name) => this.start(name, options(name))))
    for (const one of made) for (const other of made) if (one !== other) know(one, other)
    for (const one of made) await eventually(async () => assert.equal((await one.rig.purge('/first')).everywhere, true))
    return made
  }
}

export function know(one: Pod, other: Pick<Pod, 'name' | 'port'>, { port = other.port, ready = true } = {}): void {
  const ports = new Map([['peers', port]])
  one.known.set(other.name, { name: other.name, addresses: ['127.0.0.1'], ports, ready })
}
