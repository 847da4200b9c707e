/** The archive in a Redis that answers otherwise than it should: what was put is found, missing, or not asked for. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { after, describe, it } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { ArchiveError, type ResponseArchive, WHOLE_BYTES } from '../../../src/cache/response-archive.ts'
import { ContentStore } from '../../../src/policy/contents.ts'
import type { RedisLocation } from '../../../src/snapshot/redis-location.ts'
import { RecordArchive } from '../../../src/store/archive/record-archive.ts'
import { RedisAccess } from '../../../src/store/redis/redis-access.ts'
import { MAX_REDIS_BODY, NO_MEMORY, RedisRecords } from '../../../src/store/redis/redis-records.ts'
import { systemTimers } from '../../../src/thread/system-timers.ts'
import { NO_REDIS, RedisServer, type RedisServerOptions } from '../../lib/redis-server.ts'
import { bytes, HOUR, keyOf, readAll, sourceOf } from '../../suite/response-archive.ts'

/** Long enough for a machine that is busy. */
const DEADLINE = 1_000
const MASTER = new Uint8Array(32)

const closing: (() => unknown)[] = []
after(() => Promise.all(closing.map((close) => close())))

async function serverOf(options?: RedisServerOptions): Promise<RedisServer> {
  const server = await RedisServer.start(options)
  closing.push(() => server.stop())
  return server
}

interface Place {
  readonly archive: ResponseArchive
  readonly said: string[]
  /** What an answer is, in a word. */
  outcome(key: string): Promise<string>
  put(key: string, body: Uint8Array): Promise<string>
}

/** As a worker has it, with two connections. */
function placeOf(settings: Pick<RedisLocation, 'mode' | 'addresses'>): Place {
  const said: string[] = []
  const access = (): RedisAccess => {
    const edges = {
      contents: new ContentStore(),
      time: systemTimers,
      random: Math.random,
      report: (_level: string, message: string) => void said.push(message),
    }
    const redis = new RedisAccess({ deadline: DEADLINE, inFlight: 256, ofCommand: [NO_MEMORY, 'TRYAGAIN'] }, edges)
    closing.push(() => redis.stop())
    redis.use({ keyPrefix: 'hg', ...settings })
    return redis
  }
  const archive = new RecordArchive({
    name: 'Redis',
    records: new RedisRecords({
      lookups: access(),
      bulk: access(),
      time: systemTimers,
      randomBytes,
      full: () => void said.push('full'),
    }),
    master: () => MASTER,
    time: systemTimers,
    randomBytes,
    deadline: DEADLINE,
    maxBodyBytes: MAX_REDIS_BODY,
    maxPutBytes: 1e9,
  })
  return {
    archive,
    said,
    async outcome(key) {
      const answer = await archive.find(keyOf(key))
      if (answer.type !== 'found') return answer.type === 'away' ? answer.reason : 'none'
      return String(await readAll(answer).catch((error) => error)).slice(0, 100)
    },
    async put(key, body) {
      const answer = await archive.find(keyOf(key))
      if (answer.type === 'away') return answer.reason
      return await archive.put(answer.ticket, { head: bytes('head'), ttl: HOUR }, sourceOf(body))
    },
  }
}

async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  for (const end = performance.now() + 30_000; !(await holds()); await pause(10))
    if (performance.now() > end) throw new Error('it did not happen within 30 s')
}

const putUntil = (place: Place, key: string, body: Uint8Array): Promise<void> =>
  until(async () => (await place.put(key, body)) === 'put')

