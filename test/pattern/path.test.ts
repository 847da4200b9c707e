import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { hasEncodedSlash, normalizePath } from '../../src/pattern/path.ts'
import { pathText } from '../fuzz/path.ts'
import { normalizeSlowly } from './path-oracle.ts'

const strict = (path: string): string | undefined => normalizePath(path, 'Strict')
const keep = (path: string): string | undefined => normalizePath(path, 'KeepEncodedSlash')

describe('normal form of a path', () => {
  it('keeps a path in normal form', () => {
    for (const path of [
      '/',
      '/a',
      '/a/',
      '/a/b.c/d',
      "/~u/-_.!$&'()*+,;=:@",
      '/.well-known/x',
      '/a/...',
      '/a/..b',
      '/%20',
      '/%C3%A9',
      '/a;v=1/b',
    ])
      assert.equal(strict(path), path)
  })
  it('decodes unreserved characters and writes other escapes in upper case', () => {
    assert.equal(strict('/%7Euser/%41%2d%5f'), '/~user/A-_')
    assert.equal(strict('/caf%c3%a9'), '/caf%C3%A9')
    assert.equal(strict('/a%3ab'), '/a%3Ab')
  })
  it('removes dot segments, also escaped ones, and never leaves the root', () => {
    assert.equal(strict('/a/./b/../c'), '/a/c')
    assert.equal(strict('/a/%2e%2E/b'), '/b')
    assert.equal(strict('/../../etc'), '/etc')
    assert.equal(strict('/a/..'), '/')
    assert.equal(strict('/a/b/..'), '/a/')
    assert.equal(strict('/a/.'), '/a/')
  })
  it('merges slashes, before dot segments are removed', () => {
    assert.equal(strict('//a///b//'), '/a/b/')
    assert.equal(strict('/a//../b'), '/b')
  })
  it('rejects an escaped slash unless the rule keeps it', () => {
    assert.equal(strict('/a%2Fb'), undefined)
    assert.equal(strict('/a%2fb'), undefined)
    assert.equal(keep('/a%2fb'), '/a%2Fb')
    assert.equal(hasEncodedSlash('/a%2Fb'), true)
    assert.equal(hasEncodedSlash('/a/b'), false)
  })
  it('rejects a dot segment between escaped slashes', () => {
    for (const path of ['/a%2F..', '/a%2F../b', '/..%2Fetc', '/.%2Fa', '/a%2F%2e%2e%2Fb', '/a%2F..;x'])
      assert.equal(keep(path), undefined, path)
    assert.equal(keep('/a%2F...'), '/a%2F...')
  })
  it('rejects `..` after a segment with an escaped slash', () => {
    assert.equal(keep('/a%2Fb/../c'), undefined)
    assert.equal(keep('/a%2Fb/x/../c'), '/a%2Fb/c')
  })
  it('rejects backslashes, NUL and dot segments with parameters in every encoding', () => {
    for (const path of [
      '/a\\b',
      '/a%5Cb',
      '/a%5cb',
      '/a%00',
      '/..;/a',
      '/..;x=1/a',
      '/.;/a',
      '/%2e%2e;/a',
      '/..%3b/a',
      '/a/..;',
    ])
      for (const mode of ['Strict', 'KeepEncodedSlash'] as const)
        assert.equal(normalizePath(path, mode), undefined, path)
  })
  it('rejects paths that become one of these when they are decoded repeatedly', () => {
    for (const path of [
      '/%252F',
      '/%252f',
      '/%255C',
      '/%2500',
      '/%252e%252e/a',
      '/..%253B',
      '/.%252e',
      '/%25252F',
      '/%25%32%46',
      '/%2525255c',
    ])
      for (const mode of ['Strict', 'KeepEncodedSlash'] as const)
        assert.equal(normalizePath(path, mode), undefined, path)
    assert.equal(strict('/100%2525'), '/100%2525')
    assert.equal(strict('/a%2520b'), '/a%2520b')
    assert.equal(strict('/file%252Etxt'), '/file%252Etxt')
  })
  it('escapes invalid characters that browsers and tools send', () => {
    assert.equal(normalizePath('/a[0]/{id}', 'Strict'), '/a%5B0%5D/%7Bid%7D')
    assert.equal(normalizePath('/"<>^`|', 'Strict'), '/%22%3C%3E%5E%60%7C')
    assert.equal(normalizePath('/a%5b0%5D', 'Strict'), '/a%5B0%5D')
    assert.equal(normalizePath('/..[/../x', 'Strict'), '/x')
  })

  it('rejects invalid bytes and invalid escapes', () => {
    for (const path of [
      '',
      'a',
      '*',
      '/a b',
      '/a\tb',
      '/a\x7f',
      '/a\0',
      '/ä',
      '/\u{1F600}',
      '/a#b',
      '/a?b',
      '/%',
      '/%2',
      '/%zz',
      '/%u0041',
      '/a%2/b',
    ])
      assert.equal(strict(path), undefined, JSON.stringify(path))
  })
  it('takes linear time', () => {
    const started = performance.now()
    for (const part of ['/..', '/.', '//', '%2e', '%25', '/a/..', '%252', '/;', '%2525'])
      strict(`/${part.repeat(200_000)}`)
    assert.ok(performance.now() - started < 5000)
  })
})

describe('normal form of any path', () => {
  const mode = fc.constantFrom('Strict' as const, 'KeepEncodedSlash' as const)
  it('equals the result of the oracle', () => {
    fc.assert(
      fc.property(pathText, mode, (path, mode) => assert.equal(normalizePath(path, mode), normalizeSlowly(path, mode))),
      { numRuns: 20_000 },
    )
  })
  it('is its own normal form', () => {
    fc.assert(
      fc.property(pathText, mode, (path, mode) => {
        const normal = normalizePath(path, mode)
        if (normal !== undefined) assert.equal(normalizePath(normal, mode), normal)
      }),
      { numRuns: 5000 },
    )
  })
  it('is the same in both modes except for escaped slashes', () => {
    fc.assert(
      fc.property(pathText, (path) => {
        const kept = keep(path)
        assert.equal(strict(path), kept === undefined || hasEncodedSlash(kept) ? undefined : kept)
      }),
      { numRuns: 5000 },
    )
  })
})
