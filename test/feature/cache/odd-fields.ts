/** Fields with odd bytes, fields that are there twice, and fields that are named where they may not be. */
import assert from 'node:assert/strict'
import { it } from 'node:test'
import { type CacheRig, date, type Fate, FRESH, type Row, STANDARD, shown, table } from './rig.ts'

const row = (rule: string, fate: Fate, ...answer: string[]): Row => ({ rule, answer, fate })
const cc = (directives: string): string => `cache-control: ${directives}`

const CONTROL: readonly (readonly [directives: string, fate: Fate])[] = [
  ['max-age=3600\t,\tpublic', 'hit'],
  ['\tmax-age=3600', 'hit'],
  [',,,max-age=3600,,,', 'hit'],
  ['max-age=3600, ext="\xe9"', 'hit'],
  ['max-age=3600, ext="\\""', 'hit'],
  ['max-age=3600, ext=""', 'hit'],
  [`max-age=${'1'.repeat(40)}`, 'hit'],
  [`max-age=${2n ** 63n}`, 'hit'],
  ['max-age=2147483647', 'hit'],
  ['max-age=2147483649', 'hit'],
  ['max-age=3600, \xe9', 'asks'],
  ['max-age=3600\xa0', 'asks'],
  ['max-age=\u0663\u0666', 'asks'],
  ['max-age=3600, ext="', 'asks'],
  ['max-age=3600, ext="a\\', 'asks'],
  ['max-age =3600', 'asks'],
  ['max-age= 3600', 'asks'],
  ['max-age\t=3600', 'asks'],
  ['max-age=="3600"', 'asks'],
  ['max-age="36\\00"', 'hit'],
  ['max-age=3600 public', 'asks'],
  ['max-age:3600', 'asks'],
  ['max-age=3_600', 'asks'],
  ['max-age=""', 'asks'],
  ['max-age=-0', 'asks'],
  ['max-age=a3600', 'asks'],
  ['max-age=3600a', 'asks'],
  ['max-age=3600.0', 'asks'],
  ['max-age=3600, max-age=3600', 'hit'],
  ['max-age=3600, max-age="3600"', 'hit'],
  ['max-age=1800, max-age=1', 'asks'],
  ['s-maxage=3600, s-maxage=0', 'asks'],
  ['s-maxage=-1, max-age=3600', 'asks'],
  ['ext="max-age=3600", max-age=0', 'stale'],
  ['max-age=0, ext="max-age=3600"', 'stale'],
  ['max-age=3600, =, public', 'asks'],
  ['max-age=3600, no-store x', 'unstored'],
  ['max-age=3600, "no-store', 'unstored'],
  ['max-age=3600, private="x', 'unstored'],
  ['max-age=3600, no-cache="a, b', 'asks'],
  ['max-age=3600, no-cache=""', 'asks'],
  ['max-age=3600, private=""', 'unstored'],
  ['max-age=3600, private="a b"', 'unstored'],
  ['public="no", max-age=3600', 'hit'],
  ['no\u2010store, max-age=3600', 'asks'],
]

const EXPIRES: readonly (readonly [value: string, fate: Fate])[] = [
  ['Tue, 19 Jan 2038 14:14:08 GMT', 'hit'],
  ['Sun, 21 Nov 2286 04:46:39 GMT', 'hit'],
  ['Thursday, 18-Aug-50 02:01:18 GMT', 'hit'],
  ['Mon Aug  8 02:01:18 2050', 'hit'],
  ['THU, 18 Aug 2050 02:01:18 GMT', 'hit'],
  ['Thu, 18 AUG 2050 02:01:18 GMT', 'hit'],
  ['Thu, 18 Aug 2050 02:01:18 gMT', 'hit'],
  // No recipient has to know on what day of the week a date is.
  ['Sun, 18 Aug 2050 02:01:18 GMT', 'hit'],
  ['Sat, 31 Dec 2050 23:59:60 GMT', 'hit'],
  ['Thu, 18 Aug 2050 02:01:18 UTC', 'asks'],
  ['Thu, 18 Aug 2050 02:01:18 AEST', 'asks'],
  ['Thu, 18 Aug 2050 02:01:18 +0000', 'asks'],
  ['Thu, 18 Aug 2050 02:01:18 Z', 'asks'],
  ['Thu, 18 Aug 50 02:01:18 GMT', 'asks'],
  ['Thu 18 Aug 2050 02:01:18 GMT', 'asks'],
  ['Thu, 18  Aug  2050 02:01:18 GMT', 'asks'],
  ['Thu, 18-Aug-2050 02:01:18 GMT', 'asks'],
  ['Thu, 18 Aug 2050 02.01.18 GMT', 'asks'],
  ['Thu, 18 Aug 2050 2:01:18 GMT', 'asks'],
  ['Thu, 8 Aug 2050 02:01:18 GMT', 'asks'],
  ['Thu, 18 August 2050 02:01:18 GMT', 'asks'],
  ['Thu, 18 Aug 2050 24:00:00 GMT', 'asks'],
  ['Thu, 18 Aug 2050 02:60:00 GMT', 'asks'],
  ['Thu, 18 Aug 2050 02:00:61 GMT', 'asks'],
  ['Wed, 29 Feb 2051 02:00:00 GMT', 'asks'],
  ['"Thu, 18 Aug 2050 02:01:18 GMT"', 'asks'],
  ['Thu, 18 Aug 2050 02:01:18 GMT;', 'asks'],
  ['18 Aug 2050 02:01:18 GMT', 'asks'],
  ['2539563678', 'asks'],
  ['\xe9', 'asks'],
]

