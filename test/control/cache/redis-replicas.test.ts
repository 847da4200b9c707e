/** What operators ask of all replicas: on real sockets, of peers that are cut off, older, wrong and hostile, too. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createServer as createHttpServer } from 'node:http'
import { type AddressInfo, connect, createServer as createNetServer, type Socket } from 'node:net'
import { describe, it } from 'node:test'
import { connect as connectTls, createServer as createTlsServer, type TLSSocket } from 'node:tls'
import type { CacheStatisticsView, LookupView, WarmUpView } from '../../../src/admin/caches.ts'
import type { CachedObject } from '../../../src/cache/cached-object.ts'
import { allocateCache } from '../../../src/cache/memory/buffers.ts'
import { HARD } from '../../../src/cache/purges.ts'
import type { OwnListener } from '../../../src/control/cache/caches.ts'
import { createMetrics, WorkerMetrics } from '../../../src/shared-memory/metrics.ts'
import { MetricsReader } from '../../../src/shared-memory/metrics-reader.ts'
import { dialOptions, peerKey, serverOptions } from '../../../src/store/peers/peer-tls.ts'
import type { ToWorker } from '../../../src/thread/messages.ts'
import { eventually, suiteScope } from '../../feature/harness.ts'
import { NO_REDIS, RedisServer } from '../../lib/redis-server.ts'
import { TcpProxy } from '../../lib/tcp-proxy.ts'
import { know, type Pod, type PodOptions, Pods, SECRET } from './peer-rig.ts'
import { redisAt } from './purge-rig.ts'

const scope = suiteScope()
const made = new Pods(scope)

const MIB = 2 ** 20
/** What a question is waited for, and what a busy machine takes besides. */
const BOUND = 9_000

/** It has a memory of its own size, and has counted hits. */
function counting(mebibytes: number, hits: number): PodOptions {
  const metrics = createMetrics({ workers: 1 })
  const worker = new WorkerMetrics(metrics, 0)
  for (let i = 0; i < hits; i++) worker.cacheRequest(0)
  worker.cacheRequest(6)
  const memory = allocateCache(mebibytes * MIB, 1, [1, 2])
  return { room: { metrics: new MetricsReader(metrics), memory } }
}

async function statistics({ rig }: Pod, replica?: string): Promise<CacheStatisticsView> {
  const outcome = await rig.caches.statistics(replica)
  assert.ok(outcome.ok)
  return outcome.view
}

/** As soon as each has answered within its time, which a busy machine may take more than once. */
const ofAll = (pod: Pod): Promise<CacheStatisticsView> =>
  eventually(async () => {
    const view = await statistics(pod)
    assert.deepEqual([view.missing, view.everywhere], [[], true])
    return view
  })

const object = (more: Partial<CachedObject> = {}): CachedObject => ({
  ...{ key: 'GET https://h/a', keyDigest: 'x', status: 200, bytes: 5, state: 'fresh', age: 1, lifetime: 60 },
  ...{ lifetimeBy: 'origin', staleWhileRevalidate: 0, staleIfError: 0, received: 'now', tags: 0 },
  ...more,
})

/** Its worker has these; and what it was asked. */
async function podHolding(name: string, objects: readonly CachedObject[]) {
  const asked: ToWorker[] = []
  const ask = (message: ToWorker): boolean => {
    asked.push(message)
    if (message.type === 'find-cached') setImmediate(() => pod.rig.caches.found(message.id, objects, true))
    return true
  }
  const pod: Pod = await made.start(name, { room: { ask } })
  return { pod, asked }
}

async function lookup({ rig }: Pod, replica?: string): Promise<LookupView> {
  const outcome = await rig.caches.lookup('shop', { urls: ['https://h/a'] }, replica)
  assert.ok(outcome.ok, JSON.stringify(outcome))
  return outcome.view
}

/** They know each other, and have read their keys. */
async function meet(...pods: readonly Pod[]): Promise<void> {
  for (const one of pods) for (const other of pods) if (one !== other) know(one, other)
  for (const one of pods) await eventually(async () => assert.equal((await one.rig.purge('/first')).everywhere, true))
}

