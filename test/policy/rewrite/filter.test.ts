import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { normalizePath } from '../../../src/pattern/path.ts'
import type { Exchange } from '../../../src/policy/exchange.ts'
import type { PathRewrite, PolicySet } from '../../../src/policy/policy-set.ts'
import { rewrite } from '../../../src/policy/rewrite/filter.ts'
import { replacePrefix } from '../../../src/policy/rewrite/path-rewrite.ts'
import { make, PLAIN, TestExchange, testDeps } from '../exchange.ts'

/** What is sent upstream, or the reason of the refusal. */
function target(path: PathRewrite, given: Partial<Exchange>, policy: Partial<PolicySet> = {}): string {
  const x = new TestExchange(given)
  const verdict = make(rewrite, { ...policy, rewrite: { path } }).onRequest!(x)
  if (verdict === undefined) return x.query === undefined ? x.path : `${x.path}?${x.query}`
  assert.ok('type' in verdict && verdict.type === 'respond')
  assert.equal(verdict.response.status, 400)
  return verdict.response.reason!
}

function full(replaceFullPath: string): PathRewrite {
  return { type: 'ReplaceFullPath', replaceFullPath }
}

function prefix(replacePrefixMatch: string): PathRewrite {
  return { type: 'ReplacePrefixMatch', replacePrefixMatch }
}

function regex(pattern: string, substitution: string): PathRewrite {
  return { type: 'ReplaceRegex', pattern, substitution }
}

describe('replacing a prefix', () => {
  // The table of Gateway API, HTTPPathModifier.replacePrefixMatch, and what it leaves open.
  for (const [path, matched, replacement, expected] of [
    ['/foo/bar', '/foo', '/xyz', '/xyz/bar'],
    ['/foo/bar', '/foo', '/xyz/', '/xyz/bar'],
    ['/foo/bar', '/foo/', '/xyz', '/xyz/bar'],
    ['/foo/bar', '/foo/', '/xyz/', '/xyz/bar'],
    ['/foo', '/foo', '/xyz', '/xyz'],
    ['/foo/', '/foo', '/xyz', '/xyz/'],
    ['/foo/bar', '/foo', '', '/bar'],
    ['/foo/', '/foo', '', '/'],
    ['/foo', '/foo', '', '/'],
    ['/foo/', '/foo', '/', '/'],
    ['/foo', '/foo', '/', '/'],
    ['/foo/bar', '/foo', '/', '/bar'],
    ['/bar', '/', '/xyz', '/xyz/bar'],
    ['/bar/', '/', '/xyz/', '/xyz/bar/'],
    ['/', '/', '/xyz', '/xyz'],
    ['/', '/', '/', '/'],
    ['/bar', '/', '/', '/bar'],
    ['/foo', '/foo', '/a/b/', '/a/b'],
  ] as const)
    it(`${matched} by ${JSON.stringify(replacement)} makes ${path} ${expected}`, () => {
      assert.equal(target(prefix(replacement), { path, matchedPrefix: matched.length }), expected)
    })

  it('changes nothing where no prefix was matched', () => {
    assert.equal(target(prefix('/xyz'), { path: '/foo', matchedPrefix: 0 }), '/foo')
  })

  it('makes a path in normal form out of any path and any replacement in normal form', () => {
    const segments = fc.array(fc.stringMatching(/^[a-z]{1,3}$/), { maxLength: 4 })
    const pathOf = fc
      .tuple(segments, fc.boolean())
      .map(([parts, slash]) => `/${parts.join('/')}${slash && parts.length ? '/' : ''}`)
    fc.assert(
      fc.property(segments, pathOf, pathOf, (matched, rest, replacement) => {
        const start = matched.length === 0 ? '/' : `/${matched.join('/')}`
        const path = matched.length === 0 ? rest : start + rest
        const result = replacePrefix(path, start.length, replacement)
        assert.equal(normalizePath(result, 'Strict'), result)
        assert.ok(result.startsWith(replacement.replace(/\/$/, '')))
      }),
    )
  })
})

