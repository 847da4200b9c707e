/** RFC 9111 §4.2, §5.1, §5.3: how long a response is fresh, and how old it is. */
import { type CacheRig, date, type Fate, type Row, table } from './rig.ts'

const row = (rule: string, fate: Fate, ...answer: string[]): Row => ({ rule, answer, fate })
const cc = (directives: string): string => `cache-control: ${directives}`

/** Past years are read by RFC 9110 §5.6.7; all of these say the same hour. */
const forms = (ahead: number): Readonly<Record<string, string>> => {
  const at = new Date(Date.now() + ahead * 1_000)
  const [, day, month, year, time] = /^\w+, (\d\d) (\w+) (\d+) ([\d:]+)/.exec(at.toUTCString())!
  const weekday = at.toLocaleDateString('en', { weekday: 'long', timeZone: 'UTC' })
  return {
    'IMF-fixdate': at.toUTCString(),
    'RFC 850': `${weekday}, ${day}-${month}-${year!.slice(2)} ${time} GMT`,
    asctime: `${weekday.slice(0, 3)} ${month} ${String(Number(day)).padStart(2)} ${time} ${year}`,
  }
}

/** Whether what is said makes a response fresh. */
const MAX_AGES: readonly (readonly [directives: string, fate: Fate])[] = [
  ['max-age=3600', 'hit'],
  ['max-age=1', 'hit'],
  ['max-age=0', 'stale'],
  ['max-age="3600"', 'hit'],
  ['MAX-AGE=3600', 'hit'],
  ['max-age=0003600', 'hit'],
  ['max-age=99999999999', 'hit'],
  ['max-age=2147483648', 'hit'],
  ['max-age=18446744073709551616', 'hit'],
  [`max-age=${'9'.repeat(400)}`, 'hit'],
  ['max-age=', 'asks'],
  ['max-age', 'asks'],
  ['max-age=-1', 'asks'],
  ['max-age=+3600', 'asks'],
  ['max-age=3600.5', 'asks'],
  ['max-age=1e4', 'asks'],
  ['max-age=0x10', 'asks'],
  ['max-age=3600s', 'asks'],
  ['max-age=36 00', 'asks'],
  ['max-age="3600', 'asks'],
  ["max-age='3600'", 'asks'],
  ['s-maxage=3600', 'hit'],
  ['max-age=0, s-maxage=3600', 'hit'],
  ['s-maxage=0, max-age=3600', 'asks'],
  ['s-maxage=x, max-age=3600', 'asks'],
  ['foo, max-age=3600', 'hit'],
  ['foo=bar, max-age=3600', 'hit'],
  ['foo="max-age=0", max-age=3600', 'hit'],
  ['foo="a\\", max-age=0", max-age=3600', 'hit'],
  [', , max-age=3600, ,', 'hit'],
  ['max-age=3600;s-maxage=0', 'asks'],
  ['xmax-age=3600', 'asks'],
  ['max-age-x=3600', 'asks'],
  ['max-age=3600, max-age=0', 'asks'],
  ['max-age=0, max-age=3600', 'asks'],
  ['max-age=3600, no-cache', 'asks'],
  ['max-age=3600, No-Cache', 'asks'],
]

const EXPIRES: readonly (readonly [value: string, fate: Fate])[] = [
  ['0', 'asks'],
  ['-1', 'asks'],
  ['never', 'asks'],
  ['', 'asks'],
  ['3600', 'asks'],
  [new Date(0).toUTCString(), 'stale'],
  ['Thu, 31 Dec 1969 23:59:59 GMT', 'asks'],
  ['Thu, 01 Jan 0001 00:00:00 GMT', 'asks'],
  ['Fri, 31 Dec 9999 23:59:59 GMT', 'hit'],
  ['Sat, 01 Jan 10000 00:00:00 GMT', 'asks'],
  ['Mon, 30 Feb 2099 00:00:00 GMT', 'asks'],
  ['Mon, 13 Jul 2099 25:00:00 GMT', 'asks'],
  ['Mon, 13 Jul 2099 12:00:00', 'asks'],
  ['Mon, 13 Jul 2099 12:00:00 PST', 'asks'],
  ['Mon, 13 Jul 2099 12:00:00 +0000', 'asks'],
  ['2099-07-13T12:00:00Z', 'asks'],
]

const AGES: readonly (readonly [lines: readonly string[], fate: Fate, why: string])[] = [
  [['age: 3600'], 'stale', 'as old as it is fresh'],
  [['age: 7200'], 'stale', 'older than it is fresh'],
  [['age: 0'], 'hit', 'none'],
  [['age: 100'], 'hit', 'some'],
  [['age: 1099511627776'], 'stale', '2^40'],
  [[`age: ${'9'.repeat(300)}`], 'stale', 'as large as can be'],
  [['age: -7200'], 'hit', 'what is no number is ignored'],
  [['age: 7200.5'], 'hit', 'what is no integer is ignored'],
  [['age: abc'], 'hit', 'what is no number is ignored'],
  [['age: "7200"'], 'hit', 'what is quoted is ignored'],
  [['age: 7200, 0'], 'stale', 'the first of a list'],
  [['age: 0, 7200'], 'hit', 'the first of a list'],
  [['age: 7200', 'age: 0'], 'stale', 'the first of several lines'],
  [['age: 0', 'age: 7200'], 'hit', 'the first of several lines'],
  [['age: 7200;a'], 'hit', 'parameters make it no number'],
]

