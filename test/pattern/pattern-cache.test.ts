import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { PatternCache } from '../../src/pattern/pattern-cache.ts'

describe('the cache of patterns', () => {
  it('compiles a source once and evicts the least recently used pattern', () => {
    const cache = new PatternCache(2)
    const a = cache.get('a')
    cache.get('b')
    assert.equal(cache.get('a'), a)
    cache.get('c')
    assert.ok(cache.has('a') && cache.has('c') && !cache.has('b'))
    assert.equal(cache.size, 2)
  })
  it('throws a TypeError for a pattern that does not compile', () => {
    assert.throws(() => new PatternCache().get('('), TypeError)
    assert.throws(() => new PatternCache(0), TypeError)
  })
  it('drops patterns that are not in use', () => {
    const cache = new PatternCache()
    for (let i = 0; i < 65; i++) cache.get(`old-${i}`)
    assert.ok(cache.stale)
    const kept = cache.get('kept')
    cache.retain(new Set(['kept', 'never seen']))
    assert.deepEqual([cache.size, cache.get('kept') === kept, cache.stale], [1, true, false])
  })
  it('is not stale while most patterns are in use', () => {
    const cache = new PatternCache()
    const used = new Set(Array.from({ length: 500 }, (_, i) => `p${i}`))
    for (const source of used) cache.get(source)
    cache.retain(used)
    for (let i = 0; i < 500; i++) cache.get(`next-${i}`)
    assert.ok(!cache.stale)
    for (let i = 500; i < 600; i++) cache.get(`next-${i}`)
    assert.ok(cache.stale)
  })
  it('shrinks patterns first, then drops them', () => {
    const large = new PatternCache(4096, 4 * 1024 * 1024)
    for (let i = 0; i < 80; i++) {
      const text = Array.from({ length: 2_000 }, (_, k) => (Math.imul(k + i, k * 7919) & 64 ? 'a' : 'b')).join('')
      large.get(`.*a.{${100 + i}}b`).matches(text)
    }
    assert.ok(large.bytes > 5 * 1024 * 1024, `${large.bytes}`)
    large.relieve()
    assert.equal(large.size, 80)
    assert.ok(large.bytes < 4 * 1024 * 1024)
    const small = new PatternCache(4096, 100_000)
    for (let i = 0; i < 80; i++) small.get(`.*a.{${100 + i}}b`)
    small.relieve()
    assert.ok(small.size > 0 && small.size < 80 && small.bytes <= 100_000)
  })
})