const DATES: readonly (readonly [lines: readonly string[], fate: Fate, why: string])[] = [
  [['date:'], 'hit', 'none: that of its arrival'],
  [[`date: ${date(-7_200)}`, `date: ${date(0)}`], 'stale', 'two: the older'],
  [[`date: ${date(0)}`, `date: ${date(-7_200)}`], 'stale', 'two: the older, wherever it stands'],
  [[`date: ${date(0)}`, `date: ${date(0)}`], 'hit', 'twice the same'],
  [['date: Sat, 01 Jan 10000 00:00:00 GMT'], 'hit', 'after 9999: as none'],
  [['date: Fri, 31 Dec 9999 23:59:59 GMT'], 'hit', 'far ahead is no age'],
  [['date: Thu, 01 Jan 1970 00:00:00 GMT'], 'stale', '1970'],
  [['date: Mon, 01 Jan 0001 00:00:00 GMT'], 'stale', 'the year 1'],
]

const AGES: readonly (readonly [lines: readonly string[], fate: Fate])[] = [
  [['age: 2147483647'], 'stale'],
  [['age: 2147483648'], 'stale'],
  [['age: 2147483649'], 'stale'],
  [['age: 0, 0'], 'hit'],
  [['age: 60', 'age: 60'], 'hit'],
  [['age: 7200;foo=1'], 'hit'],
  [['age: -1, 7200'], 'hit'],
  [['age:'], 'hit'],
  [['age: , 7200'], 'hit'],
  [['age: +7200'], 'hit'],
  [['age: 0x7200'], 'hit'],
  [['age: \u0667'], 'hit'],
]

/** What Connection takes away from a response (RFC 9110 §7.6.1) that caches go by. */
const NAMED: readonly (readonly [name: string, ...fields: string[]])[] = [
  ['cache-control', 'cache-control: no-store', `last-modified: ${date(-9e6)}`],
  ['cache-control', FRESH],
  ['vary', FRESH, 'vary: x-a'],
  ['Vary', FRESH, 'vary: *'],
  ['age', FRESH, 'age: 7200'],
  ['expires', FRESH, 'expires: 0'],
  ['set-cookie', FRESH, 'set-cookie: a=b'],
  ['cdn-cache-control', FRESH, 'cdn-cache-control: no-store'],
  ['vary', 'cdn-cache-control: max-age=3600', 'vary: x-a'],
  ['content-encoding', FRESH, 'content-encoding: gzip'],
]

const ROWS: readonly Row[] = [
  ...CONTROL.map(([directives, fate]) =>
    row(`§5.2 ${JSON.stringify(directives).slice(0, 60)}: ${fate}`, fate, cc(directives)),
  ),
  ...EXPIRES.map(([value, fate]) => row(`§5.3, RFC 9110 §5.6.7 Expires: ${value}: ${fate}`, fate, `expires: ${value}`)),
  row('§5.3 two lines of Expires, both ahead', 'asks', `expires: ${date(3_600)}`, `expires: ${date(3_601)}`),
  ...DATES.map(([lines, fate, why]) => row(`§4.2.3 Date, ${why}: ${fate}`, fate, FRESH, ...lines)),
  ...AGES.map(([lines, fate]) => row(`§5.1 ${JSON.stringify(lines)}: ${fate}`, fate, FRESH, ...lines)),
  ...NAMED.map(([name, ...fields]) =>
    row(
      `RFC 9110 §7.6.1 Connection names ${name}: ${fields.join(', ').slice(0, 40)}`,
      'unstored',
      `connection: x, ${name}`,
      ...fields,
    ),
  ),
  row(
    '§5.2.2.7 private names Content-Encoding, without which the body is another one',
    'unstored',
    cc('max-age=3600, private="content-encoding"'),
    'content-encoding: gzip',
  ),
  row('§5.2.2.4 no-cache names Vary', 'asks', cc('max-age=3600, no-cache="vary"'), 'vary: x-a'),
  row('§4.3.1 two ETags are none', 'asks', cc('max-age=0'), 'etag: "a"', 'etag: "b"'),
  row('§4.3.1 an empty ETag is none', 'asks', cc('max-age=0'), 'etag:'),
  row('§4.3.1 "" is one', 'validates', cc('max-age=0'), 'etag: ""'),
  row('§4.3.1 an ETag with bytes above ASCII', 'validates', cc('max-age=0'), 'etag: "\xe9"'),
  row('RFC 9110 §14.4 a 200 with a Content-Range that means nothing', 'unstored', FRESH, 'content-range: none'),
  row('RFC 9110 §14.4 a 200 that is a range nevertheless', 'unstored', FRESH, 'content-range: bytes 0-3/10'),
]

export function oddFields(rig: () => CacheRig): void {
  table(rig, ROWS)

  for (const age of ['', '\r\nage: 0'])
    it(`RFC 9111 §4.2.3: HTTP/1.0${age === '' ? '' : ' with Age: 0'}: an old Date is age, since its caches may know no Age`, async () => {
      const raw = `HTTP/1.0 200 OK\r\n${FRESH}\r\ndate: ${date(-7_200)}${age}\r\netag: "a"\r\ncontent-length: 2\r\n\r\nhi`
      const page = rig().page(STANDARD, { raw }, { fields: ['cache-control: no-store'] })
      assert.equal((await page.get()).text, 'hi')
      assert.equal((await page.stored()).text, 'hi')
      await page.gets(2, 2)
    })

  it('RFC 9110 §7.6.1: what Connection takes away, caches behind are told', async () => {
    const page = rig().page(STANDARD, {
      fields: ['connection: vary', FRESH, 'vary: x-a', 'cdn-cache-control: max-age=9'],
    })
    const answer = await page.gets(1, 1)
    assert.equal(answer.header('cache-control'), 'no-store', shown(answer))
    assert.equal(answer.header('cdn-cache-control'), undefined)
    assert.equal(answer.header('vary'), undefined)
  })
}
