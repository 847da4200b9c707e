/** Redis of several servers, each of which ends with its scope. */
import { setTimeout as pause } from 'node:timers/promises'
import { RedisServer, type Scope } from './redis-server.ts'

/** Waits until it holds; fails after thirty seconds. */
export async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  for (const end = performance.now() + 30_000; !(await holds()); await pause(10))
    if (performance.now() > end) throw new Error('it did not happen within 30 s')
}

export const follows = (replica: RedisServer): Promise<void> =>
  until(async () => (await replica.admin.info('replication')).includes('master_link_status:up'))

export interface Watched {
  readonly master: RedisServer
  readonly replica: RedisServer
  /** Of the name `hg`. It makes the replica the master, soon after that has gone. */
  readonly sentinel: RedisServer
}

export async function watched(scope: Scope): Promise<Watched> {
  const master = await RedisServer.of(scope)
  const replica = await RedisServer.of(scope, { replicaOf: master.port })
  await follows(replica)
  const sentinel = await RedisServer.of(scope, {
    sentinel: true,
    lines: [
      `sentinel monitor hg ${master.host} ${master.port} 1`,
      'sentinel down-after-milliseconds hg 300',
      'sentinel failover-timeout hg 2000',
    ],
  })
  // It hears of replicas by asking the master.
  await until(async () => ((await sentinel.admin.call('SENTINEL', 'REPLICAS', 'hg')) as unknown[]).length === 1)
  return { master, replica, sentinel }
}

const SLOTS = 16_384

/** @returns the masters, each of as many slots as the others, and a replica of the last of them where one is wanted */
export async function cluster(scope: Scope, masters: number, withReplica = false): Promise<readonly RedisServer[]> {
  const count = masters + (withReplica ? 1 : 0)
  const nodes = await Promise.all(Array.from({ length: count }, () => RedisServer.of(scope, { cluster: true })))
  const first = nodes[0]!
  for (const [i, node] of nodes.entries()) {
    const [from, to] = [i, i + 1].map((part) => Math.round((part * SLOTS) / masters)) as [number, number]
    if (i < masters) await node.admin.call('CLUSTER', 'ADDSLOTSRANGE', String(from), String(to - 1))
    await node.admin.call('CLUSTER', 'SET-CONFIG-EPOCH', String(i + 1))
    if (node !== first) await first.admin.call('CLUSTER', 'MEET', node.host, String(node.port))
  }
  for (const node of nodes) await untilClusterSays(node, `cluster_known_nodes:${count}`)
  if (withReplica) {
    const replica = nodes[masters]!
    const id = String(await nodes[masters - 1]!.admin.call('CLUSTER', 'MYID'))
    await until(async () => {
      const replication = await replica.admin.info('replication')
      // Refused until it has heard of its master.
      if (replication.includes('role:master')) await replica.admin.call('CLUSTER', 'REPLICATE', id).catch(() => {})
      return replication.includes('master_link_status:up')
    })
  }
  for (const node of nodes) await untilClusterSays(node, 'cluster_state:ok')
  return nodes
}

export const untilClusterSays = (node: RedisServer, what: string): Promise<void> =>
  until(async () => String(await node.admin.call('CLUSTER', 'INFO')).includes(what))
