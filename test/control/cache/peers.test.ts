/** Purges of replicas that tell each other, without Redis: on real sockets, through a proxy where they are cut. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { connect } from 'node:net'
import { describe, it } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { connect as connectTls } from 'node:tls'
import { purgeRecords } from '../../../src/cache/purge-request.ts'
import { HARD, KEPT } from '../../../src/cache/purges.ts'
import { dialOptions, peerKey } from '../../../src/store/peers/peer-tls.ts'
import { eventually, suiteScope } from '../../feature/harness.ts'
import { TcpProxy } from '../../lib/tcp-proxy.ts'
import { know, type Pod, type PodOptions, Pods, SECRET } from './peer-rig.ts'
import { replicaRig, takes } from './purge-rig.ts'

const scope = suiteScope()
const made = new Pods(scope)
const podOf = (name: string, options?: PodOptions): Promise<Pod> => made.start(name, options)
const pods = (...names: string[]): Promise<Pod[]> => made.startAll(names)

/** It has other secrets, and has read them. */
async function change(pod: Pod, secrets: readonly Uint8Array[]): Promise<void> {
  const { reads } = pod
  pod.secrets = secrets
  await eventually(() => assert.ok(pod.reads > reads))
}

/** By a proxy from now on. */
async function knowBy(one: Pod, other: Pod, proxy: TcpProxy): Promise<void> {
  know(one, other, { port: Number(proxy.address.split(':')[1]) })
  await eventually(() => assert.ok(proxy.connections > 0))
  await eventually(async () => assert.equal((await one.rig.purge('/ready')).everywhere, true))
}

