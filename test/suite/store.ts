/** What every store of bytes promises, run on each implementation. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { Store, StoreScope } from '../../src/cache/store.ts'

export interface StoreRig {
  /** All scopes that are opened share these. */
  open(scope: StoreScope): Store
  /** Lets time pass. */
  pass(milliseconds: number): Promise<void>
}

const MINE = { owner: 'shop', name: 'cache' }

/** @param make stores that keep at least a dozen short values, and none longer than some kilobytes */
export function storeSuite(name: string, make: () => StoreRig): void {
  const text = async (store: Store, key: string): Promise<string | undefined> => {
    const value = await store.get(key)
    return value === undefined ? undefined : Buffer.from(value).toString()
  }

  describe(`a store: ${name}`, () => {
    it('gives back what was set, the newest of it, until it is deleted', async () => {
      const store = make().open(MINE)
      assert.equal(await text(store, 'a'), undefined)
      assert.equal(await store.set('a', Buffer.from('one'), 1_000), true)
      assert.equal(await store.set('b', Buffer.from('other'), 1_000), true)
      assert.equal(await store.set('a', Buffer.from('two'), 1_000), true)
      assert.deepEqual([await text(store, 'a'), await text(store, 'b')], ['two', 'other'])
      await store.delete('a')
      await store.delete('never there')
      assert.deepEqual([await text(store, 'a'), await text(store, 'b')], [undefined, 'other'])
    })

    it('keeps empty values, all bytes, and keys of any characters', async () => {
      const store = make().open(MINE)
      const all = Uint8Array.from({ length: 256 }, (_, i) => i)
      await store.set('', all, 1_000)
      await store.set('GET http://a.test/ä?b=\0 c', new Uint8Array(0), 1_000)
      assert.deepEqual([...(await store.get(''))!], [...all])
      assert.equal((await store.get('GET http://a.test/ä?b=\0 c'))!.length, 0)
    })

    it('forgets when the time is over, counted from the last set', async () => {
      const rig = make()
      const store = rig.open(MINE)
      await store.set('short', Buffer.from('x'), 100)
      await store.set('long', Buffer.from('y'), 10_000)
      await store.set('again', Buffer.from('z'), 100)
      await rig.pass(60)
      await store.set('again', Buffer.from('z'), 100)
      await rig.pass(60)
      assert.deepEqual(await Promise.all(['short', 'long', 'again'].map((key) => text(store, key))), [
        undefined,
        'y',
        'z',
      ])
    })

    it('keeps nothing for no time, nor what was there before', async () => {
      const store = make().open(MINE)
      await store.set('a', Buffer.from('old'), 1_000)
      assert.equal(await store.set('a', Buffer.from('new'), 0), false)
      assert.equal(await text(store, 'a'), undefined)
    })

    it('refuses what is too long, and does not keep the old value in its place', async () => {
      const store = make().open(MINE)
      assert.equal(await store.set('a', Buffer.alloc(store.maxValueBytes, 'x'), 1_000), true)
      assert.equal((await store.get('a'))!.length, store.maxValueBytes)
      assert.equal(await store.set('a', Buffer.alloc(store.maxValueBytes + 1), 1_000), false)
      assert.equal(await store.get('a'), undefined)
    })

    it('keeps a copy: what is given may be a window into a buffer that is used again', async () => {
      const store = make().open(MINE)
      const buffer = Buffer.from('....value....')
      await store.set('a', buffer.subarray(4, 9), 1_000)
      buffer.fill('!')
      assert.equal(await text(store, 'a'), 'value')
      assert.equal((await store.get('a'))!.buffer.byteLength, 5)
    })

    it('tells scopes apart, and finds the keys of one again', async () => {
      const rig = make()
      const scopes = [
        MINE,
        { owner: 'shop', name: 'cache a' },
        { owner: 'shop', name: 'auth' },
        { owner: 'team', name: 'cache' },
      ]
      for (const scope of scopes) await rig.open(scope).set('a b', Buffer.from(`${scope.owner} ${scope.name}`), 1_000)
      await rig.open(MINE).set('b', Buffer.from('plain'), 1_000)
      for (const scope of scopes)
        assert.equal(await text(rig.open({ ...scope }), 'a b'), `${scope.owner} ${scope.name}`)
      assert.equal(await text(rig.open({ owner: 'shop', name: 'cache a' }), 'b'), undefined)
    })

    it('rejects with the reason of a signal that has fired, and does nothing then', async () => {
      const store = make().open(MINE)
      await store.set('a', Buffer.from('kept'), 1_000)
      const reason = new Error('nobody waits for it')
      const signal = AbortSignal.abort(reason)
      await assert.rejects(store.get('a', signal), reason)
      await assert.rejects(store.set('a', Buffer.from('new'), 1_000, signal), reason)
      await assert.rejects(store.delete('a', signal), reason)
      assert.equal(await text(store, 'a'), 'kept')
    })
  })
}
