/** Purges over two replicas whose way to Redis is cut, and swallows. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { HARD, KEPT } from '../../../src/cache/purges.ts'
import { eventually, suiteScope } from '../../feature/harness.ts'
import { NO_REDIS } from '../../lib/redis-server.ts'
import { pairOf, takes } from './purge-rig.ts'

const scope = suiteScope()

/** Of a machine that is busy; the quicker ones show what the gateway itself waits for. */
const quick = (values: readonly number[]): number => values.toSorted((x, y) => x - y)[values.length >> 2]!

describe('a replica that has lost Redis', { skip: NO_REDIS }, () => {
  it('acts by the first purge behind a lost connection within the goal', async (t) => {
    const { proxy, a, b } = await pairOf(scope)
    const took: number[] = []
    for (let i = 0; i < 9; i++) {
      proxy.drop()
      took.push(await takes(a, [b], `/dropped-${i}`))
    }
    t.diagnostic(`first purge behind a lost connection: ${took.map((ms) => ms.toFixed(0)).join(' ')} ms`)
    assert.ok(quick(took) < 100, `${took} ms`)
  })

  it('and behind an outage of some seconds, as soon as it is back', async (t) => {
    const { server, a, b } = await pairOf(scope)
    const took: number[] = []
    for (let i = 0; i < 3; i++) {
      await server.kill()
      await sleep(1_500)
      await server.run()
      await sleep(600)
      took.push(await takes(a, [b], `/outage-${i}`), await takes(a, [b], `/again-${i}`))
    }
    t.diagnostic(`first and second purge 600 ms behind an outage: ${took.map((ms) => ms.toFixed(0)).join(' ')} ms`)
    assert.ok(quick(took) < 100, `${took} ms`)
  })

  it('dials without waiting for what a network has swallowed, and acts as soon as it is back', async (t) => {
    const { proxy, a, b } = await pairOf(scope)
    const took: number[] = []
    for (let i = 0; i < 8; i++) {
      proxy.swallow()
      await sleep(500 + i * 120)
      proxy.pass()
      took.push(await takes(a, [b], `/swallowed-${i}`))
      // The one that asks, and the one that waits.
      await eventually(() => assert.equal(proxy.connections, 2))
    }
    t.diagnostic(`first purge behind packets that were swallowed: ${took.map((ms) => ms.toFixed(0)).join(' ')} ms`)
    assert.ok(quick(took) < 200, `${took} ms`)
  })

  it('is told as missing where nothing tells it that the connection is dead, and acts soon after it is not', async (t) => {
    const { proxy, a, b } = await pairOf(scope)
    const since = b.log.last
    proxy.swallow()
    const asked = performance.now()
    const view = await a.purge('/swallowed')
    const answered = performance.now() - asked
    assert.deepEqual([view.replicas, view.reached, view.kept], [2, 1, true])
    assert.ok(answered < 2_500, `${answered} ms`)
    assert.equal(b.judge('/swallowed', since), KEPT, 'nobody can tell it')
    proxy.pass()
    const back = performance.now()
    await eventually(() => assert.equal(b.judge('/swallowed', since), HARD))
    const took = performance.now() - back
    t.diagnostic(
      `the answer came after ${answered.toFixed(0)} ms; it acts ${took.toFixed(0)} ms after the network is back`,
    )
    assert.ok(took < 3_000, `${took} ms`)
  })
})

describe('a replica that ends', { skip: NO_REDIS }, () => {
  it('in order is not waited for', async () => {
    const { a, b } = await pairOf(scope)
    await b.caches.stop()
    const begun = performance.now()
    const view = await a.purge('/left')
    assert.deepEqual([view.replicas, view.reached], [1, 1])
    assert.ok(performance.now() - begun < 900)
  })
})
