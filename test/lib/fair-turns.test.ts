import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { FairTurns } from '../../src/lib/fair-turns.ts'

const work = () => {
  const { promise, resolve, reject } = Promise.withResolvers<string>()
  return { promise, resolve, reject }
}

describe('work in fair turns', () => {
  it('of one group waits for itself, and what another brings comes in the next turn', async () => {
    const turns = new FairTurns({ atOnce: 1, maxWaiting: 100 })
    const order: string[] = []
    const begin = (name: string) => async () => void order.push(name)
    const first = work()
    void turns.run('evil', 'x', () => first.promise)
    const all = [
      ...Array.from({ length: 100 }, (_, i) => turns.run('evil', 'x', begin(`evil ${i}`))),
      turns.run('shop', 'x', begin('shop')),
    ]
    assert.deepEqual([turns.running, turns.waiting], [1, 101])
    first.resolve('')
    await Promise.all(all)
    assert.ok(order.indexOf('shop') <= 1, order.slice(0, 3).join())
    assert.deepEqual([order.length, turns.running, turns.waiting], [101, 0, 0])
  })

  it('is refused where too much of its group waits, and goes on behind work that fails', async () => {
    const turns = new FairTurns({ atOnce: 2, maxWaiting: 1 })
    const [a, b] = [work(), work()]
    const running = [turns.run('a', 'x', () => a.promise), turns.run('a', 'x', () => b.promise)]
    const waiting = turns.run('a', 'x', async () => 'last')
    assert.equal(
      turns.run('a', 'x', async () => 'never'),
      undefined,
    )
    assert.ok(turns.run('b', 'x', async () => 'other') instanceof Promise)
    a.reject(new Error('failed'))
    await assert.rejects(running[0]!, /failed/)
    assert.equal(await waiting, 'last')
    b.resolve('second')
    assert.equal(await running[1], 'second')
  })

  it('leaves the members of a group their room where one of them brings too much', async () => {
    const turns = new FairTurns({ atOnce: 1, maxWaiting: 4, maxWaitingOfMember: 2 })
    const first = work()
    void turns.run('shop', 'evil', () => first.promise)
    const results = ['evil', 'evil', 'evil', 'good', 'good', 'other'].map((member) =>
      turns.run('shop', member, async () => member),
    )
    assert.deepEqual(
      results.map((result) => result !== undefined),
      [true, true, false, true, true, false],
    )
    first.resolve('')
    await Promise.all(results)
    assert.ok(turns.run('shop', 'evil', async () => 'again') instanceof Promise)
  })
})
