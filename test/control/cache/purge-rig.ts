/** Replicas of the tests of purges: each with the log of a process, one worker that judges, and the room of the cache. */
import assert from 'node:assert/strict'
import type { PurgeView } from '../../../src/admin/caches.ts'
import { MAX_LABELS, namespaceLabel, writeLabels } from '../../../src/cache/purge-labels.ts'
import { HARD, Purges, type PurgeVerdict } from '../../../src/cache/purges.ts'
import { type CacheRoomOptions, type CacheSettings, Caches } from '../../../src/control/cache/caches.ts'
import { createMetrics } from '../../../src/shared-memory/metrics.ts'
import { MetricsReader } from '../../../src/shared-memory/metrics-reader.ts'
import { PurgeLog } from '../../../src/shared-memory/purge-log.ts'
import type { RedisLocation } from '../../../src/snapshot/redis-location.ts'
import { aloneAs } from '../../../src/store/purge-store.ts'
import { systemTimers } from '../../../src/thread/system-timers.ts'
import { eventually } from '../../feature/harness.ts'
import { RedisServer, type Scope } from '../../lib/redis-server.ts'
import { TcpProxy } from '../../lib/tcp-proxy.ts'

export interface ReplicaRig {
  readonly log: PurgeLog
  readonly caches: Caches
  readonly worker: Purges
  readonly problems: readonly (string | undefined)[]
  /** Of an object of the path that was fetched at this place of the log. */
  judge(path: string, since: number, namespace?: string): PurgeVerdict
  purge(path: string): Promise<PurgeView>
}

/** @returns milliseconds from the call of a purge until the others do not serve it any more */
export async function takes(rig: ReplicaRig, others: readonly ReplicaRig[], path: string): Promise<number> {
  const since = others.map(({ log }) => log.last)
  const begun = performance.now()
  const purging = rig.purge(path)
  while (others.some((other, i) => other.judge(path, since[i]!) !== HARD)) {
    assert.ok(performance.now() - begun < 10_000)
    await new Promise(setImmediate)
  }
  const took = performance.now() - begun
  await purging
  return took
}

export const redisBy = (location: Omit<RedisLocation, 'keyPrefix'>): CacheSettings => ({
  redis: { ...location, keyPrefix: 'hg' },
  stateDirectory: undefined,
})

export const redisAt = (address: string): CacheSettings => redisBy({ mode: 'Single', addresses: [address] })

export interface Pair {
  readonly server: RedisServer
  readonly a: ReplicaRig
  readonly b: ReplicaRig
  /** The way of `b` to Redis. */
  readonly proxy: TcpProxy
}

/** Two replicas with one Redis, which know of each other. */
export async function pairOf(scope: Scope): Promise<Pair> {
  const server = await RedisServer.of(scope)
  const proxy = await TcpProxy.start(server.port)
  scope.after(() => proxy.stop())
  const a = replicaRig('a', redisAt(server.address))
  const b = replicaRig('b', redisAt(proxy.address))
  for (const { caches } of [a, b]) scope.after(() => caches.stop())
  await eventually(async () => assert.equal((await a.purge('/first')).reached, 2))
  return { server, proxy, a, b }
}

export function replicaRig(name: string, settings: CacheSettings, more: Partial<CacheRoomOptions> = {}): ReplicaRig {
  const log = new PurgeLog(PurgeLog.allocate(2), 2)
  const worker = new Purges(log, 0)
  const problems: (string | undefined)[] = []
  const caches = new Caches({
    log,
    writer: 1,
    time: systemTimers,
    random: Math.random,
    name,
    namespacesOf: () => ['shop'],
    rules: () => undefined,
    others: aloneAs(name),
    peers: () => undefined,
    replicas: () => 1,
    listeners: () => [],
    ask: () => false,
    metrics: new MetricsReader(createMetrics({ workers: 1 })),
    memory: undefined,
    failure: (message) => problems.push(message),
    report: () => {},
    ...more,
  })
  caches.start(settings)
  const labels = new Float64Array(MAX_LABELS)
  return {
    log,
    caches,
    worker,
    problems,
    judge(path, since, namespace = 'shop') {
      const own = { namespace: namespaceLabel(namespace), host: 'h', path, query: undefined, match: 'exact' as const }
      const count = writeLabels(labels, { ...own, route: 'shop/web', rule: 'a' })
      return worker.judge(since, labels, count, () => `h${path}`)
    },
    async purge(path) {
      const outcome = await caches.purge('shop', { urls: [`http://h${path}`] })
      assert.ok(outcome.ok)
      return outcome.view
    },
  }
}
