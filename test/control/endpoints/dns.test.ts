import assert from 'node:assert/strict'
import { createSocket } from 'node:dgram'
import { describe, it, type TestContext } from 'node:test'
import { NameResolver } from '../../../src/control/endpoints/dns.ts'
import { timeToLive } from '../../../src/control/endpoints/time-to-live.ts'
import { systemTimers } from '../../../src/thread/system-timers.ts'
import { VirtualTime } from '../../lib/virtual-time.ts'

interface Heard {
  readonly changed: string[]
  readonly health: [name: string, failure: string | undefined, kept: readonly string[]][]
}

/** A resolver over a zone that the test writes; asks every few milliseconds. */
function resolver(t: TestContext, zone: Map<string, readonly string[] | Error>) {
  const heard: Heard = { changed: [], health: [] }
  const waiting: { readonly holds: () => boolean; readonly resolve: () => void }[] = []
  const look = (): void => {
    for (const one of waiting) if (one.holds()) one.resolve()
  }
  let atOnce = 0
  let most = 0
  const names = new NameResolver({
    events: {
      changed(name) {
        heard.changed.push(name)
        look()
      },
      health(name, failure, kept) {
        heard.health.push([name, failure, kept])
        look()
      },
    },
    time: systemTimers,
    random: () => 0.5,
    interval: 5,
    lookup: async (name) => {
      most = Math.max(most, ++atOnce)
      await new Promise((resolve) => setImmediate(resolve))
      atOnce--
      const answer = zone.get(name) ?? new Error('ENOTFOUND')
      if (answer instanceof Error) throw answer
      return answer
    },
  })
  t.after(() => names.stop())
  const until = (holds: () => boolean): Promise<void> =>
    holds() ? Promise.resolve() : new Promise((resolve) => waiting.push({ holds, resolve }))
  return { names, heard, until, most: () => most }
}

// Its timers do not keep a process alive; a test that waits for them must.
const alive = (t: TestContext): void => {
  const timer = setInterval(() => {}, 1_000)
  t.after(() => clearInterval(timer))
}

describe('the TTL of a name', () => {
  const asksOf = async (ttl: number | undefined, pass: number, fails = false): Promise<number> => {
    const time = new VirtualTime()
    let asks = 0
    const names = new NameResolver({
      events: { changed: () => {}, health: () => {} },
      time: time.keeper(),
      random: () => 0.5,
      lookup: async () => {
        asks++
        if (fails && asks > 1) throw new Error('SERVFAIL')
        return ['10.0.0.1']
      },
      ttl: async () => ttl,
    })
    names.addresses('api.test', 'shop')
    await time.pass(pass)
    assert.deepEqual(names.addresses('api.test', 'shop'), ['10.0.0.1'])
    names.stop()
    return asks
  }

  it('says when it is looked up again, within bounds', async () => {
    assert.equal(await asksOf(30_000, 29_900), 1)
    assert.equal(await asksOf(30_000, 33_000), 2)
    assert.equal(await asksOf(0, 10_000), 10)
    assert.equal(await asksOf(86_400_000, 299_000), 1)
    assert.equal(await asksOf(86_400_000, 331_000), 2)
    assert.equal(await asksOf(undefined, 10_500), 3)
  })

  it('does not count while the name cannot be resolved: its addresses are kept, and it is asked for often', async () => {
    assert.equal(await asksOf(30_000, 31_600 + 10_500, true), 4)
  })

  it('is the shortest of its records, by the answers of a name server', async (t) => {
    const server = createSocket('udp4')
    t.after(() => server.close())
    server.on('message', (query, from) => server.send(dnsAnswer(query), from.port, from.address))
    await new Promise<void>((resolve) => server.bind(0, '127.0.0.1', resolve))
    const { port } = server.address()
    assert.equal(await timeToLive('api.test', [`127.0.0.1:${port}`]), 7_000)
    assert.equal(await timeToLive('none.test', [`127.0.0.1:${port}`]), undefined)
  })

  it('of a name with thousands of addresses: so many as a Backend may list are used, which is said once', async () => {
    const time = new VirtualTime()
    const said: string[] = []
    let count = 4_000
    const names = new NameResolver({
      events: { changed: () => {}, health: () => {}, excess: (_, message) => said.push(`${message}`) },
      time: time.keeper(),
      random: () => 0.5,
      lookup: async () => Array.from({ length: count }, (_, i) => `10.0.${i >> 8}.${i & 255}`),
    })
    names.addresses('many.test', 'shop')
    await time.pass(20_000)
    assert.equal(names.addresses('many.test', 'shop').length, 256)
    assert.deepEqual(said, ['many.test has 4000 addresses, of which the first 256 are used'])
    assert.equal(names.excess('many.test'), said[0])
    count = 3
    await time.pass(20_000)
    assert.equal(names.addresses('many.test', 'shop').length, 3)
    assert.deepEqual([names.excess('many.test'), said.slice(1)], [undefined, ['undefined']])
    names.stop()
  })
})