describe('purges of replicas that tell each other', () => {
  it('act in each, which the answer names, within milliseconds', async (t) => {
    const [a, b, c] = (await pods('a', 'b', 'c')) as [Pod, Pod, Pod]
    const view = await a.rig.purge('/x')
    assert.deepEqual([view.acts, view.missing, view.history], [['a', 'b', 'c'], [], 'Peers'])
    assert.equal(view.detail, 'It acts in every replica.')
    const took: number[] = []
    for (let i = 0; i < 20; i++) took.push(await takes(a.rig, [b.rig, c.rig], `/${i}`))
    took.sort((x, y) => x - y)
    t.diagnostic(`acts in two others after ${took[10]!.toFixed(1)} ms (p50), ${took[19]!.toFixed(1)} ms (max)`)
    assert.ok(took[10]! < 100)
    const kept = b.rig.log.last
    await c.rig.purge('/of-another')
    assert.equal(b.rig.judge('/y', kept), KEPT, 'nothing else is purged')
  })

  it('of workers, too, and a stream of them arrives whole', async () => {
    const [a, b] = (await pods('a', 'b')) as [Pod, Pod]
    const since = b.rig.log.last
    const count = 700
    for (let i = 0; i < count; i++) {
      const records = purgeRecords('shop', { urls: [`http://h/stream-${i}`] })
      assert.ok(!('fault' in records))
      a.rig.worker.append({ ...records[0]!, id: 1_000_000 + i })
    }
    await eventually(() => {
      for (let i = 0; i < count; i++) assert.equal(b.rig.judge(`/stream-${i}`, since), HARD)
    })
    assert.equal(b.rig.judge('/other', since), KEPT)
  })

  it('name the replica that is cut off, which acts when it is back, also where nobody says that a connection is dead', async (t) => {
    const [a, b] = (await pods('a', 'b')) as [Pod, Pod]
    const proxy = await TcpProxy.start(b.port)
    scope.after(() => proxy.stop())
    await knowBy(a, b, proxy)
    for (const [how, begin, end] of [
      ['cut', () => proxy.cut(), () => proxy.open()],
      ['swallowed', async () => proxy.swallow(), async () => proxy.pass()],
    ] as const) {
      const since = b.rig.log.last
      await begin()
      const asked = performance.now()
      const view = await a.rig.purge(`/${how}`)
      assert.deepEqual([view.acts, view.missing, view.everywhere], [['a'], ['b'], false])
      const answered = performance.now() - asked
      assert.ok(answered < 2_000)
      assert.equal(b.rig.judge(`/${how}`, since), KEPT, 'nobody can tell it')
      await sleep(300)
      await end()
      const back = performance.now()
      await eventually(() => assert.equal(b.rig.judge(`/${how}`, since), HARD))
      t.diagnostic(
        `${how}: answered after ${answered.toFixed(0)} ms, acts ${(performance.now() - back).toFixed(0)} ms after it is back`,
      )
      assert.ok(performance.now() - back < 2_500)
      assert.equal(b.rig.judge('/other', since), KEPT)
    }
    const dropped: number[] = []
    for (let i = 0; i < 9; i++) {
      proxy.drop()
      dropped.push(await takes(a.rig, [b.rig], `/dropped-${i}`))
    }
    dropped.sort((x, y) => x - y)
    t.diagnostic(`first purge behind a lost connection: ${dropped.map((ms) => ms.toFixed(0)).join(' ')} ms`)
    // Of a machine that is busy; the quicker ones show what the gateway itself waits for.
    assert.ok(dropped[2]! < 100)
  })

  it('purge all of each namespace that has purged in one that was away for more than is kept, and of no other', async () => {
    const [a, b] = (await pods('a', 'b')) as [Pod, Pod]
    const proxy = await TcpProxy.start(b.port)
    scope.after(() => proxy.stop())
    await knowBy(a, b, proxy)
    await proxy.cut()
    const since = b.rig.log.last
    await a.rig.caches.purge('quiet', { urls: ['http://h/named'] })
    const urls = Array.from({ length: 250 }, (_, n) => `http://h/${n}`)
    // Of other namespaces: too many that wait are one purge of all of theirs.
    await Promise.all(Array.from({ length: 20 }, (_, i) => a.rig.caches.purge(`n${i}`, { urls })))
    await proxy.open()
    for (let i = 0; i < 20; i++)
      await eventually(() => assert.equal(b.rig.judge(`/${i}`, since, `n${i}`), HARD, `n${i}`))
    assert.equal(b.rig.judge('/named', since, 'quiet'), HARD)
    assert.equal(b.rig.judge('/never-named', since, 'quiet'), HARD, 'which of its URLs is not known any more')
    await eventually(async () => assert.equal((await a.rig.purge('/x')).everywhere, true))
    assert.equal(b.rig.judge('/x', since), HARD)
    assert.equal(b.rig.judge('/never-named', since), KEPT, 'a namespace that has purged something else')
  })

  it('are known to who starts, and a process that has ended is not waited for', async () => {
    const [a, b] = (await pods('a', 'b')) as [Pod, Pod]
    await b.stop()
    assert.deepEqual((await a.rig.purge('/gone')).missing, ['b'], 'it may serve')
    know(a, b, { ready: false })
    assert.deepEqual((await a.rig.purge('/gone')).missing, ['b'], 'it may drain')
    a.ended.add('b')
    const view = await a.rig.purge('/gone')
    assert.deepEqual([view.acts, view.missing, view.everywhere], [['a'], [], true])
    a.ended.delete('b')
    // Another process in the same pod: what it stores before it is told of anything is purged all the same.
    const again = await podOf('b', { port: b.port })
    const since = again.rig.log.last
    know(again, a)
    know(a, again)
    await eventually(() => assert.equal(again.rig.judge('/gone', since), HARD))
    await eventually(async () => assert.equal((await a.rig.purge('/x')).everywhere, true))
  })

  it('are sent by the next control thread, where the others have not been told; nothing else is purged', async () => {
    const [a, b] = (await pods('a', 'b')) as [Pod, Pod]
    const proxy = await TcpProxy.start(b.port)
    scope.after(() => proxy.stop())
    await knowBy(a, b, proxy)
    await proxy.cut()
    const since = b.rig.log.last
    await a.rig.purge('/untold')
    await a.stop()
    await proxy.open()
    const next = await podOf('a', { port: a.port, room: { log: a.rig.log } })
    know(next, b, { port: Number(proxy.address.split(':')[1]) })
    know(b, next)
    await eventually(() => assert.equal(b.rig.judge('/untold', since), HARD))
    assert.equal(b.rig.judge('/other', since), KEPT)
    // One that was never told by the thread before cannot know what that one has told.
    const c = await podOf('c')
    const stored = c.rig.log.last
    know(c, next)
    know(next, c)
    await eventually(() => assert.equal(c.rig.judge('/any', stored), HARD))
  })

  it('say that nobody lists the others, where that is so', async () => {
    const lone = replicaRig(
      'lone',
      { redis: null, stateDirectory: undefined },
      {
        others: { own: 'lone', pods: () => undefined, hasEnded: async () => false },
        peers: () => ({
          listen: { host: '127.0.0.1', port: 0 },
          secrets: async () => ({ ok: true, secrets: [SECRET] }),
        }),
      },
    )
    scope.after(() => lone.caches.stop())
    const view = await lone.purge('/x')
    assert.deepEqual([view.everywhere, view.acts], [false, ['lone']])
    assert.match(view.detail, /nobody lists/)
  })
})

