import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { KeyWriter } from '../../src/cache/key.ts'
import { hasCookie, hasHeader, writeCookieSelector, writeHeaderSelector } from '../../src/cache/selectors.ts'
import type { Fields } from '../../src/message/fields.ts'
import { received } from './stored.ts'

const writer = new KeyWriter()
const keyOf = (write: () => void): string => {
  writer.begin(new Uint8Array(0))
  write()
  return writer.copy().toString('latin1')
}
const byHeader = (...lines: string[]): string => keyOf(() => writeHeaderSelector(writer, 'x-user', received(...lines)))
const byCookie = (...cookies: string[]): string =>
  keyOf(() => writeCookieSelector(writer, 'sid', received(...cookies.map((cookie) => `Cookie: ${cookie}`))))

describe('a header in a key', () => {
  it('is the same whatever else the request has', () => {
    assert.equal(byHeader('X-User: a', 'accept: b'), byHeader('accept: c', 'x-user: a'))
  })

  it('is another one where it is absent, empty, repeated, joined or spelled so that some servers take it', () => {
    const keys = [
      byHeader(),
      byHeader('x-user: '),
      byHeader('x-user: a'),
      byHeader('x-user: A'),
      byHeader('x-user: a', 'x-user: b'),
      byHeader('x-user: b', 'x-user: a'),
      byHeader('x-user: a, b'),
      byHeader('x_user: a'),
      byHeader('x-user: a', 'X_User: b'),
      byHeader('x.user: a'),
    ]
    assert.equal(new Set(keys).size, keys.length)
  })
})

describe('a cookie in a key', () => {
  it('is the same whatever other cookies there are', () => {
    const plain = byCookie('sid=1')
    for (const cookie of ['a=2; sid=1', 'sid=1;b=3', 'SIDE=1; sid=1; x.y=1; _ga=GA1.2', 'sid=1 ; a=', ';; sid=1;'])
      assert.equal(byCookie(cookie), plain, cookie)
    assert.equal(byCookie('a=1'), byCookie('b=2'))
    assert.equal(byCookie('a=1'), byCookie())
  })

  it('is another one for every way in which a server may read it', () => {
    const keys = [
      byCookie(),
      byCookie('sid='),
      byCookie('sid=1'),
      byCookie('sid=2'),
      byCookie('sid=1; sid=2'),
      byCookie('sid=2; sid=1'),
      byCookie('sid=1', 'sid=2'),
      byCookie('sid'),
      byCookie('SID=1'),
      byCookie('%73id=1'),
      byCookie('sid=1; %73id=2'),
      byCookie('sid =1'),
      byCookie('sid[0]=1'),
      byCookie('a=1, sid=2'),
      byCookie('a="; sid=1; "'),
      byCookie('sid="1"'),
      byCookie('sid=1; a="'),
      byCookie('=sid=1'),
      byCookie('=sid=2; a=1'),
      byCookie('a=b sid=1'),
      byCookie('a=b\tsid=2; sid=1'),
      byCookie('sid=1; a=b sid=2'),
      byCookie('sid=1 sid=2'),
      byCookie('s[d=1'),
    ]
    assert.equal(new Set(keys).size, keys.length)
    // PHP reads it as `s_d`.
    assert.notEqual(
      keyOf(() => writeCookieSelector(writer, 's_d', received('Cookie: s[d=1'))),
      keyOf(() => writeCookieSelector(writer, 's_d', received())),
    )
  })
})

describe('what makes a request pass the cache by', () => {
  it('is there where it is empty, repeated, or in a spelling that some servers take for it', () => {
    for (const cookie of [
      'preview=1',
      'preview=',
      'preview',
      'a=1; preview=2',
      'PREVIEW=1',
      'pre%76iew=1',
      'preview[]=1',
      'a=1, preview=2',
      'preview =1',
      '=preview=1',
      'a=1; ==preview',
      'a=b preview=1',
      'a=b\tpreview',
      'a=b  preview = 1',
      'pre%76iew[x]=1',
      '\xa0preview=1',
      'a=1;\x0cpreview\xa0=1',
    ])
      assert.ok(hasCookie(received(`Cookie: ${cookie}`), 'preview'), cookie)
    for (const cookie of ['a=preview', 'previews=1', 'xpreview=1', '', '=', 'a=b=preview', '[preview]=1'])
      assert.ok(!hasCookie(received(`Cookie: ${cookie}`), 'preview'), cookie)
    for (const cookie of ['pre_view=1', 'pre.view=1', 'pre view=1', 'pre[view=1', 'pre+view=1'])
      assert.ok(hasCookie(received(`Cookie: ${cookie}`), 'pre_view'), cookie)
    assert.ok(!hasCookie(received('X: preview=1'), 'preview'))
    assert.ok(hasHeader(received('X-Debug: '), 'x-debug') && hasHeader(received('x_debug: 1'), 'x-debug'))
    assert.ok(!hasHeader(received('x-debugs: 1'), 'x-debug'))
    const added = received()
    added.set('x-debug', '1')
    assert.ok(hasHeader(added, 'x-debug'))
  })
})

describe('many cookies', () => {
  const NAMES = Array.from({ length: 8 }, (_, i) => `sid${i}`)
  /** A pair that has to be decoded, and one that has no name. */
  const PAIRS = '%61=; ;'.repeat(5_000)
  let sent = 0

  /** CPU time of the fastest of several requests, none of which has the cookies of the one before. */
  function cheapest(names: readonly string[], ask: (name: string, request: Fields) => void): number {
    let least = Infinity
    for (let round = 0; round < 12; round++) {
      const request = received(`Cookie: ${PAIRS}n=${sent++}`)
      const before = process.cpuUsage()
      for (const name of names) ask(name, request)
      const { user, system } = process.cpuUsage(before)
      least = Math.min(least, user + system)
    }
    return least
  }

  for (const [what, ask] of [
    ['looked for', (name: string, request: Fields) => void hasCookie(request, name)],
    ['in a key', (name: string, request: Fields) => void keyOf(() => writeCookieSelector(writer, name, request))],
  ] as const)
    it(`are gone through once, however many names are ${what}`, () => {
      const one = cheapest(NAMES.slice(0, 1), ask)
      const all = cheapest(NAMES, ask)
      assert.ok(all < 4 * one, `${all} µs for ${NAMES.length} names, ${one} µs for one`)
    })
})
