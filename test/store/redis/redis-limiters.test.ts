import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { after, before, describe, it } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import type { RemoteLimiter } from '../../../src/limit/remote-limiter.ts'
import { ContentStore } from '../../../src/policy/contents.ts'
import { RedisAccess } from '../../../src/store/redis/redis-access.ts'
import { RedisLimiters } from '../../../src/store/redis/redis-limiters.ts'
import { systemTimers } from '../../../src/thread/system-timers.ts'
import { NO_REDIS, RedisServer } from '../../lib/redis-server.ts'

/** Wide: this is about what is counted, and a machine under test may be slow. */
const BOUNDS = { deadline: 10_000, inFlight: 1_024 }
const DAY = 86_400_000
const PAGE = new URL('../../../docs/rate-limits.md', import.meta.url)

describe('calls for limits', () => {
  it('leave room to other namespaces, whatever one of them asks for', async () => {
    const pending: ((reply: unknown) => void)[] = []
    const redis = {
      run: () => new Promise<unknown>((resolve) => pending.push(resolve)),
      get free() {
        return 64 - pending.length
      },
    }
    const limiters = new RedisLimiters(redis)
    const rate = { requests: 1, per: DAY, burst: 1 }
    const asked = (owner: string): number => {
      const before = pending.length
      const limiter = limiters.open({ owner, name: 'a' }, rate)
      // What finds no room is refused; what waits is not awaited.
      for (let i = 0; i < 100; i++) limiter.take('a').catch(() => {})
      return pending.length - before
    }
    assert.deepEqual([asked('noisy'), asked('noisy'), asked('calm'), asked('third')], [32, 0, 16, 8])
    for (const answer of pending.splice(0)) answer([1, 1, 0, 1])
    await pause(0)
    assert.equal(asked('noisy'), 32, 'what was answered takes no room')
  })
})

