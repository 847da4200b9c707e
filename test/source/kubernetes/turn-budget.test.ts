import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { TurnBudget } from '../../../src/source/kubernetes/turn-budget.ts'
import { systemTimers } from '../../../src/thread/system-timers.ts'

/** Work of a given duration on a fake clock. */
function bench(budget: number) {
  let time = 0
  const done: string[] = []
  const pace = new TurnBudget({ monotonic: () => time, nextTurn: systemTimers.nextTurn }, budget)
  const run = (name: string, takes: number, urgent = false) =>
    pace.run(() => {
      time += takes
      done.push(name)
    }, urgent)
  return { done, run, pace }
}

describe('the budget of a turn', () => {
  it('runs work at once within the budget, and the rest in later turns', async () => {
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

  it('runs urgent work first, within a bound of its own', async () => {
    const { done, run } = bench(2)
    run('list', 3)
    const waits = [run('list', 1), run('event', 1, true), run('event', 1, true), run('event', 1, true)]
    assert.deepEqual(done, ['list', 'event'], 'as much again is left for it')
    await Promise.all(waits)
    assert.deepEqual(done, ['list', 'event', 'event', 'event', 'list'])
  })

  it('passes an exception to its caller, and continues', async () => {
    const { run, pace } = bench(1)
    assert.throws(() => pace.run(() => assert.fail('now')), /now/)
    run('long', 5)
    const later = pace.run(() => assert.fail('later'))
    const next = run('next', 1)
    await assert.rejects(later!, /later/)
    await next
  })

  it('runs at least one piece of work per turn, in order', async () => {
    const { done, run } = bench(0)
    await Promise.all(['a', 'b', 'c'].map((name) => run(name, 1)))
    assert.deepEqual(done, ['a', 'b', 'c'])
  })
})
