/** What replicas share of sessions, on a real Redis, and without one. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { after, before, describe, it } from 'node:test'
import { SignOuts, signOutId } from '../../src/auth/sign-outs.ts'
import type { IssuedTokens, SignInFailure } from '../../src/policy/sign-ins.ts'
import { RedisClient } from '../../src/store/redis/redis-client.ts'
import { RedisSessions, type SharedScripts } from '../../src/store/redis-sessions.ts'
import { systemTimers } from '../../src/thread/system-timers.ts'
import { NO_REDIS, RedisServer } from '../lib/redis-server.ts'

const SEED = randomBytes(32)
const TOKENS: IssuedTokens = { idToken: 'an ID token', refreshToken: 'the next', issued: 1, expires: 2 }

function replica(scripts: SharedScripts): RedisSessions {
  return new RedisSessions({ scripts, time: systemTimers, random: randomBytes, seed: () => SEED })
}

describe('sessions that replicas share', { skip: NO_REDIS }, () => {
  let server: RedisServer
  const clients: RedisClient[] = []

  const connected = (): SharedScripts => {
    const config = { mode: 'Single', endpoints: [{ host: server.host, port: server.port }] } as const
    const { promise, resolve } = Promise.withResolvers<void>()
    const client = new RedisClient(
      config,
      { deadline: 5_000, inFlight: 1_024 },
      { time: systemTimers, random: Math.random, changed: (state) => void (state === 'answers' && resolve()) },
    )
    clients.push(client)
    return { configured: true, run: (...call) => promise.then(() => client.run(...call)) }
  }

  before(async () => {
    server = await RedisServer.start()
  })
  after(async () => {
    for (const client of clients) client.close()
    await server.stop()
  })

  it('are refreshed by one of them, and the others get what it has brought', async () => {
    const replicas = [replica(connected()), replica(connected()), replica(connected())]
    let calls = 0
    const { promise: answer, resolve } = Promise.withResolvers<IssuedTokens>()
    const refresh = (): Promise<IssuedTokens> => {
      calls++
      return answer
    }
    const all = Promise.all(
      Array.from({ length: 100 }, (_, i) => replicas[i % 3]!.refreshOnce('shop/oidc', 'a token', refresh)),
    )
    // Everybody has asked by then, and one waits for the provider.
    while (calls === 0) await new Promise(setImmediate)
    resolve(TOKENS)
    for (const outcome of await all) assert.deepEqual(outcome, TOKENS)
    assert.equal(calls, 1)
    assert.deepEqual(await replica(connected()).refreshOnce('shop/oidc', 'a token', refresh), TOKENS)
    assert.equal(calls, 1)
    await replicas[0]!.refreshOnce('shop/other', 'a token', refresh)
    await replicas[0]!.refreshOnce('shop/oidc', 'another', refresh)
    assert.equal(calls, 3)
    for (const key of await server.admin.keys('*')) {
      const text = `${key} ${await server.admin.get(key)}`
      for (const secret of ['a token', 'an ID token', 'the next']) assert.ok(!text.includes(secret))
      assert.ok((await server.admin.pttl(key)) > 0)
    }
  })

  it('are tried again by the next where the provider did not answer', async () => {
    const one = replica(connected())
    const silent: SignInFailure = { fault: 'unavailable', detail: 'it is down' }
    assert.equal(await one.refreshOnce('shop/oidc', 'b', () => Promise.resolve(silent)), silent)
    assert.equal(await replica(connected()).refreshOnce('shop/oidc', 'b', () => Promise.resolve(TOKENS)), TOKENS)
    const refused: SignInFailure = { fault: 'refused', detail: 'invalid_grant' }
    await one.refreshOnce('shop/oidc', 'c', () => Promise.resolve(refused))
    assert.deepEqual(await one.refreshOnce('shop/oidc', 'c', () => Promise.resolve(TOKENS)), refused)
  })

  it('are over at all of them, also at one that begins later, however many there are', async () => {
    const [one, two] = [replica(connected()), replica(connected())]
    const entry = (i: number) => ({ id: signOutId('sub', `user ${i}`), before: 100, until: Date.now() + 60_000 })
    await one.read()
    for (let i = 0; i < 1_200; i += 100)
      await two.tell(
        'shop',
        'shop/oidc',
        Array.from({ length: 100 }, (_, k) => entry(i + k)),
      )
    for (const reader of [one, replica(connected())]) {
      const list = new SignOuts()
      for (let more = true; more; ) {
        const page = await reader.read()
        for (const { owner, client, entry: told } of page.told) list.add(owner, client, told)
        more = page.more
      }
      for (let i = 0; i < 1_200; i++) assert.equal(list.isOver('shop/oidc', [signOutId('sub', `user ${i}`)], 100), true)
      assert.equal(list.isOver('shop/oidc', [signOutId('sub', 'somebody')], 100), false)
    }
  })
})

describe('sessions without a Redis', () => {
  it('are each replica its own, and nobody waits', async () => {
    for (const configured of [false, true]) {
      const alone = replica({ configured, run: () => Promise.reject(new Error('it is gone')) })
      let calls = 0
      const refresh = (): Promise<IssuedTokens> => {
        calls++
        return Promise.resolve(TOKENS)
      }
      assert.equal(await alone.refreshOnce('shop/oidc', 'a', refresh), TOKENS)
      await alone.tell('shop', 'shop/oidc', [])
      assert.equal(calls, 1)
    }
  })
})