/** A peer that has the key, and answers what the test says. */
async function peer(
  name: string,
  talk: (socket: TLSSocket, line: string) => void,
): Promise<Pick<Pod, 'name' | 'port'>> {
  const sockets = new Set<TLSSocket>()
  const server = createTlsServer(serverOptions([peerKey(SECRET)], 2_000), (socket) => {
    sockets.add(socket)
    socket.on('error', () => {})
    let text = ''
    socket.on('data', (chunk: Buffer) => {
      const lines = `${text}${chunk}`.split('\n')
      text = lines.pop()!
      for (const line of lines) talk(socket, line)
    })
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  scope.after(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  return { name, port: (server.address() as AddressInfo).port }
}

/** To `statistics` of a replica beside it. @returns why it is missing, and how long that took */
async function missingOf(talk: (socket: TLSSocket, line: string) => void) {
  const a = await made.start('a', counting(1, 0))
  const hostile = await peer('b', talk)
  know(a, hostile)
  await eventually(() => assert.ok(a.reads > 0))
  const begun = performance.now()
  let view = await statistics(a)
  // The key was not read yet.
  if (/not read yet/.test(view.detail)) view = await statistics(a)
  const took = performance.now() - begun
  assert.deepEqual(
    view.replicas.map(({ name }) => name),
    ['a'],
  )
  assert.equal(view.limit, MIB, 'nothing of it counts')
  assert.equal(view.everywhere, false)
  assert.deepEqual(
    view.missing.map(({ name }) => name),
    ['b'],
  )
  assert.ok(took < BOUND, `${took} ms`)
  return view.missing[0]!.why
}

const WELCOME = '{"type":"welcome","position":0,"answers":true}\n'
const isHello = (line: string): boolean => line.includes('"hello"')

describe('statistics of all replicas', () => {
  it('are the sum, and each', async () => {
    const sizes: Record<string, [number, number]> = { a: [1, 2], b: [2, 3], c: [4, 0] }
    const [a, b] = (await made.startAll(['a', 'b', 'c'], (name) => counting(...sizes[name]!))) as [Pod, Pod]
    for (const [asked, others] of [
      [a, ['b', 'c']],
      [b, ['a', 'c']],
    ] as const) {
      const view = await ofAll(asked)
      assert.equal(view.detail, 'Of every replica.')
      assert.equal(view.limit, 7 * MIB)
      assert.deepEqual(view.requests, [
        { result: 'hit', reason: 'Memory', count: 5 },
        { result: 'revalidated', reason: 'Expired', count: 3 },
      ])
      assert.equal(view.hitRatio, 5 / 8)
      assert.deepEqual(
        view.replicas.map(({ name }) => name),
        [asked.name, ...others],
        'the one that is asked is the first',
      )
      for (const { name, limit, purges } of view.replicas)
        assert.deepEqual([limit, purges], [sizes[name]![0] * MIB, { history: 'Peers' }])
    }
    const one = await statistics(a, 'b')
    assert.deepEqual([one.limit, one.replicas.map(({ name }) => name), one.everywhere], [2 * MIB, ['b'], false])
  })

  it('name who does not answer, and why, and do not wait for it', async () => {
    const [a, b] = (await made.startAll(['a', 'b'], () => counting(1, 0))) as [Pod, Pod]
    const proxy = await TcpProxy.start(b.port)
    scope.after(() => proxy.stop())
    know(a, b, { port: Number(proxy.address.split(':')[1]) })
    await ofAll(a)
    proxy.swallow()
    const begun = performance.now()
    // As many as there are connections of the admin API: each is answered.
    const views = await Promise.all(Array.from({ length: 64 }, () => statistics(a)))
    assert.ok(performance.now() - begun < 2 * BOUND)
    for (const { missing, limit, detail } of views) {
      assert.deepEqual([missing.length, limit], [1, MIB])
      assert.match(detail, /^Not of b: it cannot be reached at 127\.0\.0\.1:\d+ within 1 s\.$/)
    }
    proxy.pass()
    await ofAll(a)
    await b.stop()
    assert.match((await statistics(a)).detail, /^Not of b: /)
    know(a, b, { ready: false })
    assert.equal((await statistics(a)).everywhere, false, 'it may serve')
    a.ended.add('b')
    const view = await statistics(a)
    assert.deepEqual([view.everywhere, view.missing], [true, []], 'what has ended serves nothing')
  })

  it('tell apart a replica of an older version', async () => {
    const heard: string[] = []
    const why = await missingOf((socket, line) => {
      heard.push(line)
      // As Headgate answered before there were questions: what it does not know it passes over.
      if (isHello(line)) socket.write('{"type":"welcome","position":0}\n')
    })
    assert.match(why, /it runs an older version of Headgate/)
    assert.ok(!heard.some((line) => line.includes('"ask"')), 'it is not asked')
  })

  it('take nothing from a replica that is wrong or hostile, and wait for none', async () => {
    const answer = (body: unknown) => (socket: TLSSocket, line: string) =>
      socket.write(isHello(line) ? WELCOME : `${JSON.stringify({ type: 'answer', body })}\n`)
    for (const body of [
      null,
      [],
      { limit: -1 },
      { limit: 1e300 },
      { limit: 1, requests: Array.from({ length: 10_000 }, () => ({ reason: 'x', count: 1 })) },
      { __proto__: null, limit: '1' },
    ])
      assert.match(await missingOf(answer(body)), /cannot be read: it runs another version/)
    const refusing = (socket: TLSSocket, line: string) =>
      socket.write(isHello(line) ? WELCOME : `{"type":"refusal","why":"${'x'.repeat(10_000)}"}\n`)
    assert.ok((await missingOf(refusing)).length < 1_000)
    assert.match(await missingOf((socket) => socket.destroy()), /ended the connection/)
    assert.match(await missingOf((socket) => socket.write('no JSON\n')), /ended the connection/)
    // It says something now and then, and never ends.
    const dripping = (socket: TLSSocket, line: string) => {
      if (!isHello(line)) return
      socket.write(WELCOME)
      const drip = setInterval(() => socket.write('{"type":"pong"}\n'), 50)
      socket.on('close', () => clearInterval(drip))
    }
    assert.match(await missingOf(dripping), /does not answer in time/)
    const endless = (socket: TLSSocket) => {
      const more = (): void => {
        while (!socket.destroyed && socket.write(Buffer.alloc(65_536, 'x')));
      }
      socket.on('drain', more)
      more()
    }
    assert.match(await missingOf(endless), /ended the connection|does not answer/)
  })

  it('say that replicas have no key for each other, and that nobody lists them', async () => {
    const a = await made.start('a', { ...counting(1, 0), peers: false })
    know(a, { name: 'b', port: 9 })
    const view = await statistics(a)
    assert.match(view.detail, /^Not of b: replicas ask each other only where peers\.keyFile/)
    const others = { own: 'c', pods: () => undefined, hasEnded: async () => false, unlisted: true }
    const unlisted = await made.start('c', { peers: false, room: { others } })
    const said = await statistics(unlisted)
    assert.deepEqual([said.everywhere, said.detail], [false, 'Of this replica alone: nobody lists the others yet.'])
  })
})

describe('statistics of replicas with Redis', { skip: NO_REDIS }, () => {
  it('are of all pods by their keys, and name who shares the Redis and is no pod', async () => {
    const server = await RedisServer.of(scope)
    const settings = redisAt(server.address)
    const [a] = (await made.startAll(['a', 'b'], () => ({ ...counting(1, 1), settings }))) as [Pod]
    const view = await ofAll(a)
    assert.deepEqual([view.limit, view.purges.history], [2 * MIB, 'Redis'])
    const elsewhere = { own: 'c', pods: () => undefined, hasEnded: async () => false }
    const c = await made.start('c', { settings, peers: false, room: { others: elsewhere } })
    await eventually(async () => {
      const names = (await statistics(c)).missing.map(({ name }) => name)
      assert.deepEqual(names.sort(), ['a', 'b'])
    })
    assert.match((await statistics(c)).detail, /Not of a: outside of a cluster replicas do not ask each other/)
    server.pause()
    scope.after(() => server.resume())
    assert.match((await statistics(c)).detail, /Redis does not say which others there are/)
    assert.equal((await ofAll(a)).purges.history, 'Redis', 'pods ask each other without it')
    server.resume()
  })
})

describe('lookups in all replicas', () => {
  it('show who has it, with its validator and age, and who does not', async () => {
    const [first, second, third] = [
      await podHolding('a', [object({ validator: '"1"' }), object({ key: 'GET https://h/b', keyDigest: 'y' })]),
      await podHolding('b', [object({ validator: '"2"', age: 12 })]),
      await podHolding('c', []),
    ]
    await meet(first.pod, second.pod, third.pod)
    const view = await eventually(async () => {
      const found = await lookup(first.pod)
      assert.deepEqual([found.replicas, found.complete, found.everywhere], [['a', 'b', 'c'], true, true])
      return found
    })
    assert.deepEqual(
      view.items.map(({ replica, keyDigest, validator, age }) => [replica, keyDigest, validator, age]),
      [
        ['a', 'x', '"1"', 1],
        ['b', 'x', '"2"', 12],
        ['a', 'y', undefined, 1],
      ],
    )
    const records = [first, second].map(({ asked }) => ({ ...asked.at(-1), id: 0 }))
    assert.deepEqual(records[0], records[1], 'each is asked for the same')
    const one = await lookup(first.pod, 'c')
    assert.deepEqual([one.items, one.replicas], [[], ['c']])
  })

  it('cut what is longer than an answer may be, and say so', async () => {
    const long = Array.from({ length: 100 }, (_, i) => object({ key: `${i}`.padEnd(20_000, 'k'), keyDigest: `${i}` }))
    const [a, b] = [(await podHolding('a', [])).pod, (await podHolding('b', long)).pod]
    await meet(a, b)
    const view = await eventually(async () => {
      const found = await lookup(a)
      assert.equal(found.everywhere, true)
      return found
    })
    assert.equal(view.complete, false)
    assert.ok(view.items.length > 10 && view.items.length < 30, `${view.items.length}`)
  })

  it('hold up no purge, however many there are and however long their answers take', async () => {
    // Its worker never answers.
    const [a, b] = (await made.startAll(['a', 'b'], () => ({ room: { ask: () => true } }))) as [Pod, Pod]
    const since = b.rig.log.last
    const looking = Promise.all(Array.from({ length: 64 }, () => a.rig.caches.lookup('shop', { all: true })))
    let over = false
    void looking.then(() => {
      over = true
    })
    let purges = 0
    for (let i = 0; i < 1_000 && !over; i++) if ((await a.rig.purge(`/${i}`)).everywhere && !over) purges++
    assert.ok(purges > 2, `${purges} purges acted everywhere meanwhile`)
    assert.equal(b.rig.judge('/0', since), HARD)
    for (const outcome of await looking) assert.equal(outcome.ok, false)
  })
})

interface Counted {
  readonly asked: string[]
  readonly own: OwnListener
}

/** A listener that counts what it is asked for, and stores it. */
async function listener(): Promise<Counted> {
  const asked: string[] = []
  const server = createHttpServer((request, response) => {
    asked.push(request.url!)
    response.writeHead(200, { 'cache-status': 'headgate;fwd=uri-miss;stored' }).end('x')
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  scope.after(() => {
    server.closeAllConnections()
    server.close()
  })
  return { asked, own: { address: '127.0.0.1', port: (server.address() as AddressInfo).port, tls: false } }
}

async function warmed({ rig }: Pod, urls: readonly string[], rate = 1_000): Promise<WarmUpView> {
  const begun = await rig.caches.warmUp({ urls, rate })
  assert.ok(begun.ok)
  return await eventually(() => {
    const { id } = begun.view
    const outcome = rig.caches.warmUpState(id)
    assert.ok(outcome.ok)
    assert.equal(outcome.view.state, 'finished')
    return outcome.view
  })
}

describe('warming all replicas', () => {
  const urls = Array.from({ length: 600 }, (_, i) => `http://h/${i}`)

  it('requests each URL once by each, in parts', async () => {
    const listeners: Record<string, Counted> = { a: await listener(), b: await listener() }
    const own = (name: string): PodOptions => ({ room: { listeners: () => [listeners[name]!.own] } })
    const [a] = (await made.startAll(['a', 'b'], own)) as [Pod]
    const view = await warmed(a, urls)
    assert.deepEqual([view.urls, view.requested, view.stored, view.everywhere], [600, 1_200, 1_200, true])
    assert.deepEqual(
      view.replicas.map(({ name, requested, stored }) => [name, requested, stored]),
      [
        ['a', 600, 600],
        ['b', 600, 600],
      ],
    )
    for (const { asked } of Object.values(listeners)) assert.equal(new Set(asked).size, 600)
    for (const { asked } of Object.values(listeners)) assert.equal(asked.length, 600)
  })

  it('keeps to the rate with all of them together', async () => {
    const listeners: Record<string, Counted> = { a: await listener(), b: await listener() }
    const own = (name: string): PodOptions => ({ room: { listeners: () => [listeners[name]!.own] } })
    const [a] = (await made.startAll(['a', 'b'], own)) as [Pod]
    const begun = performance.now()
    await warmed(a, urls.slice(0, 10), 20)
    assert.ok(performance.now() - begun > 700, 'ten of each, ten a second')
  })

  it('ends where replicas begin as many lists at the same time as they may', async () => {
    const one = await listener()
    const [a, b] = (await made.startAll(['a', 'b'], () => ({ room: { listeners: () => [one.own] } }))) as [Pod, Pod]
    const lists = [a, a, a, a, b, b, b, b].map((pod) => warmed(pod, urls.slice(0, 20), 200))
    for (const { requested, stored, everywhere } of await Promise.all(lists))
      assert.deepEqual([requested, stored, everywhere], [40, 40, true])
    assert.equal(one.asked.length, 8 * 40)
    for (const pod of [a, b]) {
      const begun = Array.from({ length: 5 }, () => pod.rig.caches.warmUp({ urls: urls.slice(0, 20), rate: 50 }))
      const refused = (await Promise.all(begun)).filter(({ ok }) => !ok)
      assert.deepEqual(
        refused.map((outcome) => 'reason' in outcome && outcome.reason),
        ['TooManyWarmUps'],
      )
    }
  })

  it('names the replica that went in the middle, and goes on in the others', async () => {
    const one = await listener()
    const [a, b] = (await made.startAll(['a', 'b'], () => ({ room: { listeners: () => [one.own] } }))) as [Pod, Pod]
    const begun = await a.rig.caches.warmUp({ urls: urls.slice(0, 100), rate: 200 })
    assert.ok(begun.ok)
    await b.stop()
    know(a, b, { ready: false })
    a.ended.add('b')
    const view = await eventually(() => {
      const outcome = a.rig.caches.warmUpState('1')
      assert.ok(outcome.ok && outcome.view.state === 'finished')
      return outcome.view
    })
    assert.deepEqual(view.missing, [{ name: 'b', why: 'it has ended' }])
    assert.equal(view.replicas.find(({ name }) => name === 'a')!.stored, 100)
    assert.deepEqual([view.missing.map(({ name }) => name), view.everywhere], [['b'], false])
  })

  it('goes on in a replica whose control thread was restarted', async () => {
    const one = await listener()
    const room = { listeners: () => [one.own] }
    const [a, b] = (await made.startAll(['a', 'b'], () => ({ room }))) as [Pod, Pod]
    const begun = await a.rig.caches.warmUp({ urls: urls.slice(0, 100), rate: 100 })
    assert.ok(begun.ok)
    await eventually(() => assert.ok(one.asked.length > 10))
    await b.stop()
    await made.start('b', { port: b.port, room: { ...room, log: b.rig.log } }).then((next) => know(next, a))
    const view = await eventually(() => {
      const outcome = a.rig.caches.warmUpState('1')
      assert.ok(outcome.ok && outcome.view.state === 'finished')
      return outcome.view
    })
    assert.deepEqual([view.missing, view.everywhere], [[], true])
    assert.ok(view.replicas.every(({ stored }) => stored === 100))
  })
})

describe('who has the key', () => {
  it('is answered one question at a time, and hung up on for what is none', async () => {
    const [a] = (await made.startAll(['a', 'b'], () => counting(1, 0))) as [Pod]
    const talk = async (...lines: readonly string[]): Promise<string> => {
      const socket = connectTls({ host: '127.0.0.1', port: a.port, ...dialOptions([peerKey(SECRET)]) })
      socket.on('error', () => {})
      let text = ''
      socket.on('data', (chunk: Buffer) => {
        text += chunk
        if (/"type":"(answer|refusal)"/.test(text)) socket.destroy()
      })
      await once(socket, 'secureConnect')
      for (const line of lines) socket.write(`${line}\n`)
      await once(socket, 'close', { signal: AbortSignal.timeout(BOUND) })
      return text
    }
    const hello = '{"type":"hello","process":"q","incarnation":"q","first":1,"fresh":true,"lost":false,"asks":true}'
    const ask = (what: string, body: unknown) => JSON.stringify({ type: 'ask', what, body })
    assert.match(await talk(hello, ask('cache statistics', null)), /"limit":1048576/)
    assert.match(await talk(hello, ask('of tomorrow', null)), /"refusal".*does not know this question/)
    assert.equal(await talk(ask('cache statistics', null)), '', 'who has not said hello')
    const twice = await talk(hello, ask('cache statistics', null), ask('cache statistics', null))
    assert.ok((twice.match(/"answer"/g) ?? []).length <= 1)
    assert.ok(!(await talk(hello, '{"type":"records","first":1,"records":["AA=="]}')).includes('ack'))
    assert.ok(!(await talk(hello.replace(',"asks":true', ''), ask('cache statistics', null))).includes('limit'))
    const namespaces = Array.from({ length: 10_000 }, (_, i) => `${i}`)
    for (const body of [
      null,
      { namespaces, names: { urls: Array.from({ length: 256 }, (_, i) => `a/${i}`) }, bytes: 1 },
      { namespaces: ['shop'], names: {}, bytes: 1 },
      { namespaces: ['shop'], names: { urls: [''] }, bytes: 1 },
      { namespaces: ['shop'], names: { urls: [{ toString: 1 }] }, bytes: 1 },
      { namespaces: [1], names: { all: true }, bytes: 1 },
      { namespaces: ['shop'], names: { all: true, tags: ['a'] }, bytes: 1 },
    ])
      assert.match(await talk(hello, ask('cache lookup', body)), /"refusal"/, JSON.stringify(body))
    for (const body of [
      null,
      { key: 'k', urls: ['ftp://a/'], rate: 1 },
      { key: 'k', urls: ['http://a/'], rate: 0 },
      { key: 'k', urls: ['http://a/'], rate: 1e9 },
      { key: 'k', urls: Array.from({ length: 251 }, () => 'http://a/'), rate: 1 },
    ])
      assert.match(await talk(hello, ask('cache warm-up', body)), /"refusal"/, JSON.stringify(body))
    assert.equal((await talk(hello, randomBytes(100).toString('latin1'))).includes('"answer"'), false)
    await eventually(async () => assert.deepEqual((await a.rig.purge('/x')).missing, []))
  })

  it('is hung up on where he does not read what he gets', async () => {
    const [a] = (await made.startAll(['a', 'b'])) as [Pod]
    let upstream: Socket | undefined
    // What comes from the replica is passed on until it is paused.
    const between = createNetServer((client) => {
      upstream = connect(a.port, '127.0.0.1')
      for (const socket of [client, upstream]) socket.on('error', () => {})
      client.pipe(upstream)
      upstream.on('data', (chunk) => client.write(chunk))
      upstream.on('close', () => client.destroy())
    })
    await once(between.listen(0, '127.0.0.1'), 'listening')
    const { port } = between.address() as AddressInfo
    const socket = connectTls({ host: '127.0.0.1', port, ...dialOptions([peerKey(SECRET)]) })
    socket.on('error', () => {})
    try {
      await once(socket, 'secureConnect')
      socket.write('{"type":"hello","process":"q","incarnation":"q","first":1,"fresh":true,"lost":false}\n')
      upstream!.pause()
      const pings = Buffer.from('{"type":"ping"}\n'.repeat(10_000))
      const more = (): void => {
        if (!socket.destroyed) socket.write(pings, more)
      }
      more()
      await eventually(() => assert.ok(socket.destroyed))
    } finally {
      socket.destroy()
      upstream?.destroy()
      between.close()
    }
    await eventually(async () => assert.deepEqual((await a.rig.purge('/x')).missing, []))
  })
})
