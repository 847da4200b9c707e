/** The archive in a Redis whose certificate, password or master is replaced while it is used. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, it } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { ContentStore } from '../../../src/policy/contents.ts'
import type { RedisLocation } from '../../../src/snapshot/redis-location.ts'
import { RecordArchive } from '../../../src/store/archive/record-archive.ts'
import { RedisAccess } from '../../../src/store/redis/redis-access.ts'
import { MAX_REDIS_BODY, RedisRecords } from '../../../src/store/redis/redis-records.ts'
import { systemTimers } from '../../../src/thread/system-timers.ts'
import { type Issued, TestAuthority } from '../../lib/certificates.ts'
import { NO_REDIS, RedisServer, type RedisServerOptions } from '../../lib/redis-server.ts'
import { bytes, HOUR, keyOf, readAll, sourceOf } from '../../suite/response-archive.ts'

const DEADLINE = 1_000
const MASTER = new Uint8Array(32)
const CA = 'Secret a/redis ca.crt t'
const PASSWORD = 'Secret a/redis password t'

const closing: (() => unknown)[] = []
after(() => Promise.all(closing.map((close) => close())))

async function serverOf(options?: RedisServerOptions): Promise<RedisServer> {
  const server = await RedisServer.start(options)
  closing.push(() => server.stop())
  return server
}

interface Place {
  readonly said: string[]
  /** A Secret changes. */
  content(id: string, text: string): void
  /** The body that is found, or what the answer is. */
  outcome(key: string): Promise<string>
  put(key: string, body: string): Promise<string>
}

function placeOf(location: Omit<RedisLocation, 'keyPrefix'>, secrets: Readonly<Record<string, string>> = {}): Place {
  const said: string[] = []
  const accesses: RedisAccess[] = []
  const contents = new ContentStore(() => {
    for (const access of accesses) access.contentsChanged()
  })
  const content = (id: string, text: string): void => void contents.apply([{ id, bytes: Buffer.from(text) }])
  for (const [id, text] of Object.entries(secrets)) content(id, text)
  for (let i = 0; i < 2; i++) {
    const report = (_level: string, message: string): void => void said.push(message)
    const edges = { contents, time: systemTimers, random: Math.random, report }
    const access = new RedisAccess({ deadline: DEADLINE, inFlight: 256 }, edges)
    closing.push(() => access.stop())
    access.use({ keyPrefix: 'hg', ...location })
    accesses.push(access)
  }
  const [lookups, bulk] = accesses as [RedisAccess, RedisAccess]
  const archive = new RecordArchive({
    name: 'Redis',
    records: new RedisRecords({ lookups, bulk, time: systemTimers, randomBytes }),
    master: () => MASTER,
    time: systemTimers,
    randomBytes,
    deadline: DEADLINE,
    maxBodyBytes: MAX_REDIS_BODY,
    maxPutBytes: 1e9,
  })
  return {
    said,
    content,
    async outcome(key) {
      const answer = await archive.find(keyOf(key))
      if (answer.type !== 'found') return answer.type === 'away' ? answer.reason : 'none'
      return String(await readAll(answer))
    },
    async put(key, body) {
      const answer = await archive.find(keyOf(key))
      if (answer.type === 'away') return answer.reason
      return await archive.put(answer.ticket, { head: bytes('head'), ttl: HOUR }, sourceOf(bytes(body)))
    },
  }
}

async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  for (const end = performance.now() + 30_000; !(await holds()); await pause(10))
    if (performance.now() > end) throw new Error('it did not happen within 30 s')
}

const putUntil = (place: Place, key: string): Promise<void> =>
  until(async () => (await place.put(key, `body of ${key}`)) === 'put')

const findUntil = (place: Place, key: string): Promise<void> =>
  until(async () => (await place.outcome(key)) === `body of ${key}`)

