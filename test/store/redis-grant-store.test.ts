import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { RedisClient } from '../../src/store/redis/redis-client.ts'
import { RedisGrantStore, type ScriptRunner } from '../../src/store/redis-grant-store.ts'
import { systemTimers } from '../../src/thread/system-timers.ts'
import { NO_REDIS, RedisServer } from '../lib/redis-server.ts'
import { DAY, describeGrantStore, GRANT, newFamily, OWNER, rotation } from '../suite/grant-store.ts'

const BOUNDS = { deadline: 5_000, inFlight: 256 }
const PREFIX = 'hg:'

describe('the store of token issuers in Redis', { skip: NO_REDIS }, () => {
  let server: RedisServer
  const clients: RedisClient[] = []
  const runner = (): ScriptRunner => {
    const config = { mode: 'Single', endpoints: [{ host: server.host, port: server.port }] } as const
    const { promise, resolve } = Promise.withResolvers<void>()
    const client = new RedisClient(config, BOUNDS, {
      ...{ time: systemTimers, random: Math.random },
      changed: (state) => {
        if (state === 'answers') resolve()
      },
    })
    clients.push(client)
    return {
      async run(script, keys, args) {
        await promise
        return await client.run(
          script,
          keys.map((key) => PREFIX + key),
          args,
        )
      },
    }
  }
  let stores: readonly [RedisGrantStore, RedisGrantStore]

  before(async () => {
    server = await RedisServer.start()
    stores = [new RedisGrantStore(runner(), systemTimers), new RedisGrantStore(runner(), systemTimers)]
  })
  after(async () => {
    for (const client of clients) client.close()
    await server.stop()
  })

  describeGrantStore('that two replicas have', () => stores)

  it('has a place in line for a namespace, however many calls of others wait', async () => {
    const [store] = stores
    const find = (namespace: string): Promise<string> =>
      store.find({ ...OWNER, namespace }, 'f').then(
        () => 'answered',
        ({ message }: Error) => message,
      )
    assert.equal(await find('other'), 'answered')
    server.pause()
    try {
      const many = ['a', 'b', 'c', 'd', 'e'].flatMap((namespace) => Array.from({ length: 600 }, () => find(namespace)))
      const other = find('other')
      server.resume()
      assert.equal(await other, 'answered')
      assert.ok((await Promise.all(many)).includes('too many calls wait for Redis'))
    } finally {
      server.resume()
    }
  })

  it('has nothing that does not end by itself, and no token', async () => {
    const [store] = stores
    const family = newFamily()
    await store.begin(OWNER, family, GRANT, 'one', DAY)
    await store.mark(OWNER, family, 'c', DAY)
    for (const key of await server.admin.keys('*')) {
      const left = await server.admin.pttl(key)
      assert.ok(left > 0 && left <= DAY, `${key} ends in ${left} ms`)
      assert.match(key, /^hg:\{grants:[A-Za-z0-9_-]{22}\}:/)
    }
    await store.begin(OWNER, newFamily(), GRANT, 'one', 1)
    await store.mark(OWNER, 'short', 'c', 1)
    // By the clock of Redis.
    while (await store.isMarked(OWNER, 'short'));
    assert.equal(await store.mark(OWNER, 'short', 'c', DAY), 'first')
  })

  it('has bounds, which what has ended and what was revoked do not count for', async () => {
    const bounds = { families: { client: 2, namespace: 3, all: 9 }, marks: { client: 2, namespace: 3, all: 9 } }
    const store = new RedisGrantStore(runner(), systemTimers, bounds)
    const owner = { ...OWNER, namespace: 'few' }
    const [first, other] = [newFamily(), { ...GRANT, client: 'other' }]
    const begin = (family: string, grant = GRANT, life = DAY) => store.begin(owner, family, grant, 'one', life)
    const short = newFamily()
    assert.equal(await begin(short, GRANT, 1), true)
    while ((await store.find(owner, short)) !== undefined);
    assert.equal(await begin(first), true)
    assert.equal(await begin(newFamily()), true)
    assert.equal(await begin(newFamily()), false, 'of the client')
    assert.equal(await begin(newFamily(), other), true)
    assert.equal(await begin(newFamily(), other), false, 'of the namespace')
    await store.revoke(owner, first)
    assert.equal(await begin(newFamily()), true)
    const marks: string[] = []
    for (const [name, client] of [
      ...['a', 'b', 'c', 'a'].map((name) => [name, 'one']),
      ['a', 'x'],
      ['c', 'x'],
      ['d', 'x'],
    ])
      marks.push(await store.mark(owner, name!, client!, DAY))
    assert.deepEqual(marks, ['first', 'first', 'full', 'again', 'again', 'first', 'full'])
  })

  it('rotates for as long as a family is used, and lets it end otherwise', async () => {
    const [store] = stores
    const family = newFamily()
    await store.begin(OWNER, family, GRANT, 'one', 60_000)
    const before = (await store.find(OWNER, family))!.ends
    await store.rotate(OWNER, rotation(family, { life: DAY }))
    const after = (await store.find(OWNER, family))!.ends
    assert.ok(after - before > DAY - 120_000)
  })

  it('is not used where Redis drops keys to make room', async () => {
    await server.admin.config('SET', 'maxmemory', '100mb')
    await server.admin.config('SET', 'maxmemory-policy', 'allkeys-lru')
    try {
      const store = new RedisGrantStore(runner(), systemTimers)
      await assert.rejects(store.mark(OWNER, 'x', 'c', DAY), { name: 'GrantStoreFailure', message: /set noeviction/ })
    } finally {
      await server.admin.config('SET', 'maxmemory', '0')
      await server.admin.config('SET', 'maxmemory-policy', 'noeviction')
    }
    assert.equal(await new RedisGrantStore(runner(), systemTimers).mark(OWNER, 'x', 'c', DAY), 'first')
  })

  it('says that it cannot be asked, and never that something is not there', async () => {
    const [store] = stores
    const family = newFamily()
    await store.begin(OWNER, family, GRANT, 'one', DAY)
    await server.kill()
    await assert.rejects(store.find(OWNER, family), { name: 'GrantStoreFailure' })
    await assert.rejects(store.isMarked(OWNER, 'x'), { name: 'GrantStoreFailure' })
    await assert.rejects(store.rotate(OWNER, rotation(family, {})), { name: 'GrantStoreFailure' })
  })
})
