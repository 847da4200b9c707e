import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { UnreadReferences } from '../../../src/control/resources/unread-references.ts'
import { systemTimers } from '../../../src/thread/system-timers.ts'

function unread(known: Set<string>) {
  let clock = 0
  const { promise, resolve } = Promise.withResolvers<void>()
  let done = 0
  const one = new UnreadReferences({
    hasRead: (object) => known.has(object),
    done: () => {
      done++
      resolve()
    },
    time: { ...systemTimers, monotonic: () => clock },
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

describe('references to objects that were not read yet', () => {
  it('are waited for until all of them were read', async () => {
    const known = new Set<string>(['Service shop/a'])
    const { one, promise, done } = unread(known)
    one.add(['Service shop/a', 'Service shop/b'])
    assert.equal(one.busy, true)
    await new Promise((resolve) => setTimeout(resolve, 30))
    assert.deepEqual([one.busy, done()], [true, 0])
    known.add('Service shop/b')
    await promise
    assert.deepEqual([one.busy, done()], [false, 1])
  })

  it('does not wait for long, and then not again at once', async () => {
    const { one, promise, pass } = unread(new Set())
    one.add(['Service shop/never'])
    pass(501)
    await promise
    assert.equal(one.busy, false)
    one.add(['Service shop/other'])
    assert.equal(one.busy, false, 'everybody else has a turn')
    pass(101)
    one.add(['Service team/third'])
    assert.equal(one.busy, true)
    one.stop()
    assert.equal(one.busy, false)
  })

  it('does not wait for a namespace again and again that names ever new ones', async () => {
    const { one, promise, pass } = unread(new Set(['Service noisy/read']))
    one.add(['Service noisy/never', 'Service noisy/read'])
    pass(501)
    await promise
    for (let i = 0; i < 90; i++) {
      pass(101)
      one.add([`Service noisy/new-${i}`])
      assert.equal(one.busy, false, `after ${i} more`)
    }
    one.add(['Service noisy/another', 'Service calm/new'])
    assert.equal(one.busy, true, 'for another namespace it does')
    one.stop()
    pass(10_000)
    one.add(['Service noisy/later'])
    assert.equal(one.busy, true)
    one.stop()
  })

  it('waits for a thousand objects of a namespace, and for none of one that names more', () => {
    const { one, pass } = unread(new Set())
    one.add(Array.from({ length: 1_024 }, (_, i) => `Service shop/s${i}`))
    assert.equal(one.busy, true)
    one.add(['ConfigMap shop/one-more'])
    assert.equal(one.busy, false)
    one.add(['Service calm/a'])
    assert.equal(one.busy, true, 'for another namespace it does')
    one.stop()
    one.add(['Service shop/a'])
    assert.equal(one.busy, false)
    pass(10_001)
    one.add(['Service shop/a'])
    assert.equal(one.busy, true)
    one.stop()
  })

  it('waits for nothing where there is nothing', () => {
    const { one } = unread(new Set())
    one.add([])
    assert.equal(one.busy, false)
  })
})
