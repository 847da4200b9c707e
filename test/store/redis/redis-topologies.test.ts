import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { describe, it } from 'node:test'
import { WHOLE_BYTES } from '../../../src/cache/response-archive.ts'
import type { RemoteLimiter } from '../../../src/limit/remote-limiter.ts'
import { ContentStore } from '../../../src/policy/contents.ts'
import type { RedisLocation } from '../../../src/snapshot/redis-location.ts'
import type { RecordArchive } from '../../../src/store/archive/record-archive.ts'
import { RedisAccess } from '../../../src/store/redis/redis-access.ts'
import { RedisLimiters } from '../../../src/store/redis/redis-limiters.ts'
import { MAX_REDIS_BODY, RedisRecords } from '../../../src/store/redis/redis-records.ts'
import { systemTimers } from '../../../src/thread/system-timers.ts'
import { suiteScope } from '../../feature/harness.ts'
import { recordArchive } from '../../lib/record-archive.ts'
import { NO_REDIS } from '../../lib/redis-server.ts'
import { cluster, until, watched } from '../../lib/redis-topology.ts'
import { bytes, found, keyOf, put, putVariant, readAll, varied } from '../../suite/response-archive.ts'

const DAY = 86_400_000
const scope = suiteScope()

function accessOf(settings: Pick<RedisLocation, 'mode' | 'addresses' | 'masterName'>): RedisAccess {
  const access = new RedisAccess(
    { deadline: 5_000, inFlight: 256 },
    { contents: new ContentStore(), time: systemTimers, random: () => 0, report: () => {} },
  )
  scope.after(() => access.stop())
  access.use({ keyPrefix: 'hg', ...settings })
  return access
}

const limiterOf = (access: RedisAccess): RemoteLimiter =>
  new RedisLimiters(access).open({ owner: 'shop', name: 'a' }, { requests: 10, per: DAY, burst: 10 })

/** How many of so many requests pass. */
async function passed(limiter: RemoteLimiter, key: string, times: number): Promise<number> {
  const admissions = await Promise.all(Array.from({ length: times }, () => limiter.take(key)))
  return admissions.filter(({ allowed }) => allowed).length
}

function archiveOf(access: RedisAccess): RecordArchive {
  const records = new RedisRecords({ lookups: access, bulk: access, time: systemTimers, randomBytes })
  return recordArchive({ records, deadline: 5_000, maxBodyBytes: MAX_REDIS_BODY })
}

/** Short and long bodies, variants and removals: all of a key lies in one slot. */
async function archiveWorks(archive: RecordArchive): Promise<void> {
  for (let i = 0; i < 12; i++) {
    const body = randomBytes(i % 4 === 0 ? 2 * WHOLE_BYTES : 100)
    await put(archive, `page ${i}`, body)
    assert.ok((await readAll(found(await archive.find(keyOf(`page ${i}`))))).equals(body), `page ${i}`)
    assert.equal(await putVariant(archive, `varied ${i}`, 'de', 'Hallo'), 'put')
    assert.equal(String(found(await archive.find(varied(`varied ${i}`, 'de'))).whole), 'Hallo')
    assert.equal(await archive.remove(keyOf(`varied ${i}`)), true)
    assert.equal((await archive.find(varied(`varied ${i}`, 'de'))).type, 'none')
  }
}

describe('Redis of several servers', { skip: NO_REDIS }, () => {
  it('Redis Cluster: keys lie on all nodes, and each is exact', { timeout: 60_000 }, async () => {
    const nodes = await cluster(scope, 3)
    const access = accessOf({ mode: 'Cluster', addresses: [nodes[0]!.address] })
    await until(() => access.answers)
    const limiter = limiterOf(access)
    // Scripts reach a node with the first key of it.
    for (let i = 0; i < 20; i++) assert.equal(await passed(limiter, `client ${i}`, 15), 10, `client ${i}`)
    for (const node of nodes) assert.ok((await node.admin.dbsize()) > 0, 'every node has some of the keys')
    await archiveWorks(archiveOf(access))
  })

  it('Sentinel: goes on with the replica that becomes master', { timeout: 60_000 }, async () => {
    const { master, replica, sentinel } = await watched(scope)
    const access = accessOf({ mode: 'Sentinel', addresses: [sentinel.address], masterName: 'hg' })
    await until(() => access.answers)
    const limiter = limiterOf(access)
    assert.equal(await passed(limiter, 'ann', 15), 10)
    await until(async () => (await replica.admin.dbsize()) === 1)
    const archive = archiveOf(access)
    await put(archive, 'of before', bytes('body'))
    await until(async () => (await replica.admin.dbsize()) === 2)
    await master.kill()
    await until(async () => (await replica.admin.info('replication')).includes('role:master'))
    await until(() =>
      limiter.take('ben').then(
        () => true,
        () => false,
      ),
    )
    assert.equal(String(found(await archive.find(keyOf('of before'))).whole), 'body')
    await archiveWorks(archive)
    assert.equal(await passed(limiter, 'ann', 1), 0, 'what the replica had heard still counts')
  })
})
