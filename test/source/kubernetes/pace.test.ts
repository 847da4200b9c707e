import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { Pace } from '../../../src/source/kubernetes/pace.ts'
import { systemTimers } from '../../../src/thread/system-timers.ts'

/** Work that takes as long as it says, by a clock of its own. */
function bench(budget: number) {
  let time = 0
  const done: string[] = []
  const pace = new Pace({ monotonic: () => time, nextTurn: systemTimers.nextTurn }, budget)
  const run = (name: string, takes: number, urgent = false) =>
    pace.run(() => {
      time += takes
      done.push(name)
    }, urgent)
  return { done, run, pace }
}

describe('work that comes in faster than it can be done', () => {
  it('is done at once within the budget, then in the turns that follow', async () => {
    const { done, run } = bench(2)
    assert.equal(run('a', 1), undefined)
    assert.equal(run('b', 5), undefined)
    const c = run('c', 1)
    const d = run('d', 1)
    const e = run('e', 1)
    assert.deepEqual(done, ['a', 'b'])
    await Promise.all([c, d])
    assert.deepEqual(done, ['a', 'b', 'c', 'd'])
    await e
    assert.deepEqual(done, ['a', 'b', 'c', 'd', 'e'])
    await nextTurn()
    await nextTurn()
    assert.equal(run('later', 1), undefined)
  })

  it('has what is urgent before the rest, but within bounds, too', async () => {
    const { done, run } = bench(2)
    run('list', 3)
    const waits = [run('list', 1), run('event', 1, true), run('event', 1, true), run('event', 1, true)]
    assert.deepEqual(done, ['list', 'event'], 'as much again is left for it')
    await Promise.all(waits)
    assert.deepEqual(done, ['list', 'event', 'event', 'event', 'list'])
  })

  it('tells what it throws to whom it concerns, and goes on', async () => {
    const { run, pace } = bench(1)
    assert.throws(() => pace.run(() => assert.fail('now')), /now/)
    run('long', 5)
    const later = pace.run(() => assert.fail('later'))
    const next = run('next', 1)
    await assert.rejects(later!, /later/)
    await next
  })

  it('is done one piece a turn at least, in order', async () => {
    const { done, run } = bench(0)
    await Promise.all(['a', 'b', 'c'].map((name) => run(name, 1)))
    assert.deepEqual(done, ['a', 'b', 'c'])
  })
})
