import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import {
  noDirectives,
  parseCacheControl,
  parseRequestDirectives,
  type ResponseDirectives,
  requestDirectives,
} from '../../src/cache/cache-control.ts'
import { controllingDirectives, DEFAULT_TARGETS } from '../../src/cache/targeted-fields.ts'
import type { RequestDirectives } from '../../src/cache/verdicts.ts'
import { Fields } from '../../src/message/fields.ts'

/** What a response states beyond what no field at all states. */
function stated(...lines: string[]): Partial<ResponseDirectives> {
  return difference(parseCacheControl(lines))
}

function difference(directives: ResponseDirectives): Partial<ResponseDirectives> {
  const nothing: object = noDirectives()
  return Object.fromEntries(
    Object.entries(directives).filter(([key, value]) =>
      key === 'excluded' ? value.length > 0 : value !== (nothing as Record<string, unknown>)[key],
    ),
  )
}

function targeted(fields: Record<string, string>): Partial<ResponseDirectives> & { targeted: boolean } {
  const found = controllingDirectives(Fields.from(fields), DEFAULT_TARGETS)
  return { ...difference(found.directives), targeted: found.targeted }
}

describe('Cache-Control of responses', () => {
  it('RFC 9111 §5.2: compares names without regard to case', () => {
    assert.deepEqual(stated('No-Store, PRIVATE, Max-Age=5'), { noStore: true, private: true, maxAge: 5 })
  })

  it('RFC 9111 §5.2: takes arguments as tokens and as quoted strings', () => {
    assert.deepEqual(stated('max-age="5", s-maxage=7'), { maxAge: 5, sMaxAge: 7 })
    assert.deepEqual(stated('max-age="\\5"'), { maxAge: 5 })
  })

  it('RFC 9111 §5.2.3: ignores directives that it does not know, with whatever they quote', () => {
    assert.deepEqual(stated('community="UCI, no-store, private", max-age=5, a=b, c'), { maxAge: 5 })
    assert.deepEqual(stated('x="\\", no-store, \\"", max-age=5'), { maxAge: 5 })
  })

  it('RFC 9110 §5.6.1.2: ignores empty elements and white space', () => {
    assert.deepEqual(stated(' ,, max-age=5 ,\t, no-store,'), { maxAge: 5, noStore: true })
    assert.deepEqual(stated('', ',', ' \t'), {})
  })

  it('RFC 9110 §5.3: reads all lines', () => {
    assert.deepEqual(stated('max-age=5', 'no-store'), { maxAge: 5, noStore: true })
  })

  it('RFC 9111 §4.2.1: takes a lifetime that is no number for none', () => {
    for (const value of ['', '=', '=-1', '=1.5', '=1e3', '=0x10', '=five', '="5 "', "='5'", '=+5', '=٥'])
      assert.deepEqual(stated(`max-age${value}`).broken, true, value)
    assert.deepEqual(stated('s-maxage=x, max-age=5'), { sMaxAge: 0, maxAge: 5, broken: true })
  })

  it('RFC 9111 §4.2.1: takes two different values of one directive for none', () => {
    assert.deepEqual(stated('max-age=5, max-age=6'), { maxAge: 0, broken: true })
    assert.deepEqual(stated('max-age=5', 'max-age=6'), { maxAge: 0, broken: true })
    assert.deepEqual(stated('max-age=5, max-age="5", max-age=05'), { maxAge: 5 })
  })

  it('RFC 9111 §1.2.2: takes seconds beyond 2^31 for 2^31', () => {
    assert.deepEqual(stated(`max-age=${2 ** 31}`), { maxAge: 2 ** 31 })
    assert.deepEqual(stated(`max-age=${'9'.repeat(400)}`), { maxAge: 2 ** 31 })
    assert.deepEqual(stated('max-age=2147483647'), { maxAge: 2 ** 31 - 1 })
  })

  it('RFC 9111 §5.2.2.7: private with field names is about these alone', () => {
    assert.deepEqual(stated('private="X-User, x-session"'), { excluded: ['x-user', 'x-session'] })
    assert.deepEqual(stated('private=x-user'), { excluded: ['x-user'] })
    assert.deepEqual(stated('private="x-user", private'), { excluded: ['x-user'], private: true })
  })

  it('RFC 9111 §5.2.2.4: no-cache with field names is about these alone', () => {
    assert.deepEqual(stated('no-cache=" ,Set-Cookie ,\t", no-cache="x"'), { excluded: ['set-cookie', 'x'] })
    assert.deepEqual(stated('no-cache="x", no-cache'), { excluded: ['x'], noCache: true })
  })

  it('RFC 9111 §5.2.2: what cannot be read, kept or chosen without a named field is named as a whole', () => {
    for (const name of ['Content-Encoding', 'content-range', 'content-type', 'Vary', 'cache-control']) {
      assert.equal(parseCacheControl([`private="x, ${name}"`]).private, true, name)
      assert.equal(parseCacheControl([`no-cache="${name}, x"`]).noCache, true, name)
    }
  })

  it('takes private and no-cache for the whole response where their argument is no list of names', () => {
    for (const argument of ['""', '" "', '","', '"a b"', '"a;b"', '"a, b:"', '"\\""']) {
      assert.deepEqual(stated(`private=${argument}`), { private: true }, argument)
      assert.deepEqual(stated(`no-cache=${argument}`), { noCache: true }, argument)
    }
  })

  it('takes private for the whole response where it names more than 64 fields', () => {
    const names = Array.from({ length: 65 }, (_, i) => `x-${i}`)
    assert.equal(stated(`private="${names.slice(1).join()}"`).private, undefined)
    assert.equal(stated(`private="${names.join()}"`).private, true)
    assert.equal(stated(`private="${names.slice(1).join()}", no-cache="x-0"`).noCache, true)
    // Far more cost no more.
    assert.equal(stated(`private="${Array.from({ length: 30_000 }, (_, i) => `x${i}`).join()}"`).private, true)
  })

  it('obeys what forbids though it has an argument, and nothing that allows', () => {
    assert.deepEqual(stated('no-store=1, must-revalidate="x", proxy-revalidate=0, must-understand=0'), {
      ...{ noStore: true, mustRevalidate: true, proxyRevalidate: true, mustUnderstand: true },
    })
    assert.deepEqual(stated('public=x, immutable="1"'), {})
  })

  it('trusts no line that is not of the grammar, and obeys what any of its words forbids', () => {
    for (const line of [
      'public; max-age=60',
      'max-age = 60',
      'max-age=60 public',
      'public, max-age="60',
      'public="\\"',
      '"public", max-age=60',
      'max-age=60, pub(lic',
      'max-age=60, x="\u0100"',
    ])
      assert.equal(stated(line).broken, true, line)
    assert.deepEqual(stated('x="y, no-store'), { noStore: true, broken: true })
    assert.deepEqual(stated('max-age=5; Private'), { private: true, broken: true })
    assert.deepEqual(stated('must-revalidate; no-cache'), { noCache: true, broken: true })
    assert.deepEqual(stated('max-age=5', 'x;no-store', 'public'), {
      maxAge: 5,
      noStore: true,
      public: true,
      broken: true,
    })
  })

  it('RFC 5861 §3: reads both windows for stale responses, of several the shortest', () => {
    assert.deepEqual(stated('stale-while-revalidate=30, stale-if-error=60'), {
      staleWhileRevalidate: 30,
      staleIfError: 60,
    })
    assert.deepEqual(stated('stale-while-revalidate=30, stale-while-revalidate=20'), { staleWhileRevalidate: 20 })
    assert.deepEqual(stated('stale-while-revalidate=x, stale-if-error'), { staleWhileRevalidate: 0, staleIfError: 0 })
  })

  it('reads long values in a time that grows with their length alone', () => {
    const begun = performance.now()
    for (const piece of ['a,', 'private="a",', '\\"', ' \t', 'a="', '"', 'no-cache="a,,,,,,,,,"', 'a=b '])
      parseCacheControl([piece.repeat(100_000 / piece.length), `x="${piece.repeat(20_000)}"`])
    assert.ok(performance.now() - begun < 8_000)
  })

  it('throws at nothing', () => {
    fc.assert(fc.property(fc.array(fc.string({ unit: 'binary' })), (lines) => void parseCacheControl(lines)))
  })
})

