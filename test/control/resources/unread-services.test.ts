import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { UnreadServices } from '../../../src/control/resources/unread-services.ts'

function unread(known: Set<string>) {
  let clock = 0
  const { promise, resolve } = Promise.withResolvers<void>()
  let done = 0
  const one = new UnreadServices({
    knows: (service) => known.has(service),
    done: () => {
      done++
      resolve()
    },
    now: () => clock,
  })
  return {
    one,
    promise,
    done: () => done,
    pass: (time: number) => {
      clock += time
    },
  }
}

describe('what names Services that were not read yet', () => {
  it('waits until all of them were read', async () => {
    const known = new Set<string>(['shop/a'])
    const { one, promise, done } = unread(known)
    one.add(['shop/a', 'shop/b'])
    assert.equal(one.busy, true)
    await new Promise((resolve) => setTimeout(resolve, 30))
    assert.deepEqual([one.busy, done()], [true, 0])
    known.add('shop/b')
    await promise
    assert.deepEqual([one.busy, done()], [false, 1])
  })

  it('does not wait for long, and then not again at once', async () => {
    const { one, promise, pass } = unread(new Set())
    one.add(['shop/never'])
    pass(501)
    await promise
    assert.equal(one.busy, false)
    one.add(['shop/other'])
    assert.equal(one.busy, false, 'everybody else has a turn')
    pass(101)
    one.add(['team/third'])
    assert.equal(one.busy, true)
    one.stop()
    assert.equal(one.busy, false)
  })

  it('does not wait for a namespace again and again that names ever new ones', async () => {
    const { one, promise, pass } = unread(new Set(['noisy/read']))
    one.add(['noisy/never', 'noisy/read'])
    pass(501)
    await promise
    for (let i = 0; i < 90; i++) {
      pass(101)
      one.add([`noisy/new-${i}`])
      assert.equal(one.busy, false, `after ${i} more`)
    }
    one.add(['noisy/another', 'calm/new'])
    assert.equal(one.busy, true, 'for another namespace it does')
    one.stop()
    pass(10_000)
    one.add(['noisy/later'])
    assert.equal(one.busy, true)
    one.stop()
  })

  it('waits for nothing where there is nothing', () => {
    const { one } = unread(new Set())
    one.add([])
    assert.equal(one.busy, false)
  })
})
