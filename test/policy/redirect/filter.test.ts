import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import type { Exchange } from '../../../src/policy/exchange.ts'
import type { Redirect } from '../../../src/policy/policy-set.ts'
import { redirect } from '../../../src/policy/redirect/filter.ts'
import { make, PLAIN, TestExchange, testDeps } from '../exchange.ts'

function answerOf(action: { type: 'redirect' } & Redirect, x: Exchange) {
  const verdict = make(redirect, { action }).onRequest!(x)
  assert.ok(verdict !== undefined && 'type' in verdict && verdict.type === 'respond')
  return verdict.response
}

function location(action: Partial<Redirect>, given: Partial<Exchange> = {}): string | undefined {
  const answer = answerOf({ type: 'redirect', statusCode: 302, ...action }, new TestExchange(given))
  return answer.fields.get('location') ?? answer.reason
}

describe('a redirect', () => {
  const on = (scheme: 'http' | 'https', host: string, port: number): Partial<Exchange> => ({
    path: '/a',
    query: 'q=1',
    origin: { scheme, host, port },
  })
  const on8080 = on('http', 'shop.example.com', 8080)

  for (const [what, action, given, expected] of [
    ['keeps everything that it does not name', {}, on8080, 'http://shop.example.com:8080/a?q=1'],
    ['takes the well-known port of a scheme it names', { scheme: 'https' }, on8080, 'https://shop.example.com/a?q=1'],
    ['also where that is the scheme of the client', { scheme: 'http' }, on8080, 'http://shop.example.com/a?q=1'],
    ['keeps the port when it names only a host', { hostname: 'b.example' }, on8080, 'http://b.example:8080/a?q=1'],
    ['leaves out 80 for http', { port: 80 }, on8080, 'http://shop.example.com/a?q=1'],
    ['leaves out 443 for https', { scheme: 'https', port: 443 }, on8080, 'https://shop.example.com/a?q=1'],
    ['names 80 for https', { scheme: 'https', port: 80 }, on8080, 'https://shop.example.com:80/a?q=1'],
    ['names 443 for http', { port: 443 }, on8080, 'http://shop.example.com:443/a?q=1'],
    ['names a port that it is given', { port: 8443 }, on8080, 'http://shop.example.com:8443/a?q=1'],
    ['keeps an empty query', {}, { path: '/a', query: '' }, 'http://shop.example.com/a?'],
    ['keeps the scheme of the client', {}, on('https', 's.test', 443), 'https://s.test/a?q=1'],
    ['keeps a port of that scheme', {}, on('https', 's.test', 8443), 'https://s.test:8443/a?q=1'],
    ['leaves out the port of that scheme', { port: 443 }, on('https', 's.test', 8443), 'https://s.test/a?q=1'],
    ['leads out of https', { scheme: 'http' }, on('https', 's.test', 8443), 'http://s.test/a?q=1'],
    ['keeps an IPv6 host', {}, on('http', '[::1]', 8080), 'http://[::1]:8080/a?q=1'],
    ['puts no port behind an IPv6 host where there is none', {}, on('http', '[::1]', 80), 'http://[::1]/a?q=1'],
    ['is relative where the client names no host', {}, on('http', '', 80), '/a?q=1'],
    ['is absolute where it names a host itself', { hostname: 'b.test' }, on('http', '', 80), 'http://b.test/a?q=1'],
    ['is refused where it needs a host: scheme', { scheme: 'https' }, on('http', '', 80), 'BadHost'],
    ['is refused where it needs a host: port', { port: 8443 }, on('http', '', 80), 'BadHost'],
  ] as [string, Partial<Redirect>, Partial<Exchange>, string][])
    it(what, () => assert.equal(location(action, given), expected))

  it('uses the host the client knows, not the one that a proxy made of it', () => {
    const given = {
      host: 'origin.internal',
      path: '/a',
      origin: { scheme: 'https', host: 's.test', port: 443 },
    } as const
    assert.equal(location({}, given), 'https://s.test/a')
  })

  it('is never relative to another host', () => {
    const origin = { scheme: 'http', host: '', port: 80 } as const
    // No codec lets such a path through.
    for (const path of ['//evil.test/', '/\\evil.test/', '///'])
      assert.equal(location({}, { path, origin }), 'BadRewrite', path)
  })

  it('replaces the path in all three ways and keeps the query', () => {
    const given = { path: '/old/a', query: 'q', matchedPrefix: 4 }
    const host = 'http://shop.example.com'
    assert.equal(location({ path: { type: 'ReplaceFullPath', replaceFullPath: '/new' } }, given), `${host}/new?q`)
    assert.equal(location({ path: { type: 'ReplacePrefixMatch', replacePrefixMatch: '/n' } }, given), `${host}/n/a?q`)
    const path = { type: 'ReplaceRegex', pattern: '^/old/(.*)', substitution: '/$1/new' } as const
    assert.equal(location({ path }, given), `${host}/a/new?q`)
  })

  it('refuses a path that is not in normal form', () => {
    assert.equal(location({ path: { type: 'ReplaceFullPath', replaceFullPath: '//evil.example' } }), 'BadRewrite')
  })

  it('sends its status and no body', () => {
    for (const statusCode of [301, 302, 303, 307, 308] as const) {
      const answer = answerOf({ type: 'redirect', statusCode }, new TestExchange())
      assert.deepEqual([answer.status, answer.body, answer.reason], [statusCode, null, undefined])
    }
  })

  it('always leads to the host it says, whatever the path and the query hold', () => {
    const text = fc.string({ unit: 'binary', maxLength: 30 })
    fc.assert(
      fc.property(text, fc.option(text, { nil: undefined }), (rest, query) => {
        // Even were a path to come here that no codec lets through.
        const value = location({ hostname: 'safe.example', scheme: 'https' }, { path: `/${rest}`, query })!
        assert.match(value, /^https:\/\/safe\.example\/[\x21-\x7e]*$/)
        assert.equal(new URL(value).host, 'safe.example')
      }),
    )
  })

  it('explains where it leads', () => {
    const filter = make(redirect, { action: { type: 'redirect', scheme: 'https', statusCode: 301 } })
    assert.deepEqual(filter.explain!(new TestExchange({ path: '/a' })), {
      filter: 'redirect',
      effect: 'redirects to https://shop.example.com/a',
      status: 301,
    })
    const nowhere = new TestExchange({ path: '/a', origin: { scheme: 'http', host: '', port: 80 } })
    assert.deepEqual(filter.explain!(nowhere), {
      filter: 'redirect',
      effect: 'refuses: the request names no host that the location could name',
      status: 400,
    })
    assert.equal(redirect.create(PLAIN, testDeps()), undefined)
  })
})