describe('a Redis that is replaced while it is used', { skip: NO_REDIS, concurrency: 3 }, () => {
  it('has another certificate: of the same authority it goes on, of another one once that is known', {
    timeout: 90_000,
  }, async () => {
    const [authority, other] = [new TestAuthority('redis'), new TestAuthority('other')]
    const issue = (by: TestAuthority): Issued => by.issue({ names: { ip: ['127.0.0.1'] } })
    const { cert, key } = issue(authority)
    const server = await serverOf({ tls: { cert, key, ca: authority.ca } })
    const place = placeOf({ mode: 'Single', addresses: [server.address], tls: { ca: CA } }, { [CA]: authority.ca })
    await putUntil(place, 'a')
    const folder = mkdtempSync(join(tmpdir(), 'headgate-redis-tls-'))
    closing.push(() => rmSync(folder, { recursive: true, force: true }))
    const replace = async ({ cert, key }: Issued): Promise<void> => {
      const files = [join(folder, 'cert.pem'), join(folder, 'key.pem')] as const
      writeFileSync(files[0], cert)
      writeFileSync(files[1], key)
      await server.admin.call('CONFIG', 'SET', 'tls-cert-file', files[0], 'tls-key-file', files[1])
      await server.admin.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes')
    }
    await replace(issue(authority))
    await findUntil(place, 'a')
    await replace(issue(other))
    await until(() => place.said.some((line) => /certificate|self-signed|issuer/.test(line)))
    assert.equal(await place.outcome('a'), 'away')
    place.content(CA, authority.ca + other.ca)
    await findUntil(place, 'a')
  })

  it('has another password: what is connected goes on, and what connects anew waits for the Secret', {
    timeout: 90_000,
  }, async () => {
    const server = await serverOf({ password: 'first' })
    const secret = { username: 'none', password: PASSWORD, sentinelUsername: 'none', sentinelPassword: 'none' }
    const place = placeOf({ mode: 'Single', addresses: [server.address], secret }, { [PASSWORD]: 'first' })
    await putUntil(place, 'a')
    await server.admin.config('SET', 'requirepass', 'second')
    assert.equal(await place.outcome('a'), 'body of a')
    await server.admin.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes')
    await until(() => place.said.some((line) => /WRONGPASS|NOAUTH/.test(line)))
    assert.equal(await place.outcome('a'), 'away')
    place.content(PASSWORD, 'second')
    await findUntil(place, 'a')
    assert.doesNotMatch(place.said.join(), /first|second/)
  })

  it('Sentinel: its master ends under load, and the replica goes on; nothing found is wrong', {
    timeout: 90_000,
  }, async () => {
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
    await until(async () => ((await sentinel.admin.call('SENTINEL', 'REPLICAS', 'hg')) as unknown[]).length === 1)
    const place = placeOf({ mode: 'Sentinel', addresses: [sentinel.address], masterName: 'hg' })
    await underLoad(place, async () => {
      await master.kill()
      await until(async () => (await replica.admin.info('replication')).includes('role:master'))
    })
  })

  it('Cluster: a master ends under load, and its replica takes its slots over; nothing found is wrong', {
    timeout: 90_000,
  }, async () => {
    const nodes = await Promise.all([1, 2, 3, 4].map(() => serverOf({ cluster: true })))
    const [first, second, third, replica] = nodes as [RedisServer, RedisServer, RedisServer, RedisServer]
    const slots = [0, 5_461, 10_923, 16_384]
    for (const [i, node] of [first, second, third].entries())
      await node.admin.call('CLUSTER', 'ADDSLOTSRANGE', String(slots[i]), String(slots[i + 1]! - 1))
    for (const [i, node] of nodes.entries()) {
      await node.admin.call('CLUSTER', 'SET-CONFIG-EPOCH', String(i + 1))
      if (node !== first) await first.admin.call('CLUSTER', 'MEET', node.host, String(node.port))
    }
    const info = async (node: RedisServer): Promise<string> => String(await node.admin.call('CLUSTER', 'INFO'))
    for (const node of nodes) await until(async () => (await info(node)).includes('cluster_known_nodes:4'))
    const id = String(await third.admin.call('CLUSTER', 'MYID'))
    await until(async () => {
      const replication = await replica.admin.info('replication')
      // Until it has heard of the other one.
      if (replication.includes('role:master')) await replica.admin.call('CLUSTER', 'REPLICATE', id).catch(() => {})
      return replication.includes('master_link_status:up')
    })
    for (const node of nodes) await until(async () => (await info(node)).includes('cluster_state:ok'))
    const place = placeOf({ mode: 'Cluster', addresses: [first.address, second.address] })
    await underLoad(place, async () => {
      await third.kill()
      await until(async () => (await replica.admin.info('replication')).includes('role:master'))
      await until(async () => (await info(first)).includes('cluster_state:ok'))
    })
  })
})

/** Pages are put and looked up all the time; afterwards all can be put and found. */
async function underLoad(place: Place, fault: () => Promise<void>): Promise<void> {
  const keys = Array.from({ length: 30 }, (_, i) => `page ${i}`)
  for (const key of keys) await putUntil(place, key)
  let over = false
  const seen = new Set<string>()
  const lanes = keys.map(async (key) => {
    while (!over) {
      const outcome = await place.outcome(key)
      seen.add(outcome === `body of ${key}` ? 'right' : outcome)
      if (outcome === 'none') await place.put(key, `body of ${key}`)
      await pause(5)
    }
  })
  await pause(100)
  await fault()
  over = true
  await Promise.all(lanes)
  assert.ok(seen.has('right'))
  for (const outcome of seen)
    assert.ok(['right', 'none', 'away', 'broken', 'timeout', 'full'].includes(outcome), outcome)
  for (const key of keys) {
    await until(async () => ['none', `body of ${key}`].includes(await place.outcome(key)))
    if ((await place.outcome(key)) === 'none') await putUntil(place, key)
    await findUntil(place, key)
  }
}