describe('a Redis that answers otherwise than it should', { skip: NO_REDIS, concurrency: 3 }, () => {
  it('moves slots to another node under load: each key is found, or missing for a while', {
    timeout: 60_000,
  }, async () => {
    const nodes = await Promise.all([1, 2].map(() => serverOf({ cluster: true })))
    const [from, to] = nodes as [RedisServer, RedisServer]
    await from.admin.call('CLUSTER', 'ADDSLOTSRANGE', '0', '8191')
    await to.admin.call('CLUSTER', 'ADDSLOTSRANGE', '8192', '16383')
    await from.admin.call('CLUSTER', 'SET-CONFIG-EPOCH', '1')
    await to.admin.call('CLUSTER', 'SET-CONFIG-EPOCH', '2')
    await from.admin.call('CLUSTER', 'MEET', to.host, String(to.port))
    for (const node of nodes)
      await until(async () => String(await node.admin.call('CLUSTER', 'INFO')).includes('cluster_state:ok'))
    const place = placeOf({ mode: 'Cluster', addresses: [from.address] })
    const keys = Array.from({ length: 24 }, (_, i) => `key ${i}`)
    for (const key of keys) await putUntil(place, key, bytes(`${key} as it was put`))
    const ids = await Promise.all(nodes.map(async (node) => String(await node.admin.call('CLUSTER', 'MYID'))))
    let over = false
    const seen = new Map<string, number>()
    const lanes = keys.map(async (key) => {
      while (!over) {
        const outcome = await place.outcome(key)
        const kind = outcome === `${key} as it was put` ? 'right' : outcome
        seen.set(kind, (seen.get(kind) ?? 0) + 1)
        await pause(5)
      }
    })
    const names = await from.admin.keys('*')
    const slots = new Set<number>()
    for (const name of names) slots.add(Number(await from.admin.call('CLUSTER', 'KEYSLOT', name)))
    for (const slot of slots) {
      await to.admin.call('CLUSTER', 'SETSLOT', String(slot), 'IMPORTING', ids[0]!)
      await from.admin.call('CLUSTER', 'SETSLOT', String(slot), 'MIGRATING', ids[1]!)
      const there = (await from.admin.call('CLUSTER', 'GETKEYSINSLOT', String(slot), '100')) as string[]
      await pause(20)
      if (there.length > 0)
        await from.admin.call('MIGRATE', to.host, String(to.port), '', '0', '5000', 'KEYS', ...there)
      for (const node of [to, from]) await node.admin.call('CLUSTER', 'SETSLOT', String(slot), 'NODE', ids[1]!)
    }
    over = true
    await Promise.all(lanes)
    assert.ok((seen.get('right') ?? 0) > 0)
    for (const kind of seen.keys())
      assert.ok(['right', 'none', 'away', 'broken', 'timeout', 'full'].includes(kind), `${kind}: ${seen.get(kind)}`)
    assert.equal(await from.admin.dbsize(), 0)
    for (const key of keys) await until(async () => (await place.outcome(key)) === `${key} as it was put`)
    for (const key of keys) await putUntil(place, key, bytes('again'))
  })

  it('loads its data: it is not asked, and asked again when it has', { timeout: 60_000 }, async () => {
    const server = await serverOf({ lines: ['key-load-delay 30000', 'enable-debug-command yes'] })
    const place = placeOf({ mode: 'Single', addresses: [server.address] })
    await putUntil(place, 'a', bytes('a'))
    for (let i = 0; i < 100; i++) await server.admin.set(`other ${i}`, 'x')
    const reloading = server.admin.call('DEBUG', 'RELOAD')
    const outcomes = new Set<string>()
    let loaded = false
    void reloading.then(() => (loaded = true))
    while (!loaded) {
      outcomes.add(await place.outcome('a'))
      await pause(5)
    }
    assert.ok(outcomes.has('away') || outcomes.has('broken') || outcomes.has('timeout'), [...outcomes].join())
    for (const outcome of outcomes) assert.ok(['a', 'away', 'broken', 'timeout'].includes(outcome), outcome)
    await until(async () => (await place.outcome('a')) === 'a')
  })

  it('becomes a replica: nothing is put there, and what it has is right', { timeout: 60_000 }, async () => {
    const other = await serverOf()
    const server = await serverOf()
    const place = placeOf({ mode: 'Single', addresses: [server.address, other.address] })
    await putUntil(place, 'a', bytes('a'))
    await server.admin.call('REPLICAOF', other.host, String(other.port))
    await until(async () => (await server.admin.info('replication')).includes('master_link_status:up'))
    // Puts go to the one that is a master.
    await putUntil(place, 'b', bytes('b'))
    await until(async () => (await place.outcome('b')) === 'b')
    assert.ok((await other.admin.dbsize()) > 0)
  })

  it('lets the user do less: it is not asked, and the log says why', { timeout: 60_000 }, async () => {
    const server = await serverOf()
    const place = placeOf({ mode: 'Single', addresses: [server.address] })
    await putUntil(place, 'a', bytes('a'))
    await server.admin.call('ACL', 'SETUSER', 'admin', 'on', 'nopass', '~*', '+@all')
    await server.admin.call('AUTH', 'admin', 'any')
    await server.admin.call('ACL', 'SETUSER', 'default', '-evalsha', '-eval')
    await until(async () => (await place.outcome('a')) === 'away')
    await until(() => place.said.some((line) => line.includes('NOPERM')))
    await server.admin.call('ACL', 'SETUSER', 'default', '+evalsha', '+eval')
    await until(async () => (await place.outcome('a')) === 'a')
  })

  it('is out of memory: what it has is found, long bodies are read, and nothing is put', {
    timeout: 60_000,
  }, async () => {
    const server = await serverOf()
    const place = placeOf({ mode: 'Single', addresses: [server.address] })
    const body = Buffer.alloc(20 * WHOLE_BYTES, 'long body ')
    await putUntil(place, 'long', body)
    await putUntil(place, 'a', bytes('a'))
    await server.admin.config('SET', 'maxmemory', '1')
    let over = false
    const outcomes = new Set<string>()
    const putting = Array.from({ length: 4 }, async (_, i) => {
      while (!over) {
        outcomes.add(await place.put(`new ${i}`, bytes('new')))
        await pause(1)
      }
    })
    for (let i = 0; i < 20; i++) {
      const answer = await place.archive.find(keyOf('long'))
      if (answer.type !== 'found') assert.fail(`it is ${answer.type}, ${place.said.join('\n')}`)
      const began = performance.now()
      assert.ok((await readAll(answer)).equals(body))
      assert.ok(performance.now() - began < 5_000)
      assert.equal(await place.outcome('a'), 'a')
    }
    over = true
    await Promise.all(putting)
    assert.ok(outcomes.has('refused') && !outcomes.has('put') && !outcomes.has('away'), [...outcomes].join())
    assert.deepEqual(
      place.said.filter((line) => line.includes('cannot be asked')),
      [],
    )
    assert.equal(place.said.filter((line) => line === 'full').length, 1)
    await server.admin.config('SET', 'maxmemory', '0')
    await putUntil(place, 'new 1', bytes('new'))
  })

  it('evicts some pieces of a body: it is missing as a whole, before its first byte', { timeout: 60_000 }, async () => {
    const server = await serverOf()
    const place = placeOf({ mode: 'Single', addresses: [server.address] })
    const body = randomBytes(4 * WHOLE_BYTES)
    for (let round = 0; round < 3; round++) {
      // Without the pieces of the one before.
      await server.admin.flushall()
      await putUntil(place, 'long', body)
      const pieces = (await server.admin.keys('*:p:*')).toSorted()
      await server.admin.del(pieces[round]!)
      await until(async () => (await place.outcome('long')) === 'none')
    }
    // While it is read, a piece that goes ends it.
    await putUntil(place, 'long', body)
    const answer = await place.archive.find(keyOf('long'))
    assert.equal(answer.type, 'found')
    if (answer.type !== 'found') return
    const reader = answer.read(0, body.length)
    await reader.next()
    for (const name of await server.admin.keys('*:p:*:3')) await server.admin.del(name)
    await assert.rejects(async () => {
      while ((await reader.next()) !== null);
    }, ArchiveError)
  })

  it('evicts all the time: what is found is right', { timeout: 60_000 }, async () => {
    const server = await serverOf({ lines: ['maxmemory 8mb', 'maxmemory-policy allkeys-lru'] })
    const place = placeOf({ mode: 'Single', addresses: [server.address] })
    let whole = 0
    let gone = 0
    await until(async () => (await place.outcome('nothing')) === 'none')
    for (let i = 0; i < 150; i++) {
      const key = `body ${Math.floor(Math.random() ** 2 * 16)}`
      const body = Buffer.alloc(4 * WHOLE_BYTES + i, `${key} as it is `)
      const answer = await place.archive.find(keyOf(key))
      if (answer.type === 'away') continue
      if (answer.type === 'none') {
        await place.archive.put(answer.ticket, { head: bytes(String(body.length)), ttl: HOUR }, sourceOf(body))
        continue
      }
      const read = await readAll(answer).catch((error) => error)
      if (read instanceof ArchiveError) gone++
      else {
        assert.ok(read.equals(Buffer.alloc(Number(Buffer.from(answer.head)), `${key} as it is `)))
        whole++
      }
    }
    assert.ok(whole > 0, `${whole} whole, ${gone} ended early`)
    assert.ok(Number(/evicted_keys:(\d+)/.exec(await server.admin.info('stats'))?.[1]) > 0, 'some were evicted')
  })
})
