import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { EndpointFeed } from '../../../src/control/endpoints/endpoint-feed.ts'
import type { EndpointAddress } from '../../../src/snapshot/snapshot.ts'
import { VirtualTime } from '../../lib/virtual-time.ts'

const ready = (address: string): EndpointAddress => ({ address, port: 80, weight: 1, state: 'ready' })
const draining = (address: string): EndpointAddress => ({ ...ready(address), state: 'draining' })

function world(moves = true) {
  const time = new VirtualTime()
  const sets: string[] = []
  let now: readonly EndpointAddress[] = []
  const newest = { connects: 'HTTP' }
  const feed = new EndpointFeed({
    sink: {
      set: (backend, list) =>
        sets.push(
          `${backend}: ${list.map(({ address, state }) => `${address}${state === 'ready' ? '' : '~'}`).join(' ')}`,
        ),
    },
    endpoints: () => now,
    connects: () => newest.connects,
    moves: () => moves,
    time: time.keeper(),
  })
  const pods = (...list: EndpointAddress[]) => {
    now = list
    feed.changed(['a/b'])
    return sets.at(-1)
  }
  return { time, sets, feed, pods, newest }
}

suite('endpoints on their way', () => {
  test('an event acts at once, but not before the backend was compiled', () => {
    const { sets, feed, pods } = world()
    pods(ready('1'))
    assert.deepEqual(sets, [])
    feed.compiled('a/b', [ready('1')], 'HTTP')
    assert.equal(pods(ready('1'), ready('2')), 'a/b: 1 2')
    feed.forget('a/b')
    const count = sets.length
    pods(ready('3'))
    assert.equal(sets.length, count)
  })

  test('a compile that began before an event does not restore the old endpoints', () => {
    const { sets, feed, pods } = world(false)
    feed.compiled('a/b', [ready('1')], 'HTTP')
    feed.compiling()
    pods(ready('2'))
    feed.compiled('a/b', [ready('1')], 'HTTP')
    assert.equal(sets.at(-1), 'a/b: 2')
    feed.compiling()
    feed.compiled('a/b', [ready('3')], 'HTTP')
    assert.equal(sets.at(-1), 'a/b: 3')
  })

  test('a ready pod that is in no slice for a moment is never gone', async () => {
    const { time, sets, feed, pods } = world()
    feed.compiled('a/b', [ready('1')], 'HTTP')
    assert.equal(pods(), 'a/b: 1~')
    await time.pass(500)
    assert.equal(pods(ready('1')), 'a/b: 1')
    await time.pass(5_000)
    assert.equal(sets.at(-1), 'a/b: 1')
    assert.equal(time.pending, 0)
  })

  test('one that stays away is let go after a second, each in its time', async () => {
    const { time, sets, feed, pods } = world()
    feed.compiled('a/b', [ready('1'), ready('2')], 'HTTP')
    assert.equal(pods(ready('2')), 'a/b: 2 1~')
    await time.pass(600)
    assert.equal(pods(), 'a/b: 1~ 2~')
    await time.pass(500)
    assert.equal(sets.at(-1), 'a/b: 2~')
    await time.pass(600)
    assert.equal(sets.at(-1), 'a/b: ')
    assert.equal(time.pending, 0)
  })

  test('one that was terminating is dropped when it is gone', () => {
    const { feed, pods } = world()
    feed.compiled('a/b', [draining('1'), ready('2')], 'HTTP')
    assert.equal(pods(ready('2')), 'a/b: 2')
  })

  test('an endpoint removed from a manifest is removed', () => {
    const { feed, sets } = world(false)
    feed.compiled('a/b', [ready('1')], 'HTTP')
    feed.compiled('a/b', [], 'HTTP')
    assert.equal(sets.at(-1), 'a/b: ')
  })

  test('pods of a backend that is about to be connected to in another way come with the compile that says so', () => {
    const { sets, feed, pods, newest } = world()
    feed.compiled('a/b', [ready('1')], 'HTTP')
    newest.connects = 'H2C'
    assert.equal(pods(ready('2')), 'a/b: 1')
    assert.deepEqual(feed.takeDeferred(), [], 'the compile in progress does not know of them')
    feed.compiling()
    feed.compiling()
    assert.deepEqual(feed.takeDeferred(), ['a/b'])
    assert.deepEqual(feed.takeDeferred(), [])
    feed.compiled('a/b', [ready('2')], 'H2C')
    assert.equal(sets.at(-1), 'a/b: 2', 'a pod that spoke HTTP/1.1 is not held for those that speak HTTP/2')
    assert.equal(pods(ready('2'), ready('3')), 'a/b: 2 3')
  })

  test('pods that act ahead of a compile do not hold back what it says of the protocol', () => {
    const { sets, feed, pods } = world(false)
    feed.compiled('a/b', [ready('1')], 'HTTP')
    feed.compiling()
    pods(ready('2'))
    feed.compiled('a/b', [ready('3')], 'H2C')
    assert.equal(sets.at(-1), 'a/b: 3')
  })

  test('pods wait for a compile where a change of their Service is known; of a backend not compiled, nothing waits', () => {
    const { feed } = world()
    feed.compiled('a/b', [ready('1')], 'HTTP')
    feed.defer(['a/b', 'a/c'])
    feed.compiling()
    assert.deepEqual(feed.takeDeferred(), ['a/b'])
    feed.defer(['a/b'])
    feed.forget('a/b')
    feed.compiling()
    assert.deepEqual(feed.takeDeferred(), [])
  })

  test('nothing rings after a stop', () => {
    const { time, feed, pods } = world()
    feed.compiled('a/b', [ready('1')], 'HTTP')
    pods()
    feed.stop()
    assert.equal(time.pending, 0)
  })
})