/** Two A records with TTLs of 60 and 7 seconds for `api.test`, NXDOMAIN for another name, none of other types. */
function dnsAnswer(query: Buffer): Buffer {
  let end = 12
  while (query[end] !== 0) end += query[end]! + 1
  const question = query.subarray(12, end + 5)
  const known = question.includes('api')
  const type = question.readUInt16BE(question.length - 4)
  const ttls = known && type === 1 ? [60, 7] : []
  const head = Buffer.from(query.subarray(0, 12))
  head.writeUInt16BE(known ? 0x8180 : 0x8183, 2)
  head.writeUInt16BE(ttls.length, 6)
  head.fill(0, 8, 12)
  const records = ttls.map((ttl, i) => Buffer.from([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, ttl, 0, 4, 10, 0, 0, i + 1]))
  return Buffer.concat([head, question, ...records])
}

describe('a DNS name', () => {
  it('has no address before the first result, then each address once, and follows the zone', async (t) => {
    alive(t)
    const zone = new Map<string, readonly string[] | Error>([['api.test', ['10.0.0.2', '10.0.0.1', '10.0.0.2']]])
    const { names, heard, until } = resolver(t, zone)
    assert.deepEqual(names.addresses('api.test', 'shop'), [])
    await until(() => heard.changed.length === 1)
    assert.deepEqual(names.addresses('api.test', 'shop'), ['10.0.0.1', '10.0.0.2'])
    zone.set('api.test', ['10.0.0.3'])
    await until(() => heard.changed.length === 2)
    assert.deepEqual(names.addresses('api.test', 'shop'), ['10.0.0.3'])
    assert.deepEqual(heard.health, [])
  })

  it('keeps its addresses when it cannot be resolved any more, and this is said once each way', async (t) => {
    alive(t)
    const zone = new Map<string, readonly string[] | Error>([['api.test', ['10.0.0.1']]])
    const { names, heard, until } = resolver(t, zone)
    names.addresses('api.test', 'shop')
    await until(() => heard.changed.length === 1)
    zone.set('api.test', new Error('SERVFAIL'))
    await until(() => heard.health.length === 1)
    await new Promise((resolve) => setTimeout(resolve, 40))
    assert.deepEqual(heard.health, [['api.test', 'SERVFAIL', ['10.0.0.1']]])
    assert.deepEqual(names.addresses('api.test', 'shop'), ['10.0.0.1'])
    zone.set('api.test', ['10.0.0.1'])
    await until(() => heard.health.length === 2)
    assert.deepEqual(heard.health[1], ['api.test', undefined, ['10.0.0.1']])
    assert.equal(heard.changed.length, 1, 'the same addresses are no change')
  })

  it('with an empty result counts as unresolved', async (t) => {
    alive(t)
    const { names, heard, until } = resolver(t, new Map([['api.test', []]]))
    names.addresses('api.test', 'shop')
    await until(() => heard.health.length === 1)
    assert.match(heard.health[0]![1]!, /no address/)
  })

  it('is not resolved any more once it is unused', async (t) => {
    alive(t)
    const zone = new Map([['api.test', ['10.0.0.1']]])
    const { names, heard, until } = resolver(t, zone)
    names.addresses('api.test', 'shop')
    await until(() => heard.changed.length === 1)
    names.forget('api.test')
    zone.set('api.test', ['10.0.0.9'])
    await new Promise((resolve) => setTimeout(resolve, 40))
    assert.equal(heard.changed.length, 1)
    assert.deepEqual(names.addresses('api.test', 'shop'), [], 'and it begins anew when somebody does')
    await until(() => heard.changed.length === 2)
  })

  it('among a hundred does not occupy the whole pool of threads', async (t) => {
    alive(t)
    const all = Array.from({ length: 100 }, (_, i) => `n${i}.test`)
    const { names, heard, until, most } = resolver(t, new Map(all.map((name) => [name, ['10.0.0.1']])))
    for (const name of all) names.addresses(name, 'shop')
    await until(() => heard.changed.length === 100)
    assert.ok(most() <= 4, `${most()} at once`)
  })

  describe('beside hundreds of another namespace whose servers do not answer', () => {
    function stuck(t: TestContext) {
      const asked: string[] = []
      const ends: (() => void)[] = []
      const names = new NameResolver({
        events: { changed: () => {}, health: () => {} },
        time: systemTimers,
        random: () => 0.5,
        interval: 5,
        lookup: (name) => {
          asked.push(name)
          if (!name.startsWith('slow')) return Promise.resolve(['10.0.0.1'])
          return new Promise((_, reject) => ends.push(() => reject(new Error('ESERVFAIL'))))
        },
      })
      t.after(() => names.stop())
      for (let i = 0; i < 200; i++) names.addresses(`slow-${i}.noisy.test`, 'noisy')
      return { names, asked, ends }
    }
    const turn = () => new Promise((resolve) => setImmediate(resolve))

    it('is asked for at once, and again and again', async (t) => {
      alive(t)
      const { names, asked } = stuck(t)
      names.addresses('api.calm.test', 'calm')
      await turn()
      assert.deepEqual(names.addresses('api.calm.test', 'calm'), ['10.0.0.1'])
      while (asked.filter((name) => name === 'api.calm.test').length < 5)
        await new Promise((resolve) => setTimeout(resolve, 5))
      assert.equal(asked.filter((name) => name.startsWith('slow')).length, 2, 'threads that are not free are not used')
    })

    it('is resolved at once even if another namespace has queued it first', async (t) => {
      alive(t)
      const { names } = stuck(t)
      names.addresses('api.calm.test', 'noisy')
      await turn()
      assert.deepEqual(names.addresses('api.calm.test', 'noisy'), [])
      names.addresses('api.calm.test', 'calm')
      await turn()
      assert.deepEqual(names.addresses('api.calm.test', 'calm'), ['10.0.0.1'])
    })

    it('leaves the other its own turns as look-ups end', async (t) => {
      alive(t)
      const { asked, ends } = stuck(t)
      for (let i = 0; i < 20; i++) {
        ends[i]!()
        await turn()
      }
      assert.equal(asked.length, 22)
    })
  })

  it('of the machine itself is resolved by the system', async (t) => {
    alive(t)
    const known = await new Promise<readonly string[]>((resolve) => {
      const names = new NameResolver({
        events: {
          changed: (name) => resolve(names.addresses(name, 'shop')),
          health: (_, failure) => assert.equal(failure, undefined),
        },
        time: systemTimers,
        random: Math.random,
      })
      t.after(() => names.stop())
      names.addresses('localhost', 'shop')
    })
    assert.ok(known.includes('127.0.0.1') || known.includes('::1'))
  })
})
