import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { requestPath, unmatchablePattern } from '../../src/pattern/manifest-path.ts'
import { normalizePath } from '../../src/pattern/path.ts'

const pathOf = (written: string): string | undefined => {
  const read = requestPath(written)
  return 'path' in read ? read.path : undefined
}

/** What the URL parser of every browser makes of it (WHATWG URL). */
const sentByClient = (written: string): string | undefined =>
  normalizePath(new URL(`http://x.test${written}`).pathname, 'KeepEncodedSlash')

describe('a path of a manifest', () => {
  it('has the form that a client sends', () => {
    for (const [written, path] of [
      ['/a b', '/a%20b'],
      ['/café', '/caf%C3%A9'],
      ['/日本/x', '/%E6%97%A5%E6%9C%AC/x'],
      ['/😀', '/%F0%9F%98%80'],
      ['/a%20b', '/a%20b'],
      ['/%c3%a9', '/%C3%A9'],
      ['/a[0]{b}', '/a%5B0%5D%7Bb%7D'],
      ['/a//b/./c', '/a/b/c'],
    ] as const) {
      assert.equal(pathOf(written), path)
      assert.equal(sentByClient(written), path, 'and the URL parser agrees')
    }
  })

  it('reports why no request can have it', () => {
    for (const [written, why] of [
      ['a', /begins with a slash/],
      ['/a?b=1', /begins the query.*%3F/],
      ['/a#b', /begins the fragment.*%23/],
      ['/100%', /two hexadecimal digits.*%25/],
      ['/a\\b', /backslash/],
      ['/a\tb', /no client can send/],
      ['/a\ud800', /no client can send/],
      ['/a%00', /escaped backslash or NUL/],
      ['/..;/x', /dot segment with parameters/],
    ] as const) {
      const read = requestPath(written)
      assert.match('fault' in read ? read.fault : `none: ${read.path}`, why)
    }
  })

  it('has the form of the URL parser for any path', () => {
    const part = fc.string({
      unit: fc.constantFrom('a', 'é', ' ', '/', '.', '[', '%41', '%2F', '日', '"', '|', ';', '\u007f'),
    })
    fc.assert(
      fc.property(part, (text) => {
        // A URL parser drops blanks at the end of the whole URL.
        const written = `/x/${text}z`
        const path = pathOf(written)
        // Dots that a URL parser resolves before it sends them are resolved by us too, unless they are refused.
        if (path !== undefined && !text.includes('.')) assert.equal(path, sentByClient(written))
        if (path !== undefined) assert.equal(pathOf(path), path, 'a normal form is its own')
      }),
    )
  })
})

describe('a regular expression over paths', () => {
  it('is reported when it requires a character that no path contains', () => {
    for (const [pattern, why] of [
      ['/a b', /"\s".*write %20/],
      ['/café', /"é".*write %C3%A9/],
      ['/(x|日本)', /"日".*write %E6%97%A5/],
      ['/a\\?b=1', /begins the query, which queryParams match/],
      ['/a#top', /begins the fragment/],
      ['/\\{id\\}', /"\{".*write %7B/],
      ['/[a-z]+ x', /" "/],
      ['/[^]]+é', /"é"/],
    ] as const)
      assert.match(unmatchablePattern(pattern) ?? `${pattern} passes`, why)
  })

  it('is accepted otherwise', () => {
    for (const pattern of [
      '/item/[0-9]+',
      '/[^? #]+',
      '/a{2,3}',
      '/(?:a|b)?',
      '/[[:alpha:] ]x',
      '/\\d+\\.html$',
      '^/x$',
      '/%C3%A9',
      '/\\p{L}+',
      '/(?P<id>[0-9]+)/(?<name>x)',
      '(?i)/a(?:b|c)',
      '(?i:/a)',
      '/\\Qa b\\E',
      '/\\x{41}',
    ])
      assert.equal(unmatchablePattern(pattern), undefined, pattern)
  })
})
