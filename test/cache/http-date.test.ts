import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { parseHttpDate } from '../../src/cache/http-date.ts'

const NOW = Date.UTC(2026, 10, 29, 12)
const DAYS = ['Sun', 'Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat']
const LONG_DAYS = ['Sunday', 'Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday']
const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec']

const two = (n: number, fill = '0') => String(n).padStart(2, fill)
const clock = (d: Date) => `${two(d.getUTCHours())}:${two(d.getUTCMinutes())}:${two(d.getUTCSeconds())}`
const year = (d: Date) => String(d.getUTCFullYear()).padStart(4, '0')

function rfc850(d: Date): string {
  return `${LONG_DAYS[d.getUTCDay()]}, ${two(d.getUTCDate())}-${MONTHS[d.getUTCMonth()]}-${year(d).slice(2)} ${clock(d)} GMT`
}

function asctime(d: Date): string {
  return `${DAYS[d.getUTCDay()]} ${MONTHS[d.getUTCMonth()]} ${two(d.getUTCDate(), ' ')} ${clock(d)} ${year(d)}`
}

function imf(d: Date): string {
  return `${DAYS[d.getUTCDay()]}, ${two(d.getUTCDate())} ${MONTHS[d.getUTCMonth()]} ${year(d)} ${clock(d)} GMT`
}

/** Whole seconds of the years 0 to 9999. */
const seconds = fc.integer({ min: -62_167_219_200, max: 253_402_300_799 })

describe('dates of HTTP', () => {
  it('RFC 9110 §5.6.7: reads all three forms', () => {
    const wanted = Date.UTC(1994, 10, 6, 8, 49, 37)
    assert.equal(parseHttpDate('Sun, 06 Nov 1994 08:49:37 GMT', NOW), wanted)
    assert.equal(parseHttpDate('Sunday, 06-Nov-94 08:49:37 GMT', NOW), wanted)
    assert.equal(parseHttpDate('Sun Nov  6 08:49:37 1994', NOW), wanted)
    assert.equal(parseHttpDate('Sun Nov 16 08:49:37 1994', NOW), wanted + 10 * 86_400_000)
  })

  it('reads every second from the year 0 to 9999 as it was written', () => {
    fc.assert(
      fc.property(seconds, (second) => {
        const date = new Date(second * 1000)
        assert.equal(parseHttpDate(imf(date), NOW), date.getTime())
        assert.equal(parseHttpDate(asctime(date), NOW), date.getTime())
      }),
    )
  })

  it('RFC 9110 §5.6.7: takes two digits of a year for the latest that is no more than 50 years ahead', () => {
    fc.assert(
      fc.property(seconds, fc.integer({ min: 0, max: 4_000_000_000_000 }), (second, now) => {
        const written = new Date(second * 1000)
        const read = parseHttpDate(rfc850(written), now)
        // 29 February of a year that has none is no date.
        if (Number.isNaN(read)) return assert.equal(`${written.getUTCMonth()}-${written.getUTCDate()}`, '1-29')
        const limit = new Date(now)
        limit.setUTCFullYear(limit.getUTCFullYear() + 50)
        assert.equal(rfc850(new Date(read)).slice(-22), rfc850(written).slice(-22))
        assert.ok(read <= limit.getTime())
        const next = new Date(read)
        next.setUTCFullYear(next.getUTCFullYear() + 100)
        assert.ok(next.getTime() > limit.getTime(), 'a century later would be too late')
      }),
      { examples: [[951_782_400, 0]] },
    )
    assert.equal(parseHttpDate('Sunday, 29-Nov-76 11:59:59 GMT', NOW), Date.UTC(2076, 10, 29, 11, 59, 59))
    assert.equal(parseHttpDate('Sunday, 29-Nov-76 12:00:00 GMT', NOW), Date.UTC(2076, 10, 29, 12))
    assert.equal(parseHttpDate('Sunday, 29-Nov-76 12:00:01 GMT', NOW), Date.UTC(1976, 10, 29, 12, 0, 1))
  })

  it('RFC 9111 §4.2: compares dates without regard to case', () => {
    const wanted = Date.UTC(1994, 10, 6, 8, 49, 37)
    for (const text of ['sun, 06 nov 1994 08:49:37 gmt', 'SUNDAY, 06-NOV-94 08:49:37 GMT', 'SUN NOV  6 08:49:37 1994'])
      assert.equal(parseHttpDate(text, NOW), wanted)
  })

  it('RFC 9111 §4.2: reckons with no local zone', () => {
    const { TZ } = process.env
    try {
      for (const zone of ['Pacific/Kiritimati', 'America/St_Johns', 'UTC']) {
        process.env.TZ = zone
        for (const text of [
          'Sun, 06 Nov 1994 08:49:37 GMT',
          'Sunday, 06-Nov-94 08:49:37 GMT',
          'Sun Nov  6 08:49:37 1994',
        ])
          assert.equal(parseHttpDate(text, 0), 784_111_777_000, zone)
      }
    } finally {
      if (TZ === undefined) delete process.env.TZ
      else process.env.TZ = TZ
    }
  })

  it('RFC 9111 §4.2: takes a date with another zone for invalid', () => {
    for (const zone of ['UTC', 'EST', '+0000', '-0100', 'Z', ''])
      assert.equal(parseHttpDate(`Sun, 06 Nov 1994 08:49:37 ${zone}`, NOW), Number.NaN)
  })

  it('RFC 9111 §4.2: takes a leap second for the nearest time before it', () => {
    assert.equal(parseHttpDate('Sat, 31 Dec 2016 23:59:60 GMT', NOW), Date.UTC(2016, 11, 31, 23, 59, 59))
    assert.equal(parseHttpDate('Sat, 31 Dec 2016 23:59:61 GMT', NOW), Number.NaN)
  })

  it('reads nothing that is not a date', () => {
    const texts = [
      ...['', '0', '-1', 'now', '1994', '784111777', '2026-11-29T12:00:00Z', 'Sun, 06 Nov 1994 08:49:37 GMT, x'],
      ...['Sun, 6 Nov 1994 08:49:37 GMT', 'Sun,  06 Nov 1994 08:49:37 GMT', 'Sun 06 Nov 1994 08:49:37 GMT'],
      ...['Sun, 00 Nov 1994 08:49:37 GMT', 'Sun, 31 Nov 1994 08:49:37 GMT', 'Mon, 29 Feb 2100 00:00:00 GMT'],
      ...['Sun, 06 Nov 1994 24:00:00 GMT', 'Sun, 06 Nov 1994 23:60:00 GMT', 'Sun, 06 Nov 19940 08:49:37 GMT'],
      ...['Sun, 06 Nov 1994 8:49:37 GMT', 'Xyz, 06 Nov 1994 08:49:37 GMT', ' Sun, 06 Nov 1994 08:49:37 GMT'],
      ...['Sun, 06 Foo 1994 08:49:37 GMT', 'Sun, 06-Nov-94 08:49:37 GMT', 'Sunday, 06 Nov 1994 08:49:37 GMT'],
      'x'.repeat(100_000),
    ]
    for (const text of texts) assert.equal(parseHttpDate(text, NOW), Number.NaN, text.slice(0, 60))
  })

  it('throws at nothing', () => {
    fc.assert(fc.property(fc.string({ unit: 'binary' }), (text) => typeof parseHttpDate(text, NOW) === 'number'))
  })
})