describe('replacing the whole path', () => {
  it('keeps the query, also an empty one', () => {
    assert.equal(target(full('/new'), { path: '/old', query: 'a=1' }), '/new?a=1')
    assert.equal(target(full('/new'), { path: '/old', query: '' }), '/new?')
    assert.equal(target(full('/new'), { path: '/old' }), '/new')
  })

  it('puts a query of the replacement before the one of the client', () => {
    assert.equal(target(full('/new?v=2'), { path: '/old', query: 'a=1' }), '/new?v=2&a=1')
    assert.equal(target(full('/new?v=2'), { path: '/old' }), '/new?v=2')
    assert.equal(target(full('/new?v=2'), { path: '/old', query: '' }), '/new?v=2')
    assert.equal(target(full('/new?'), { path: '/old', query: 'a=1' }), '/new?a=1')
  })

  for (const path of ['/a//b', '/a/../b', 'relative', '', '/a b', '/a%2fb', '/ü', '/a#b', '/%61', '/a?b c', '/a?b#c'])
    it(`refuses ${JSON.stringify(path)}, which is not in normal form`, () => {
      assert.equal(target(full(path), { path: '/old' }), 'BadRewrite')
    })

  it('keeps an encoded slash only where the rule says so', () => {
    assert.equal(target(full('/a%2Fb'), { path: '/old' }), 'BadRewrite')
    assert.equal(target(full('/a%2Fb'), { path: '/old' }, { pathEncoding: 'KeepEncodedSlash' }), '/a%2Fb')
  })
})

describe('replacing by a regular expression', () => {
  it('replaces the first match and puts captures in', () => {
    assert.equal(target(regex('^/v1/(.*)$', '/v2/$1'), { path: '/v1/a/b', query: 'q' }), '/v2/a/b?q')
    assert.equal(target(regex('/(\\w+)/(\\w+)', '/$2/$1'), { path: '/a/b/c/d' }), '/b/a/c/d')
  })

  it('leaves a path alone that does not match', () => {
    assert.equal(target(regex('^/v1/', '/v2/'), { path: '/v3/x' }), '/v3/x')
  })

  it('moves a part of the path into the query', () => {
    assert.equal(target(regex('^/item/(\\d+)$', '/item?id=$1'), { path: '/item/7', query: 'a=1' }), '/item?id=7&a=1')
  })

  it('refuses what captures put together to something that is not in normal form', () => {
    assert.equal(target(regex('^/a(.*)$', '/$1'), { path: '/a/etc' }), 'BadRewrite')
    assert.equal(target(regex('^/(.)(.)', '/$1/$2'), { path: '/b./x' }), 'BadRewrite')
  })

  it('refuses a pattern that does not compile when the chain is composed', () => {
    assert.throws(() => make(rewrite, { rewrite: { path: regex('(', '/') } }), TypeError)
  })

  it('never sends a path that is not in normal form, whatever matched', () => {
    const path = fc.stringMatching(/^(\/[a-c.%2Ff]{0,4}){1,4}$/).map((path) => normalizePath(path, 'KeepEncodedSlash'))
    const substitution = fc.array(fc.constantFrom('/', '.', '$1', '$2', 'a', '%2', 'F', '?'), { maxLength: 6 })
    fc.assert(
      fc.property(path, substitution, (path, parts) => {
        fc.pre(path !== undefined)
        const x = new TestExchange({ path })
        const verdict = make(rewrite, { rewrite: { path: regex('(/[^/]*)(.*)', parts.join('')) } }).onRequest!(x)
        if (verdict === undefined) assert.equal(normalizePath(x.path, 'Strict'), x.path)
      }),
    )
  })
})

describe('rewriting the host', () => {
  it('sends another host, and leaves what was matched alone', () => {
    const x = new TestExchange()
    assert.equal(make(rewrite, { rewrite: { hostname: 'api.internal' } }).onRequest!(x), undefined)
    assert.deepEqual([x.upstreamHost, x.host], ['api.internal', 'shop.example.com'])
  })
})

describe('a rewrite', () => {
  it('is not composed where there is nothing to rewrite or nothing is sent', () => {
    assert.equal(rewrite.create({ ...PLAIN, rewrite: {} }, testDeps()), undefined)
    const policy: PolicySet = { ...PLAIN, action: { type: 'redirect', statusCode: 302 }, rewrite: { hostname: 'x' } }
    assert.equal(rewrite.create(policy, testDeps()), undefined)
  })

  it('explains itself without touching the request', () => {
    const filter = make(rewrite, { rewrite: { hostname: 'api.internal', path: prefix('/') } })
    const x = Object.freeze(new TestExchange({ path: '/api/a', query: 'q=1', matchedPrefix: 4 }))
    assert.deepEqual(filter.explain!(x), {
      filter: 'rewrite',
      effect: 'replaces the path /api/a by /a?q=1, sends the host api.internal in place of shop.example.com',
    })
    const bad = make(rewrite, { rewrite: { path: full('/a//b') } }).explain!(x)
    assert.equal(bad?.status, 400)
    assert.match(bad?.effect ?? '', /^refuses: the path \/api\/a /)
  })
})