describe('targeted fields', () => {
  it('RFC 9213 §2.2: the first targeted field decides, Cache-Control is ignored', () => {
    assert.deepEqual(targeted({ 'cache-control': 'no-store', 'cdn-cache-control': 'max-age=600' }), {
      maxAge: 600,
      targeted: true,
    })
    assert.deepEqual(
      targeted({ 'cdn-cache-control': 'max-age=600', 'headgate-cache-control': 'private', 'cache-control': 'public' }),
      { private: true, targeted: true },
    )
    assert.deepEqual(targeted({ 'cache-control': 'no-store', 'cdn-cache-control': 'none' }), { targeted: true })
  })

  it('RFC 9213 §2.1: a targeted field that is empty or does not parse counts as absent', () => {
    for (const value of [
      '',
      '   ',
      'Max-Age=600',
      'max-age=600,',
      'max-age= 600',
      'max-age=600;',
      'no-store max-age=1',
      'é=1',
    ])
      assert.deepEqual(
        targeted({ 'cdn-cache-control': value, 'cache-control': 'no-store' }),
        { noStore: true, targeted: false },
        value,
      )
    assert.deepEqual(targeted({ 'headgate-cache-control': '(', 'cdn-cache-control': 'max-age=1' }), {
      maxAge: 1,
      targeted: true,
    })
  })

  it('RFC 9213 §2.2: a targeted field that is not on the list changes nothing', () => {
    assert.deepEqual(targeted({ 'other-cache-control': 'no-store', 'cache-control': 'max-age=5' }), {
      maxAge: 5,
      targeted: false,
    })
  })

  it('RFC 9213 §2.1: ignores parameters, and takes no value of another type', () => {
    assert.deepEqual(targeted({ 'cdn-cache-control': 'max-age=60;a="b";c, private="x-a, x-b";d' }), {
      maxAge: 60,
      excluded: ['x-a', 'x-b'],
      targeted: true,
    })
    for (const value of ['60.0', '60.5', '"60"', '-60', 'sixty', '?1', '(60)', ':NjA=:'])
      assert.deepEqual(
        targeted({ 'cdn-cache-control': `max-age=${value}` }),
        { maxAge: 0, broken: true, targeted: true },
        value,
      )
    assert.deepEqual(targeted({ 'cdn-cache-control': 'private=x, no-cache=1' }), {
      ...{ private: true, noCache: true, targeted: true },
    })
    assert.deepEqual(targeted({ 'cdn-cache-control': 'private=(x)' }), { private: true, targeted: true })
  })

  it('RFC 9651 §4.2.2: of one key the last member counts, also for its type', () => {
    assert.deepEqual(targeted({ 'cdn-cache-control': 'max-age=1, max-age=2' }), { maxAge: 2, targeted: true })
    assert.deepEqual(targeted({ 'cdn-cache-control': 'max-age=1.5, max-age=2' }), { maxAge: 2, targeted: true })
    assert.deepEqual(targeted({ 'cdn-cache-control': 'max-age=2, x="a,max-age=3.5", max-age=4.0' }), {
      ...{ maxAge: 0, broken: true, targeted: true },
    })
    assert.deepEqual(targeted({ 'cdn-cache-control': 'x="\\"", max-age=2;a=1.5, y="max-age=1.0"' }), {
      maxAge: 2,
      targeted: true,
    })
  })

  it('RFC 9651 §4.2: reads all lines of a targeted field as one', () => {
    const fields = Fields.from({ 'cdn-cache-control': 'max-age=60, private="x-a"' })
    fields.add('cdn-cache-control', 'max-age=5')
    const { directives } = controllingDirectives(fields, DEFAULT_TARGETS)
    assert.deepEqual(difference(directives), { maxAge: 5, excluded: ['x-a'] })
    fields.add('cdn-cache-control', '')
    assert.equal(controllingDirectives(fields, DEFAULT_TARGETS).targeted, false)
  })

  it('takes a directive that is false for none', () => {
    assert.deepEqual(targeted({ 'cdn-cache-control': 'no-store=?0, private=?0, max-age=5' }), {
      maxAge: 5,
      targeted: true,
    })
    assert.deepEqual(targeted({ 'cdn-cache-control': 'no-store=?1, public=?1, must-revalidate=1' }), {
      ...{ noStore: true, public: true, mustRevalidate: true, targeted: true },
    })
  })

  it('throws at nothing', () => {
    const text = fc.array(
      fc.constantFrom('max-age', '=', '"', '(', ')', ';', ',', ' ', '1', '.', '?', '@', '%', ':', 'a'),
    )
    fc.assert(
      fc.property(
        fc.oneof(
          text.map((pieces) => pieces.join('')),
          fc.string(),
        ),
        (value) => {
          const fields = new Fields()
          if (/^[\t\x20-\x7e\x80-\xff]*$/.test(value)) fields.add('cdn-cache-control', value)
          controllingDirectives(fields, DEFAULT_TARGETS)
        },
      ),
    )
  })
})