describe('the key of the release', () => {
  it('is rotated by adding the new one, without a purge that misses a replica', async () => {
    const [a, b] = (await pods('a', 'b')) as [Pod, Pod]
    const next = randomBytes(32)
    const proxy = await TcpProxy.start(b.port)
    scope.after(() => proxy.stop())
    await knowBy(a, b, proxy)
    await change(b, [SECRET, next])
    await change(a, [next])
    // A connection anew, by the new one.
    know(a, b, { port: 1 })
    await eventually(() => assert.equal(proxy.connections, 0))
    know(a, b)
    await eventually(async () => assert.equal((await a.rig.purge('/x')).everywhere, true))
  })

  it('lets nobody purge who does not have it, whatever he sends', async () => {
    const [a, b] = (await pods('a', 'b')) as [Pod, Pod]
    const since = b.rig.log.last
    const record = purgeRecords('shop', { all: true })
    assert.ok(!('fault' in record))
    const stranger = await podOf('stranger', { secrets: [randomBytes(32)] })
    know(stranger, b)
    assert.deepEqual((await stranger.rig.purge('/x')).missing, ['b'])
    for (const bytes of [
      Buffer.from('{"type":"hello","process":"x","incarnation":"1","first":9,"fresh":false,"lost":true}\n'),
      randomBytes(4_096),
      Buffer.from('GET / HTTP/1.1\r\nhost: h\r\n\r\n'),
    ]) {
      const socket = connect(b.port, '127.0.0.1')
      socket.on('error', () => {})
      socket.write(bytes)
      await once(socket, 'close', { signal: AbortSignal.timeout(3_000) })
      assert.ok(socket.destroyed, 'it is hung up on')
    }
    assert.equal(b.rig.judge('/any', since), KEPT)
    assert.deepEqual((await a.rig.purge('/x')).acts, ['a', 'b'])
  })

  it('is not asked of who has no address of a replica', async () => {
    const a = await podOf('a')
    await eventually(async () => {
      const socket = connect(a.port, '127.0.0.1')
      socket.on('error', () => {})
      await once(socket, 'connect')
    })
    const secure = connectTls({ host: '127.0.0.1', port: a.port, ...dialOptions([peerKey(SECRET)]) })
    const outcome = await Promise.race([
      once(secure, 'secureConnect').then(() => 'in'),
      once(secure, 'error').then(() => 'out'),
    ]).catch(() => 'out')
    assert.equal(outcome, 'out')
  })
})
