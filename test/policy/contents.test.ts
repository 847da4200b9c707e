import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { ContentStore, contentId } from '../../src/policy/contents.ts'

const bytes = (text: string): Uint8Array => Buffer.from(text)

describe('contents', () => {
  it('are known by what they are of, and nothing else has the same identity', () => {
    const ref = { kind: 'ConfigMap', namespace: 'shop', name: 'pages', key: '502.html' } as const
    assert.equal(contentId(ref), 'ConfigMap shop/pages 502.html')
    const others = [
      { ...ref, kind: 'Secret' },
      { ...ref, namespace: 'shop2' },
      { ...ref, name: 'page' },
      { ...ref, key: '503.html' },
      { ...ref, type: 'Opaque' },
    ] as const
    assert.equal(new Set([ref, ...others].map(contentId)).size, 6)
  })

  it('are the bytes last applied; an array handed out is never changed', () => {
    const store = new ContentStore()
    assert.equal(store.get('a'), undefined)
    store.apply([{ id: 'a', bytes: bytes('one') }])
    const had = store.get('a')
    store.apply([
      { id: 'a', bytes: bytes('two') },
      { id: 'b', bytes: bytes('b') },
    ])
    assert.equal(String(had), 'one')
    assert.equal(String(store.get('a')), 'two')
    store.apply([{ id: 'a', bytes: null }])
    assert.equal(store.get('a'), undefined)
    assert.equal(String(store.get('b')), 'b')
  })

  it('are forgotten unless they are among those that there are', () => {
    const store = new ContentStore()
    store.apply(['a', 'b', 'c'].map((id) => ({ id, bytes: bytes(id) })))
    store.retain(['b', 'x'])
    assert.deepEqual(
      ['a', 'b', 'c', 'x'].map((id) => store.get(id)?.length),
      [undefined, 1, undefined, undefined],
    )
  })
})