describe('Cache-Control of requests', () => {
  const NOTHING = requestDirectives(new Fields())
  const asked = (...lines: string[]): Partial<RequestDirectives> => {
    const nothing = NOTHING as unknown as Record<string, unknown>
    return Object.fromEntries(
      Object.entries(parseRequestDirectives(lines)).filter(([key, value]) => value !== nothing[key]),
    )
  }

  it('RFC 9111 §5.2.1: reads all directives, of several values the one that asks for most', () => {
    assert.deepEqual(asked('Max-Age=5, MAX-STALE=6, min-fresh=7, no-cache, no-store, only-if-cached, no-transform'), {
      ...{ maxAge: 5_000, maxStale: 6_000, minFresh: 7_000, noCache: true, noStore: true, onlyIfCached: true },
    })
    assert.deepEqual(asked('max-age=5, max-age=4', 'min-fresh=1, min-fresh=3, max-stale, max-stale=2, max-stale=4'), {
      ...{ maxAge: 4_000, minFresh: 3_000, maxStale: 2_000 },
    })
    assert.deepEqual(asked('stale-if-error=9'), { staleIfError: 9_000 })
  })

  it('RFC 9111 §5.2.1.2: max-stale without a value takes any', () => {
    assert.deepEqual(asked('max-stale'), { maxStale: Number.POSITIVE_INFINITY })
    assert.deepEqual(asked('max-stale=x'), { maxStale: 0 })
  })

  it('takes a value that is no number for what asks for most, or for nothing', () => {
    assert.deepEqual(asked('max-age=x, min-fresh=x, stale-if-error=x'), { maxAge: 0, staleIfError: 0 })
  })

  it('obeys the words of a line that is not of the grammar', () => {
    assert.deepEqual(asked('x="; No-Store'), { noStore: true })
    assert.deepEqual(asked('max-age=0; no-cache'), { noCache: true })
  })

  it('RFC 9111 §5.4: takes Pragma for no-cache where there is no Cache-Control', () => {
    assert.equal(requestDirectives(Fields.from({ pragma: 'No-Cache' })).noCache, true)
    assert.equal(requestDirectives(Fields.from({ pragma: 'x=", no-cache' })).noCache, true)
    assert.equal(requestDirectives(Fields.from({ pragma: 'x="no-cache"' })).noCache, false)
    assert.equal(requestDirectives(Fields.from({ pragma: 'no-cache', 'cache-control': 'max-age=5' })).noCache, false)
  })

  it('makes no object where there is nothing to read', () => {
    assert.equal(requestDirectives(Fields.from({ accept: '*/*' })), NOTHING)
  })
})