describe('limits in Redis', { skip: NO_REDIS }, () => {
  let server: RedisServer
  const replicas: RedisAccess[] = []

  before(async () => {
    server = await RedisServer.start()
    for (let i = 0; i < 3; i++) replicas.push(await replica())
  })
  after(async () => {
    for (const one of replicas) one.stop()
    await server.stop()
  })

  async function replica(): Promise<RedisAccess> {
    const ready = Promise.withResolvers<void>()
    const access = new RedisAccess(BOUNDS, {
      contents: new ContentStore(),
      time: systemTimers,
      random: () => 0,
      report: () => ready.resolve(),
    })
    access.use({ mode: 'Single', addresses: [server.address], keyPrefix: 'hg' })
    await ready.promise
    return access
  }

  const scope = { owner: 'shop', name: 'shop/web\nper-client' }
  const open = (rate: Parameters<RedisLimiters['open']>[1], name = scope.name): RemoteLimiter[] =>
    replicas.map((access) => new RedisLimiters(access).open({ owner: 'shop', name }, rate))

  it('are exact over replicas that ask at once', async () => {
    for (const [name, rate] of [
      ['rate', { requests: 100, per: DAY, burst: 100 }],
      ['quota', { quota: 100, per: DAY }],
    ] as const) {
      const limiters = open(rate, name)
      let allowed = 0
      for (let round = 0; round < 10; round++) {
        // No more than may be in flight after a start, at each of them.
        const takes = limiters.flatMap((limiter) => Array.from({ length: 16 }, () => limiter.take('a')))
        for (const admission of await Promise.all(takes)) if (admission.allowed) allowed++
      }
      assert.equal(allowed, 100, name)
      const [limiter] = limiters
      const refused = await limiter!.take('a')
      assert.equal(refused.remaining, 0)
      assert.ok(refused.retryAfter > 0 && refused.retryAfter <= DAY, `${refused.retryAfter}`)
      // A script that the server does not know yet takes a second step, behind which another call may come.
      limiter!.giveBack('unknown')
      await limiter!.take('c')
      limiter!.giveBack('a')
      assert.deepEqual([(await limiter!.take('a')).allowed, (await limiter!.take('a')).allowed], [true, false], name)
      assert.equal((await limiter!.take('b')).remaining, 99)
    }
  })

  it('say when it may come again, and it may', async () => {
    const [limiter] = open({ requests: 10, per: 1_000, burst: 2 }, 'soon')
    assert.deepEqual((await limiter!.take('a')).remaining, 1)
    await limiter!.take('a')
    let refused = await limiter!.take('a')
    // On a slow machine the first may be there again by now.
    for (let i = 0; i < 100 && refused.allowed; i++) refused = await limiter!.take('a')
    assert.ok(refused.retryAfter > 0 && refused.retryAfter <= 100, `${refused.retryAfter}`)
    // By the clock of Redis, which counts microseconds.
    await pause(refused.retryAfter + 2)
    assert.equal((await limiter!.take('a')).allowed, true)
  })

  it('go on at another rate with what was counted, and hold nobody to the one before', async () => {
    const [slow] = open({ requests: 1, per: DAY, burst: 2 }, 'edited')
    await slow!.take('a')
    await slow!.take('a')
    const [fast] = open({ requests: 1_000, per: 60_000, burst: 2 }, 'edited')
    const refused = await fast!.take('a')
    if (!refused.allowed) assert.ok(refused.retryAfter <= 120, `${refused.retryAfter}`)
    const [long] = open({ quota: 1, per: 30 * DAY }, 'shortened')
    await long!.take('a')
    const [short] = open({ quota: 1, per: DAY }, 'shortened')
    assert.equal((await short!.take('a')).allowed, true)
  })

  it('count anew where a rate becomes a quota, and the other way round', async () => {
    const [rate] = open({ requests: 10, per: DAY, burst: 10 }, 'kind')
    await rate!.take('a')
    const [quota] = open({ quota: 1_000, per: 30 * DAY }, 'kind')
    const first = await quota!.take('a')
    assert.deepEqual([first.allowed, first.remaining], [true, 999])
    quota!.giveBack('a')
    assert.equal((await quota!.take('a')).remaining, 999)
    assert.equal((await rate!.take('a')).remaining, 8)
  })

  it('leave nothing of a client in Redis, and nothing that does not end', async () => {
    const [limiter] = open({ requests: 1, per: DAY, burst: 1 }, 'secret')
    await limiter!.take('header:x-key\nopen-sesame')
    const keys = await server.admin.keys('*')
    assert.ok(keys.length > 5)
    for (const key of keys) {
      assert.match(key, /^hg:limit:[\w-]{43}$/)
      // -1: it stays for ever; -2: it is gone already.
      assert.notEqual(await server.admin.pttl(key), -1, key)
    }
  })

  it('need no more rights than the page names', async () => {
    const [, rights = ''] = /needs `([^`]*)`/.exec(readFileSync(PAGE, 'utf8').replace(/\n/g, ' ')) ?? []
    assert.match(rights, /^(\+[a-z]+ ?){5,}$/)
    await server.admin.call('ACL', 'SETUSER', 'gate', 'on', '>sesame', '~hg:*', ...rights.split(' '))
    const contents = new ContentStore()
    const id = (key: string): string => `Secret a/redis ${key} t`
    contents.apply([
      { id: id('username'), bytes: Buffer.from('gate') },
      { id: id('password'), bytes: Buffer.from('sesame') },
    ])
    const ready = Promise.withResolvers<string>()
    const report = (_: string, message: string): void => ready.resolve(message)
    const access = new RedisAccess(BOUNDS, { contents, time: systemTimers, random: () => 0, report })
    replicas.push(access)
    const [sentinelUsername, sentinelPassword] = [id('sentinel-username'), id('sentinel-password')]
    const secret = { username: id('username'), password: id('password'), sentinelUsername, sentinelPassword }
    access.use({ mode: 'Single', addresses: [server.address], keyPrefix: 'hg', secret })
    assert.match(await ready.promise, /Redis answers/)
    for (const rate of [
      { requests: 1, per: DAY, burst: 1 },
      { quota: 1, per: DAY },
    ]) {
      const limiter = new RedisLimiters(access).open({ owner: 'shop', name: JSON.stringify(rate) }, rate)
      assert.equal((await limiter.take('a')).allowed, true)
      limiter.giveBack('unknown')
      await limiter.take('b')
      limiter.giveBack('a')
      assert.deepEqual([(await limiter.take('a')).allowed, (await limiter.take('a')).allowed], [true, false])
    }
  })

  it('take a value that somebody else wrote for an answer that does not come', async () => {
    const [limiter] = open({ requests: 1, per: DAY, burst: 1 }, 'broken')
    await limiter!.take('a')
    for (const key of await server.admin.keys('*')) await server.admin.set(key, 'text', 'PX', 60_000)
    await assert.rejects(limiter!.take('a'), { kind: 'refused' })
  })

  it('count anew over what somebody else left there for ever, where it can be no count of theirs', async () => {
    await server.admin.flushall()
    const [limiter] = open({ quota: 2, per: DAY }, 'foreign')
    await limiter!.take('a')
    const [key] = await server.admin.keys('*')
    await server.admin.multi().del(key!).rpush(key!, 'a').exec()
    assert.deepEqual(
      [await limiter!.take('a'), await limiter!.take('a')].map(({ remaining }) => remaining),
      [1, 0],
    )
  })

  for (const [what, write] of [
    ['text', (key: string) => server.admin.set(key, 'text', 'PX', DAY)],
    ['no number', (key: string) => server.admin.set(key, 'nan', 'PX', DAY)],
    ['half a request', (key: string) => server.admin.set(key, '0.5', 'PX', DAY)],
    ['a number of another form', (key: string) => server.admin.set(key, '1e0', 'PX', DAY)],
    ['a number beyond all', (key: string) => server.admin.set(key, '9'.repeat(30), 'PX', DAY)],
    ['a list', (key: string) => server.admin.multi().del(key).rpush(key, 'a').pexpire(key, DAY).exec()],
  ] as const)
    for (const rate of [
      { requests: 1, per: DAY, burst: 1 },
      { quota: 9, per: DAY },
    ])
      it(`fail alone where somebody else wrote ${what} to a ${'quota' in rate ? 'quota' : 'rate'}`, async () => {
        await server.admin.flushall()
        const [limiter] = open(rate, 'foreign')
        await limiter!.take('a')
        const [key] = await server.admin.keys('*')
        await write(key!)
        const isNumber = /a number|half/.test(what) && !('quota' in rate)
        for (let i = 0; i < 12; i++) {
          const answer = limiter!.take('a')
          if (isNumber) assert.equal(typeof (await answer).allowed, 'boolean')
          else await assert.rejects(answer, { kind: 'refused' })
          limiter!.giveBack('a')
        }
        assert.equal((await limiter!.take('b')).allowed, true)
      })
})
