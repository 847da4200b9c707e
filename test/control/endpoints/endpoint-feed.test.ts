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
  const feed = new EndpointFeed({
    sink: {
      set: (backend, list) =>
        sets.push(
          `${backend}: ${list.map(({ address, state }) => `${address}${state === 'ready' ? '' : '~'}`).join(' ')}`,
        ),
    },
    endpoints: () => now,
    moves: () => moves,
    time: time.keeper(),
  })
  const pods = (...list: EndpointAddress[]) => {
    now = list
    feed.changed(['a/b'])
    return sets.at(-1)
  }
  return { time, sets, feed, pods }
}

suite('endpoints on their way', () => {
  test('an event acts at once, but not before the backend was compiled', () => {
    const { sets, feed, pods } = world()
    pods(ready('1'))
    assert.deepEqual(sets, [])
    feed.compiled('a/b', [ready('1')])
    assert.equal(pods(ready('1'), ready('2')), 'a/b: 1 2')
    feed.forget('a/b')
    const count = sets.length
    pods(ready('3'))
    assert.equal(sets.length, count)
  })

  test('a compile that began before an event does not restore the old endpoints', () => {
    const { sets, feed, pods } = world(false)
    feed.compiled('a/b', [ready('1')])
    feed.compiling()
    pods(ready('2'))
    feed.compiled('a/b', [ready('1')])
    assert.equal(sets.at(-1), 'a/b: 2')
    feed.compiling()
    feed.compiled('a/b', [ready('3')])
    assert.equal(sets.at(-1), 'a/b: 3')
  })

  test('a ready pod that is in no slice for a moment is never gone', async () => {
    const { time, sets, feed, pods } = world()
    feed.compiled('a/b', [ready('1')])
    assert.equal(pods(), 'a/b: 1~')
    await time.pass(500)
    assert.equal(pods(ready('1')), 'a/b: 1')
    await time.pass(5_000)
    assert.equal(sets.at(-1), 'a/b: 1')
    assert.equal(time.pending, 0)
  })

  test('one that stays away is let go after a second, each in its time', async () => {
    const { time, sets, feed, pods } = world()
    feed.compiled('a/b', [ready('1'), ready('2')])
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
    feed.compiled('a/b', [draining('1'), ready('2')])
    assert.equal(pods(ready('2')), 'a/b: 2')
  })

  test('an endpoint removed from a manifest is removed', () => {
    const { feed, sets } = world(false)
    feed.compiled('a/b', [ready('1')])
    feed.compiled('a/b', [])
    assert.equal(sets.at(-1), 'a/b: ')
  })

  test('nothing rings after a stop', () => {
    const { time, feed, pods } = world()
    feed.compiled('a/b', [ready('1')])
    pods()
    feed.stop()
    assert.equal(time.pending, 0)
  })
})
