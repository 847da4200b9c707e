import assert from 'node:assert/strict'
import { after, describe, it } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import type { RemoteLimiter } from '../../../src/limit/remote-limiter.ts'
import { ContentStore } from '../../../src/policy/contents.ts'
import type { RedisLocation } from '../../../src/snapshot/redis-location.ts'
import { RedisAccess } from '../../../src/store/redis/redis-access.ts'
import { RedisLimiters } from '../../../src/store/redis/redis-limiters.ts'
import { systemTimers } from '../../../src/thread/system-timers.ts'
import { NO_REDIS, RedisServer, type RedisServerOptions } from '../../lib/redis-server.ts'

const DAY = 86_400_000
const closing: (() => unknown)[] = []
after(() => Promise.all(closing.map((close) => close())))

async function serverOf(options?: RedisServerOptions): Promise<RedisServer> {
  const server = await RedisServer.start(options)
  closing.push(() => server.stop())
  return server
}

function accessOf(settings: Pick<RedisLocation, 'mode' | 'addresses' | 'masterName'>): RedisAccess {
  const access = new RedisAccess(
    { deadline: 5_000, inFlight: 256 },
    { contents: new ContentStore(), time: systemTimers, random: () => 0, report: () => {} },
  )
  closing.push(() => access.stop())
  access.use({ keyPrefix: 'hg', ...settings })
  return access
}

async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await holds())) await pause(20)
}

const limiterOf = (access: RedisAccess): RemoteLimiter =>
  new RedisLimiters(access).open({ owner: 'shop', name: 'a' }, { requests: 10, per: DAY, burst: 10 })

/** How many of so many requests pass. */
async function passed(limiter: RemoteLimiter, key: string, times: number): Promise<number> {
  const admissions = await Promise.all(Array.from({ length: times }, () => limiter.take(key)))
  return admissions.filter(({ allowed }) => allowed).length
}

describe('Redis of several servers', { skip: NO_REDIS }, () => {
  it('Redis Cluster: keys lie on all nodes, and each is exact', { timeout: 60_000 }, async () => {
    const nodes = await Promise.all([1, 2, 3].map(() => serverOf({ cluster: true })))
    const [first] = nodes
    for (const [i, node] of nodes.entries()) {
      const slots = [0, 5_461, 10_923, 16_384]
      await node.admin.call('CLUSTER', 'ADDSLOTSRANGE', String(slots[i]), String(slots[i + 1]! - 1))
      await node.admin.call('CLUSTER', 'SET-CONFIG-EPOCH', String(i + 1))
      if (node !== first) await first!.admin.call('CLUSTER', 'MEET', node.host, String(node.port))
    }
    for (const node of nodes)
      await until(async () => String(await node.admin.call('CLUSTER', 'INFO')).includes('cluster_state:ok'))
    const access = accessOf({ mode: 'Cluster', addresses: [first!.address] })
    await until(() => access.answers)
    const limiter = limiterOf(access)
    // Scripts reach a node with the first key of it.
    for (let i = 0; i < 20; i++) assert.equal(await passed(limiter, `client ${i}`, 15), 10, `client ${i}`)
    for (const node of nodes) assert.ok((await node.admin.dbsize()) > 0, 'every node has some of the keys')
  })

  it('Sentinel: goes on with the replica that becomes master', { timeout: 60_000 }, async () => {
    const master = await serverOf()
    const replica = await serverOf({ replicaOf: master.port })
    await until(async () => (await replica.admin.info('replication')).includes('master_link_status:up'))
    const sentinel = await serverOf({
      sentinel: true,
      lines: [
        `sentinel monitor hg ${master.host} ${master.port} 1`,
        'sentinel down-after-milliseconds hg 300',
        'sentinel failover-timeout hg 2000',
      ],
    })
    // It hears of replicas by asking the master.
    await until(async () => ((await sentinel.admin.call('SENTINEL', 'REPLICAS', 'hg')) as unknown[]).length === 1)
    const access = accessOf({ mode: 'Sentinel', addresses: [sentinel.address], masterName: 'hg' })
    await until(() => access.answers)
    const limiter = limiterOf(access)
    assert.equal(await passed(limiter, 'ann', 15), 10)
    await until(async () => (await replica.admin.dbsize()) === 1)
    await master.kill()
    await until(async () => (await replica.admin.info('replication')).includes('role:master'))
    await until(() =>
      limiter.take('ben').then(
        () => true,
        () => false,
      ),
    )
    assert.equal(await passed(limiter, 'ann', 1), 0, 'what the replica had heard still counts')
  })
})