const ROWS: readonly Row[] = [
  ...MAX_AGES.map(([directives, fate]) => row(`§5.2.2 ${directives.slice(0, 60)}: ${fate}`, fate, cc(directives))),
  row('§5.2 two lines are one list', 'asks', cc('max-age=3600'), cc('max-age=0')),
  row('§5.2 the second line counts', 'hit', cc('foo'), cc('max-age=3600')),
  ...EXPIRES.map(([value, fate]) => row(`§5.3 Expires: ${value}: ${fate}`, fate, `expires: ${value}`)),
  ...Object.entries(forms(3_600)).map(([form, value]) =>
    row(`§5.3 Expires ahead, as ${form}`, 'hit', `expires: ${value}`),
  ),
  ...Object.entries(forms(-3_600)).map(([form, value]) =>
    row(`§5.3 Expires in the past, as ${form}`, 'stale', `expires: ${value}`),
  ),
  row(
    '§5.3 two lines of Expires that contradict each other',
    'asks',
    `expires: ${date(3_600)}`,
    `expires: ${date(-9)}`,
  ),
  row('§4.2.1 Expires counts from Date, not from now', 'stale', `expires: ${date(3_600)}`, `date: ${date(3_600)}`),
  row('§4.2.1 Expires as long behind Date as Date is past', 'stale', `expires: ${date(-60)}`, `date: ${date(-3_600)}`),
  row('§5.3 max-age before Expires: fresh', 'hit', cc('max-age=3600'), `expires: ${date(-3_600)}`),
  row('§5.3 max-age before Expires: stale', 'stale', cc('max-age=0'), `expires: ${date(3_600)}`),
  row('§5.3 s-maxage before Expires', 'hit', cc('s-maxage=3600'), 'expires: 0'),
  row(
    '§4.2.1 a max-age that cannot be read makes it stale, whatever Expires',
    'asks',
    cc('max-age=x'),
    `expires: ${date(9_999)}`,
  ),
  ...AGES.map(([lines, fate, why]) =>
    row(`§5.1 ${lines.join(' and ').slice(0, 60)}: ${why}`, fate, cc('max-age=3600'), ...lines),
  ),
  row('§4.2.3 Age before s-maxage', 'asks', cc('s-maxage=3600'), 'age: 7200'),
  row('§4.2.3 Age before Expires', 'stale', `expires: ${date(3_600)}`, 'age: 7200'),
  row('§4.2.3 a Date in the past is age', 'stale', cc('max-age=3600'), `date: ${date(-7_200)}`),
  row('§4.2.3 Age and Date: the larger counts', 'stale', cc('max-age=3600'), `date: ${date(-7_200)}`, 'age: 0'),
  row('§4.2.3 a Date ahead is no age', 'hit', cc('max-age=3600'), `date: ${date(86_400)}`),
  row('§4.2.3 a Date that is none is no age', 'hit', cc('max-age=3600'), 'date: yesterday'),
  row('§4.2.3 a Date before 1970', 'asks', cc('max-age=3600'), 'date: Thu, 01 Jan 1953 00:00:00 GMT'),
  row('§4.2.2 a Last-Modified a tenth of whose age is over', 'asks', `last-modified: ${date(-50)}`, 'age: 40'),
  row('§4.2.2 a Last-Modified ahead of Date', 'asks', `last-modified: ${date(3_600)}`),
  row('§4.2.2 a Last-Modified that is none', 'asks', 'last-modified: yesterday'),
  row('§4.2.2 no heuristics where max-age says it', 'validates', cc('max-age=0'), `last-modified: ${date(-9e6)}`),
  row('§4.2.2 no heuristics where Expires says it', 'validates', 'expires: 0', `last-modified: ${date(-9e6)}`),
  row('§5.2.2.4 no-cache: stored, and asked each time', 'validates', cc('no-cache, max-age=3600'), 'etag: "a"'),
  row('§5.2.2.4 no-cache and immutable', 'validates', cc('no-cache, immutable, max-age=3600'), 'etag: "a"'),
  row('§4.3 stale with an ETag', 'validates', cc('max-age=0'), 'etag: "a"'),
  row('§4.3 stale with a weak ETag', 'validates', cc('max-age=0'), 'etag: W/"a"'),
  row('§4.3 stale with a Last-Modified', 'validates', cc('max-age=0'), `last-modified: ${date(-9)}`),
  row('§5.2.2.2 must-revalidate while fresh', 'hit', cc('max-age=3600, must-revalidate')),
  row('§5.2.2.8 proxy-revalidate while fresh', 'hit', cc('max-age=3600, proxy-revalidate')),
  row('RFC 8246 immutable while fresh', 'hit', cc('max-age=3600, immutable')),
]

export const freshness = (rig: () => CacheRig): void => table(rig, ROWS)
