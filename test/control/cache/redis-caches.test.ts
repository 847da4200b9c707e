import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { HARD, KEPT } from '../../../src/cache/purges.ts'
import { eventually, suiteScope } from '../../feature/harness.ts'
import { NO_REDIS, RedisServer } from '../../lib/redis-server.ts'
import { redisAt, replicaRig } from './purge-rig.ts'

const scope = suiteScope()

function replicaOf({ address }: RedisServer, name: string) {
  const settings = redisAt(address)
  const rig = replicaRig(name, settings)
  scope.after(() => rig.caches.stop())
  return { ...rig, settings }
}

describe('purges over replicas with Redis', { skip: NO_REDIS }, () => {
  it('act in every one, which the answer waits for, and after a lost connection', async () => {
    const server = await RedisServer.of(scope)
    const [a, b] = [replicaOf(server, 'a'), replicaOf(server, 'b')]
    await eventually(() => assert.ok(a.worker.history !== 0 && a.worker.history === b.worker.history))
    const purged = async (path: string) => {
      const outcome = await a.caches.purge('shop', { urls: [`http://h${path}`] })
      assert.ok(outcome.ok)
      return outcome.view
    }
    const begun = [a.log.last, b.log.last] as const
    // A replica says that it is there with its first look behind the beginning, and may be slow.
    await eventually(async () => {
      const view = await purged('/x')
      assert.deepEqual([view.replicas, view.reached, view.detail], [2, 2, 'It acts in every replica.'])
    })
    assert.equal(a.judge('/x', begun[0]), HARD)
    assert.equal(b.judge('/x', begun[1]), HARD)
    assert.equal(b.judge('/y', begun[1]), KEPT)

    server.pause()
    const during = b.log.last
    const alone = await purged('/y')
    assert.deepEqual([alone.kept, alone.reached], [false, 1])
    assert.match(alone.detail, /told when it does/)
    assert.equal(a.judge('/y', begun[0]), HARD, 'here it acts all the same')
    assert.equal(b.judge('/y', during), KEPT)
    server.resume()
    await eventually(() => assert.equal(b.judge('/y', during), HARD))
    assert.equal(b.judge('/z', during), KEPT)
  })

  it('purge everything where Redis came back without them', async () => {
    const server = await RedisServer.of(scope)
    const [a, b] = [replicaOf(server, 'c'), replicaOf(server, 'd')]
    await eventually(() => assert.ok(a.worker.history !== 0 && a.worker.history === b.worker.history))
    await a.caches.purge('shop', { all: true })
    const begun = [a.log.last, b.log.last] as const
    await server.kill()
    await server.run()
    await eventually(() => assert.equal(a.judge('/x', begun[0]), HARD))
    await eventually(() => assert.equal(b.judge('/x', begun[1]), HARD))
    assert.equal(a.judge('/x', a.log.last), KEPT)
  })

  it('keep to this process where the settings name no Redis any more', async () => {
    const server = await RedisServer.of(scope)
    const a = replicaOf(server, 'e')
    await eventually(() => assert.notEqual(a.worker.history, 0))
    const begun = a.log.last
    a.caches.useSettings({ redis: null, stateDirectory: undefined })
    const outcome = await a.caches.purge('shop', { urls: ['http://h/x'] })
    assert.ok(outcome.ok)
    assert.deepEqual([outcome.view.history, outcome.view.kept, outcome.view.detail], ['None', false, 'It acts.'])
    assert.equal(a.judge('/x', begun), HARD)
    a.caches.useSettings(a.settings)
    await eventually(async () => {
      const again = await a.caches.purge('shop', { all: true })
      assert.ok(again.ok && again.view.kept)
    })
  })
})
