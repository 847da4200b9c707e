/** The archive in a Redis that answers otherwise than it should: what was put is found, missing, or not asked for. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { describe, it } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { ArchiveError, WHOLE_BYTES } from '../../../src/cache/response-archive.ts'
import type { RedisLocation } from '../../../src/snapshot/redis-location.ts'
import { suiteScope } from '../../feature/harness.ts'
import { NO_REDIS, RedisServer, type RedisServerOptions } from '../../lib/redis-server.ts'
import { cluster, follows, until } from '../../lib/redis-topology.ts'
import { bytes, HOUR, keyOf, readAll, sourceOf } from '../../suite/response-archive.ts'
import { RedisPlace } from './redis-place.ts'

const scope = suiteScope()
const serverOf = (options?: RedisServerOptions): Promise<RedisServer> => RedisServer.of(scope, options)
const placeOf = (location: Pick<RedisLocation, 'mode' | 'addresses'>): RedisPlace => new RedisPlace(scope, location)

describe('a Redis that answers otherwise than it should', { skip: NO_REDIS, concurrency: 3 }, () => {
  it('moves slots to another node under load: each key is found, or missing for a while', {
    timeout: 60_000,
  }, async () => {
    const nodes = await cluster(scope, 2)
    const [from, to] = nodes as [RedisServer, RedisServer]
    const place = placeOf({ mode: 'Cluster', addresses: [from.address] })
    const keys = Array.from({ length: 24 }, (_, i) => `key ${i}`)
    for (const key of keys) await place.putUntil(key, bytes(`${key} as it was put`))
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
    for (const key of keys) await place.findUntil(key, `${key} as it was put`)
    for (const key of keys) await place.putUntil(key, bytes('again'))
  })

  it('loads its data: it is not asked, and asked again when it has', { timeout: 60_000 }, async () => {
    const server = await serverOf({ lines: ['key-load-delay 30000', 'enable-debug-command yes'] })
    const place = placeOf({ mode: 'Single', addresses: [server.address] })
    await place.putUntil('a', bytes('a'))
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
    await place.findUntil('a', 'a')
  })

  it('becomes a replica: nothing is put there, and what it has is right', { timeout: 60_000 }, async () => {
    const other = await serverOf()
    const server = await serverOf()
    const place = placeOf({ mode: 'Single', addresses: [server.address, other.address] })
    await place.putUntil('a', bytes('a'))
    await server.admin.call('REPLICAOF', other.host, String(other.port))
    await follows(server)
    // Puts go to the one that is a master.
    await place.putUntil('b', bytes('b'))
    await place.findUntil('b', 'b')
    assert.ok((await other.admin.dbsize()) > 0)
  })

  it('lets the user do less: it is not asked, and the log says why', { timeout: 60_000 }, async () => {
    const server = await serverOf()
    const place = placeOf({ mode: 'Single', addresses: [server.address] })
    await place.putUntil('a', bytes('a'))
    await server.admin.call('ACL', 'SETUSER', 'admin', 'on', 'nopass', '~*', '+@all')
    await server.admin.call('AUTH', 'admin', 'any')
    await server.admin.call('ACL', 'SETUSER', 'default', '-evalsha', '-eval')
    await until(async () => (await place.outcome('a')) === 'away')
    await until(() => place.said.some((line) => line.includes('NOPERM')))
    await server.admin.call('ACL', 'SETUSER', 'default', '+evalsha', '+eval')
    await place.findUntil('a', 'a')
  })

  it('is out of memory: what it has is found, long bodies are read, and nothing is put', {
    timeout: 60_000,
  }, async () => {
    const server = await serverOf()
    const place = placeOf({ mode: 'Single', addresses: [server.address] })
    const body = Buffer.alloc(20 * WHOLE_BYTES, 'long body ')
    await place.putUntil('long', body)
    await place.putUntil('a', bytes('a'))
    await server.admin.config('SET', 'maxmemory', '1')
    let over = false
    const outcomes = new Set<string>()
    const putting = Array.from({ length: 4 }, async (_, i) => {
      while (!over) {
        outcomes.add(await place.put(`new ${i}`, bytes('new')))
        await pause(1)
      }
    })
    try {
      for (let i = 0; i < 20; i++) {
        const answer = await place.archive.find(keyOf('long'))
        if (answer.type !== 'found') assert.fail(`${JSON.stringify(answer)}, ${place.said.join('\n')}`)
        const began = performance.now()
        assert.ok((await readAll(answer)).equals(body))
        assert.ok(performance.now() - began < 5_000)
        assert.equal(await place.outcome('a'), 'a')
      }
    } finally {
      over = true
      await Promise.all(putting)
    }
    assert.ok(outcomes.has('refused') && !outcomes.has('put') && !outcomes.has('away'), [...outcomes].join())
    assert.deepEqual(
      place.said.filter((line) => line.includes('cannot be asked')),
      [],
    )
    assert.equal(place.said.filter((line) => line === 'full').length, 1)
    await server.admin.config('SET', 'maxmemory', '0')
    await place.putUntil('new 1', bytes('new'))
  })

  it('evicts some pieces of a body: it is missing as a whole, before its first byte', { timeout: 60_000 }, async () => {
    const server = await serverOf()
    const place = placeOf({ mode: 'Single', addresses: [server.address] })
    const body = randomBytes(4 * WHOLE_BYTES)
    for (let round = 0; round < 3; round++) {
      // Without the pieces of the one before.
      await server.admin.flushall()
      await place.putUntil('long', body)
      const pieces = (await server.admin.keys('*:p:*')).toSorted()
      await server.admin.del(pieces[round]!)
      await until(async () => (await place.outcome('long')) === 'none')
    }
    // While it is read, a piece that goes ends it.
    await place.putUntil('long', body)
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
