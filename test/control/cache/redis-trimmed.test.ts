/** A replica that was cut off while Redis dropped entries of the history that it had not read. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { PLAIN } from '../../../src/cache/purge-record.ts'
import { HARD, KEPT } from '../../../src/cache/purges.ts'
import { eventually, suiteScope } from '../../feature/harness.ts'
import { NO_REDIS, type RedisServer } from '../../lib/redis-server.ts'
import { type Pair, pairOf } from './purge-rig.ts'

const ENTRIES = 'hg:{purges}:entries'
const NAMESPACES = 'hg:{purges}:namespaces'

describe('a replica that missed entries which Redis does not keep any more', { skip: NO_REDIS }, () => {
  const scope = suiteScope()

  interface CutOff extends Pair {
    /** Places of their logs from which on something is judged. */
    readonly since: readonly [number, number]
  }

  async function cutOff(): Promise<CutOff> {
    const pair = await pairOf(scope)
    await pair.proxy.cut()
    return { ...pair, since: [pair.a.log.last, pair.b.log.last] }
  }

  async function purgeMany({ a }: Pair): Promise<void> {
    const urls = Array.from({ length: 20 }, (_, i) => `http://h/${i}`)
    for (const namespace of ['quiet', 'noisy']) {
      const outcome = await a.caches.purge(namespace, { urls })
      assert.ok(outcome.ok && outcome.view.kept === true)
    }
  }

  it('loses what it has of the namespaces that have purged, and nothing else; others lose nothing', async () => {
    const two = await cutOff()
    const { server, proxy, a, b, since } = two
    const { history } = b.worker
    await purgeMany(two)
    await server.admin.xtrim(ENTRIES, 'MAXLEN', 5)
    await proxy.open()
    for (const namespace of ['quiet', 'noisy'])
      await eventually(() => assert.equal(b.judge('/never-named', since[1], namespace), HARD))
    await eventually(async () => assert.equal((await a.purge('/x')).reached, 2))
    assert.equal(b.judge('/x', since[1]), HARD)
    assert.deepEqual([a.judge('/y', since[0]), b.judge('/y', since[1], 'another')], [KEPT, KEPT])
    assert.deepEqual([a.worker.history, b.worker.history], [history, history])
    // What an archive holds is judged as well.
    assert.equal(b.judge('/never-named', b.worker.sequenceOf(history, 1), 'quiet'), HARD)
    assert.equal(b.judge('/y', b.worker.sequenceOf(history, b.worker.position)), KEPT)
  })

  for (const [what, harm] of [
    ['are not known', async (server: RedisServer) => void (await server.admin.del(NAMESPACES))],
    [
      'are those of a part, as behind a Headgate of before',
      async (server: RedisServer) => void (await server.admin.hset(NAMESPACES, 'upto', '3')),
    ],
    [
      'are known from a later place on',
      async (server: RedisServer) => void (await server.admin.hset(NAMESPACES, 'since', '30')),
    ],
  ] as const)
    it(`purges everything where the namespaces ${what}`, async () => {
      const two = await cutOff()
      const { server, proxy, b, since } = two
      await purgeMany(two)
      await server.admin.xtrim(ENTRIES, 'MAXLEN', 5)
      await harm(server)
      await proxy.open()
      await eventually(() => assert.equal(b.judge('/never-named', since[1], 'another'), HARD))
    })

  it('purges everything where a namespace that nobody knows has: all of them', async () => {
    const two = await cutOff()
    const { server, proxy, a, b, since } = two
    a.worker.append({ ...PLAIN, kind: 'everything', id: 77 })
    await eventually(async () => assert.equal(await server.admin.hget(NAMESPACES, 'since'), '2'))
    await purgeMany(two)
    await server.admin.xtrim(ENTRIES, 'MAXLEN', 5)
    await proxy.open()
    await eventually(() => assert.equal(b.judge('/never-named', since[1], 'another'), HARD))
  })
})
