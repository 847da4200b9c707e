import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { parseList, Token } from 'structured-headers'
import { type CacheStatus, cacheStatusMember } from '../../src/cache/cache-status.ts'

/** Read as a structured field by a library. */
function read(status: CacheStatus): [string, Record<string, unknown>] {
  const list = parseList(cacheStatusMember('headgate', status))
  assert.equal(list.length, 1)
  const [name, parameters] = list[0] as unknown as [Token, Map<string, unknown>]
  assert.ok(name instanceof Token)
  const plain = [...parameters].map(([key, value]) => [key, value instanceof Token ? String(value) : value])
  return [String(name), Object.fromEntries(plain)]
}

describe('Cache-Status', () => {
  it('RFC 9211 §2: is one member of a list for each response', () => {
    assert.equal(cacheStatusMember('headgate', {}), 'headgate;hit')
    assert.deepEqual(read({ ttl: 30 }), ['headgate', { hit: true, ttl: 30 }])
    assert.deepEqual(read({ ttl: -7, collapsed: true }), ['headgate', { hit: true, ttl: -7, collapsed: true }])
    assert.deepEqual(read({ forwarded: 'uri-miss', forwardedStatus: 304, stored: true }), [
      'headgate',
      { fwd: 'uri-miss', 'fwd-status': 304, stored: true },
    ])
  })

  it('RFC 9211 §2.7: shows a key as a string, with what is no ASCII escaped', () => {
    assert.deepEqual(read({ key: 'GET "a\\b"' })[1], { hit: true, key: 'GET "a\\b"' })
    assert.deepEqual(read({ key: 'é\r\n\0' })[1], { hit: true, key: '%C3%A9%0D%0A%00' })
    assert.deepEqual(read({ forwarded: 'stale', detail: 'Expired' })[1], { fwd: 'stale', detail: 'Expired' })
    assert.deepEqual(read({ forwarded: 'stale', detail: 'no room' })[1], { fwd: 'stale', detail: 'no room' })
  })

  it('is a structured field whatever a key holds, and of bounded length', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 700 }), fc.double(), (text, ttl) => {
        const [, { key, detail }] = read({ key: text, detail: text, ttl: Number.isNaN(ttl) ? 0 : ttl })
        assert.ok(typeof key === 'string' && typeof detail === 'string')
        assert.ok(cacheStatusMember('headgate', { key: text }).length < 7_000)
      }),
    )
  })
})

describe('the member of a plain hit', () => {
  it('is made for the time that is left, however often and for whom it was made before', () => {
    const ask = (name: string, ttl: number) => cacheStatusMember(name, { ttl })
    assert.deepEqual(
      [ask('a', 5), ask('a', 5), ask('b', 5), ask('b', -1), ask('a', 4.9)],
      ['a;hit;ttl=5', 'a;hit;ttl=5', 'b;hit;ttl=5', 'b;hit;ttl=-1', 'a;hit;ttl=4'],
    )
    assert.equal(cacheStatusMember('a', { ttl: 4.9, collapsed: true }), 'a;hit;ttl=4;collapsed')
    assert.equal(cacheStatusMember('a', { ttl: 4.9, detail: 'x' }), 'a;hit;ttl=4;detail=x')
    assert.equal(cacheStatusMember('a', { ttl: 4.9, forwarded: 'stale' }), 'a;fwd=stale;ttl=4')
  })
})
