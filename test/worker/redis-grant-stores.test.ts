import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import type { GrantRequest } from '../../src/auth/grant-store.ts'
import { contentId } from '../../src/policy/contents.ts'
import type { WorkerSettings } from '../../src/thread/messages.ts'
import { systemTimers } from '../../src/thread/system-timers.ts'
import { WorkerGrantStores } from '../../src/worker/grant-stores.ts'
import { eventually } from '../feature/harness.ts'
import { NO_REDIS, RedisServer } from '../lib/redis-server.ts'
import { DAY, GRANT, newFamily, OWNER } from '../suite/grant-store.ts'

const PASSWORD = contentId({
  kind: 'Secret',
  namespace: 'infra',
  name: 'redis',
  key: 'password',
  type: 'headgate.dev/redis',
})

describe('the stores of a worker', { skip: NO_REDIS }, () => {
  let server: RedisServer
  const open: WorkerGrantStores[] = []
  before(async () => {
    server = await RedisServer.start({ password: 'pass-one' })
  })
  after(async () => {
    for (const stores of open) stores.use({ grantStore: null, redis: null })
    await server.stop()
  })

  function worker(grantStore: WorkerSettings['grantStore'], named = true) {
    const asked: GrantRequest[] = []
    const problems: string[] = []
    const contents = new Map<string, Uint8Array>([[PASSWORD, Buffer.from('pass-one')]])
    const stores = new WorkerGrantStores({
      ...{ clock: systemTimers, random: Math.random, contents: { get: (id) => contents.get(id) } },
      ask: (_id, request) => asked.push(request),
      problem: (message) => problems.push(message),
      recovered: (message) => problems.push(`recovered: ${message}`),
    })
    open.push(stores)
    const secret = { username: 'u', password: PASSWORD, sentinelUsername: 'a', sentinelPassword: 'b' }
    const redis = { mode: 'Single', addresses: [server.address], keyPrefix: 'hg', secret } as const
    const settings = { grantStore, redis: named ? redis : null }
    stores.use(settings)
    return { stores, asked, problems, contents, settings }
  }

  /** The connection is made by the first call. */
  async function until<T>(call: () => Promise<T>): Promise<T> {
    for (;;)
      try {
        return await call()
      } catch (error) {
        assert.equal((error as Error).name, 'GrantStoreFailure')
        await new Promise((resolve) => setTimeout(resolve, 20))
      }
  }

  it('are that of control and Redis, by name or as the installation has it', async () => {
    const { stores, asked } = worker('Embedded')
    const calls = [undefined, 'Embedded' as const].map((name) => stores.store(name)!.find(OWNER, 'f'))
    assert.equal(asked.length, 2)
    stores.forget()
    for (const call of calls) await assert.rejects(call, { name: 'GrantStoreFailure' })
    const family = newFamily()
    await until(() => stores.store('Redis')!.begin(OWNER, family, GRANT, 'one', DAY))
    const other = worker('Redis')
    assert.deepEqual((await until(() => other.stores.store(undefined)!.find(OWNER, family)))?.grant, GRANT)
    assert.equal(worker('Redis', false).stores.store(undefined), undefined)
    assert.equal(worker(null, false).stores.store(undefined), undefined)
    assert.equal(worker(null, false).stores.store('Redis'), undefined)
  })

  it('say that Redis is away, and that it is back', async () => {
    const own = await RedisServer.start()
    try {
      const { stores, problems } = worker('Redis')
      stores.use({ grantStore: 'Redis', redis: { mode: 'Single', addresses: [own.address], keyPrefix: 'hg' } })
      await until(() => stores.store(undefined)!.find(OWNER, 'f'))
      const before = problems.length
      await own.kill()
      await eventually(() =>
        assert.match(problems.slice(before).join(), /^the store of token issuers: redis .* cannot/),
      )
      await own.run()
      await eventually(() =>
        assert.match(problems.at(-1) ?? '', /^recovered: the store of token issuers: redis \S+ Redis answers$/),
      )
    } finally {
      await own.stop()
    }
  })

  it('fail while the password is not there, and work once it is', async () => {
    const { stores, contents, problems } = worker('Redis')
    contents.delete(PASSWORD)
    await assert.rejects(stores.store(undefined)!.find(OWNER, 'f'), { name: 'GrantStoreFailure' })
    assert.match(problems.join(), /waits for Secret infra\/redis/)
    contents.set(PASSWORD, Buffer.from('pass-one'))
    stores.contentsChanged()
    assert.equal(await until(() => stores.store(undefined)!.find(OWNER, 'f')), undefined)
    assert.ok(!problems.join().includes('pass-one'))
  })
})
