import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { cacheGroups, invalidatedGroups } from '../../src/cache/cache-groups.ts'
import { invalidatedPaths, invalidates, isSafe, type TargetUri } from '../../src/cache/invalidation.ts'
import { Fields } from '../../src/message/fields.ts'

const TARGET: TargetUri = { scheme: 'https', host: 'shop.example', path: '/orders/7?x=1' }

function paths(fields: Record<string, string>, target: Partial<TargetUri> = {}): readonly string[] {
  return invalidatedPaths({ ...TARGET, ...target }, Fields.from(fields))
}

describe('invalidation', () => {
  it('RFC 9111 §4.4: by every method that is not known to be safe', () => {
    for (const method of ['GET', 'HEAD', 'OPTIONS', 'TRACE', 'QUERY', 'PROPFIND', 'REPORT', 'SEARCH'])
      assert.deepEqual([isSafe(method), invalidates(method, 200)], [true, false])
    for (const method of ['POST', 'PUT', 'DELETE', 'PATCH', 'MOVE', 'LOCK', 'FROB', 'get', ''])
      assert.deepEqual([isSafe(method), invalidates(method, 200)], [false, true])
  })

  it('RFC 9111 §4.4: by responses that are no errors', () => {
    for (const status of [200, 201, 204, 299, 301, 303, 304, 399]) assert.equal(invalidates('POST', status), true)
    for (const status of [100, 103, 199, 400, 404, 500, 503]) assert.equal(invalidates('POST', status), false)
  })

  it('RFC 9111 §4.4: what Location and Content-Location name', () => {
    assert.deepEqual(paths({ location: 'https://shop.example/orders/8' }), ['/orders/8'])
    assert.deepEqual(paths({ location: '8?y=2#z', 'content-location': '/orders' }), ['/orders/8?y=2', '/orders'])
    assert.deepEqual(paths({ location: '//shop.example:443/a/../b' }), ['/b'])
    assert.deepEqual(paths({ location: 'HTTPS://SHOP.EXAMPLE/a' }), ['/a'])
    assert.deepEqual(paths({ location: '', 'content-location': '/orders/7?x=1' }), [])
    assert.deepEqual(paths({ location: '/a', 'content-location': '/a' }), ['/a'])
    assert.deepEqual(paths({ location: '?y' }, { host: '[::1]:8443' }), ['/orders/7?y'])
  })

  it('RFC 9111 §4.4: nothing of another origin', () => {
    for (const location of [
      'https://evil.example/a',
      'http://shop.example/a',
      'https://shop.example:8443/a',
      'https://sub.shop.example/a',
      'https://shop.example@evil.example/a',
      'https://user@shop.example/a',
      '//evil.example/a',
      '\\\\evil.example/a',
      '/\\evil.example/a',
      'javascript:alert(1)',
      'https://shop.example:x/',
      'https://',
    ])
      assert.deepEqual(paths({ location, 'content-location': location }), [], location)
    assert.deepEqual(paths({ location: 'https://shop.example/a' }, { scheme: 'http' }), [])
    assert.deepEqual(paths({ location: 'https://shop.example:444/a' }, { host: 'shop.example:444' }), ['/a'])
  })

  it('RFC 9110 §10.2.2: of several Locations nobody knows which is meant', () => {
    const fields = Fields.from({ location: '/a' })
    fields.add('location', '/b')
    assert.deepEqual(invalidatedPaths(TARGET, fields), [])
  })

  it('throws at nothing, and names paths alone', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary-ascii' }), (location) => {
        const fields = new Fields()
        if (/^[\t\x20-\x7e]*$/.test(location)) fields.add('location', location)
        for (const path of invalidatedPaths(TARGET, fields)) assert.match(path, /^\/[^#]*$/)
      }),
    )
  })
})

describe('groups of responses', () => {
  it('RFC 9875 §2: are a List of Strings whose parameters and order count for nothing', () => {
    assert.deepEqual(cacheGroups(Fields.from({ 'cache-groups': '"scripts";a=1, "Ex\\"JS", "scripts"' })), [
      ...['scripts', 'Ex"JS'],
    ])
    const two = Fields.from({ 'cache-groups': '"a"' })
    two.add('cache-groups', '"b"')
    assert.deepEqual(cacheGroups(two), ['a', 'b'])
    assert.deepEqual(cacheGroups(new Fields()), [])
  })

  it('RFC 9651 §4.2: a field of another type or form has no groups at all', () => {
    for (const value of ['scripts', '"a", b', '"a", 1', '"a" "b"', '"a",', '("a" "b")', '"a', '"é"', '?1', ':YQ==:'])
      assert.deepEqual(cacheGroups(Fields.from({ 'cache-groups': value })), [], value)
  })

  it('RFC 9875 §2: at least 32 groups of 32 characters, and no more than 128 of 128', () => {
    const list = (count: number, length: number) =>
      Array.from({ length: count }, (_, i) => `"${String(i).padStart(length, 'g')}"`).join(', ')
    assert.equal(cacheGroups(Fields.from({ 'cache-groups': list(128, 128) })).length, 128)
    assert.equal(cacheGroups(Fields.from({ 'cache-groups': list(129, 4) })).length, 128)
    assert.equal(cacheGroups(Fields.from({ 'cache-groups': list(3, 129) })).length, 0)
    assert.deepEqual(cacheGroups(Fields.from({ 'cache-groups': '"", "a"' })), ['a'])
    assert.equal(cacheGroups(Fields.from({ 'cache-groups': list(20_000, 4) })).length, 0)
  })

  it('RFC 9875 §3: are made invalid by responses to unsafe methods alone, and by no error', () => {
    const fields = Fields.from({ 'cache-group-invalidation': '"a", "b"' })
    assert.deepEqual(invalidatedGroups('POST', 200, fields), ['a', 'b'])
    assert.deepEqual(invalidatedGroups('DELETE', 303, fields), ['a', 'b'])
    for (const method of ['GET', 'HEAD', 'QUERY', 'OPTIONS'])
      assert.deepEqual(invalidatedGroups(method, 200, fields), [])
    assert.deepEqual(invalidatedGroups('POST', 500, fields), [])
    assert.deepEqual(invalidatedGroups('POST', 200, Fields.from({ 'cache-groups': '"a"' })), [])
  })
})
