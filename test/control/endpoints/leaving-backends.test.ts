import assert from 'node:assert/strict'
import { beforeEach, describe, it } from 'node:test'
import { LeavingBackends } from '../../../src/control/endpoints/leaving-backends.ts'
import { LEAVING_TIME } from '../../../src/shared-memory/process-block.ts'
import { VirtualTime } from '../../lib/virtual-time.ts'

describe('Backends that leave', () => {
  let time: VirtualTime
  let state: { oldestWaitedFor: number; published: number }
  let busy: Set<string>
  let short: Set<string>
  let gone: string[]
  /** By turn, how many were withdrawn. */
  let turns: number[]
  let asked: number
  let leaving: LeavingBackends

  beforeEach(() => {
    time = new VirtualTime()
    state = { oldestWaitedFor: 0, published: 5 }
    busy = new Set()
    short = new Set()
    gone = []
    turns = []
    asked = 0
    let before = 0
    let looked = 0
    const keeper = time.keeper()
    leaving = new LeavingBackends({
      block: state,
      isBusy: (backend) => busy.has(backend),
      isShort: (namespace) => {
        asked++
        return short.has(namespace)
      },
      withdraw: (backend) => gone.push(backend),
      withdrawn: () => {
        turns.push(gone.length - before)
        before = gone.length
      },
      // Each look at the clock takes a hundredth of a turn.
      time: { ...keeper, monotonic: () => keeper.monotonic() + (looked += 0.02) },
    })
  })

  it('leave at once where nobody waits, and else when those have gone on', async () => {
    leaving.add('a/free')
    leaving.add('a/busy')
    busy.add('a/busy')
    leaving.look()
    assert.deepEqual(gone, ['a/free'])
    state.published = 6
    state.oldestWaitedFor = 5
    leaving.add('b/waited')
    leaving.look()
    await time.pass(300)
    assert.deepEqual(gone, ['a/free'])
    busy.delete('a/busy')
    await time.pass(100)
    assert.deepEqual(gone, ['a/free', 'a/busy'], 'who waits was matched when it was gone')
    state.oldestWaitedFor = 6
    await time.pass(100)
    assert.deepEqual(gone.at(-1), 'b/waited')
    assert.equal(time.pending, 0)
  })

  it('leave where rows are short, and after a while whoever waits; one that comes back stays', async () => {
    busy = new Set(['a/one', 'b/two', 'b/back'])
    for (const backend of busy) leaving.add(backend)
    short.add('a')
    leaving.look()
    assert.deepEqual(gone, ['a/one'])
    leaving.delete('b/back')
    await time.pass(LEAVING_TIME - 200)
    assert.deepEqual(gone, ['a/one'])
    await time.pass(300)
    assert.deepEqual(gone, ['a/one', 'b/two'])
    assert.equal(time.pending, 0)
  })

  it('are thousands that are looked at in slices, and a namespace is asked about once in each', async () => {
    const all = Array.from({ length: 2_000 }, (_, i) => `n-${i % 4}/${i}`)
    for (const backend of all) leaving.add(backend)
    leaving.look()
    assert.ok(gone.length > 0 && gone.length < 200, `${gone.length} in the first turn`)
    // What comes meanwhile is looked at, too.
    leaving.add('late/late')
    leaving.look()
    await time.pass(0)
    assert.deepEqual(gone, [...all, 'late/late'])
    assert.ok(
      turns.every((count) => count < 200),
      `${Math.max(...turns)}`,
    )
    busy = new Set(all)
    for (const backend of all) leaving.add(backend)
    asked = 0
    leaving.look()
    await time.pass(0)
    assert.ok(asked > 0 && asked < 200, `${asked} questions`)
    leaving.stop()
    assert.equal(time.pending, 0)
  })
})
