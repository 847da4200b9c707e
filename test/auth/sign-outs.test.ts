import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { SignOuts, signOutId } from '../../src/auth/sign-outs.ts'

const until = 1_000_000
const entry = (value: string, before = 100) => ({ id: signOutId('sub', value), before, until })

describe('the list of sessions that are over', () => {
  it('ends those of one client that began before, and no others', () => {
    const list = new SignOuts()
    list.add('shop', 'shop/a', entry('alice'))
    const ids = [signOutId('sub', 'alice')]
    assert.equal(list.isOver('shop/a', ids, 100), true)
    assert.equal(list.isOver('shop/a', ids, 101), false)
    assert.equal(list.isOver('shop/b', ids, 100), false)
    assert.equal(list.isOver('shop/a', [signOutId('sid', 'alice')], 100), false)
    // An older logout that comes late takes nothing back.
    list.add('shop', 'shop/a', entry('alice', 50))
    assert.equal(list.isOver('shop/a', ids, 100), true)
    list.sweep(until)
    assert.equal(list.size, 0)
  })

  it('ends too many sessions rather than too few when it is full, and those of who fills it', () => {
    const list = new SignOuts(100)
    list.add('quiet', 'quiet/a', entry('alice', 7))
    for (let i = 0; i < 1_000; i++) list.add('loud', 'loud/a', entry(`user ${i}`, i))
    assert.equal(list.size, 100)
    assert.equal(list.isOver('quiet/a', [signOutId('sub', 'alice')], 7), true)
    assert.equal(list.isOver('quiet/a', [signOutId('sub', 'bob')], 7), false)
    for (let i = 0; i < 1_000; i++) assert.equal(list.isOver('loud/a', [signOutId('sub', `user ${i}`)], i), true)
    assert.equal(list.isOver('loud/a', [signOutId('sub', 'somebody')], 100), true)
    assert.equal(list.isOver('loud/a', [signOutId('sub', 'somebody')], 1_000), false)
  })

  it('is the same in a thread that begins later', () => {
    const list = new SignOuts(4)
    for (let i = 0; i < 9; i++) list.add('shop', 'shop/a', entry(`user ${i}`, i))
    const copy = new SignOuts(4)
    for (const [client, { owner, entries }] of list.byClient())
      for (const one of entries) copy.add(owner, client, structuredClone(one))
    for (let i = 0; i < 12; i++)
      for (let began = 0; began < 12; began++) {
        const ids = [signOutId('sub', `user ${i}`)]
        assert.equal(copy.isOver('shop/a', ids, began), list.isOver('shop/a', ids, began))
      }
  })
})
