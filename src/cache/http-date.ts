/** Dates of HTTP (RFC 9110 §5.6.7), in the three forms that a recipient accepts. */
import type { Milliseconds } from '../lib/clock.ts'
import type { Fields } from '../message/fields.ts'
import { Memo } from './memo.ts'

const TIME = '(\\d{2}):(\\d{2}):(\\d{2})'
const MONTH = '(jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)'
const DAY = '(?:mon|tue|wed|thu|fri|sat|sun)'
const LONG_DAY = '(?:monday|tuesday|wednesday|thursday|friday|saturday|sunday)'

// Without regard to case: RFC 9111 §4.2. Another zone than GMT makes a date invalid.
const IMF_FIXDATE = new RegExp(`^${DAY}, (\\d{2}) ${MONTH} (\\d{4}) ${TIME} gmt$`, 'i')
const RFC850_DATE = new RegExp(`^${LONG_DAY}, (\\d{2})-${MONTH}-(\\d{2}) ${TIME} gmt$`, 'i')
const ASCTIME_DATE = new RegExp(`^${DAY} ${MONTH} (\\d{2}| \\d) ${TIME} (\\d{4})$`, 'i')

const MONTHS = ['jan', 'feb', 'mar', 'apr', 'may', 'jun', 'jul', 'aug', 'sep', 'oct', 'nov', 'dec']
/** No form is longer: what is needs no pattern. */
const MAX_LENGTH = 33
const FAR_YEARS = 50

/**
 * @param now milliseconds since the epoch: a year of two digits is read from there
 * @returns milliseconds since the epoch, negative before 1970; NaN where it is no date
 */
export function parseHttpDate(text: string, now: Milliseconds): Milliseconds {
  if (text.length > MAX_LENGTH) return Number.NaN
  const stated = MEMO.get(text, fourDigitDate)
  if (!Number.isNaN(stated)) return stated
  const old = RFC850_DATE.exec(text)
  if (old === null) return Number.NaN
  const limit = new Date(now)
  limit.setUTCFullYear(limit.getUTCFullYear() + FAR_YEARS)
  const last = limit.getUTCFullYear()
  const year = last - ((((last - Number(old[3])) % 100) + 100) % 100)
  const time = instant(year, old[2]!, old[1]!, old[4]!, old[5]!, old[6]!)
  // More than 50 years ahead: the most recent year in the past with these two digits.
  return time > limit.getTime() ? instant(year - 100, old[2]!, old[1]!, old[4]!, old[5]!, old[6]!) : time
}

/** The same of the value of a parsed field. */
export function parseDateField(fields: Fields, index: number, now: Milliseconds): Milliseconds {
  if (fields.valueEnd(index) - fields.valueStart(index) > MAX_LENGTH) return Number.NaN
  const stated = MEMO.ofField(fields, index, fourDigitDate)
  return Number.isNaN(stated) ? parseHttpDate(fields.valueAt(index), now) : stated
}

const MEMO = new Memo<Milliseconds>()

/** The forms that say the same at any time. */
function fourDigitDate(text: string): Milliseconds {
  const fix = IMF_FIXDATE.exec(text)
  if (fix !== null) return instant(Number(fix[3]), fix[2]!, fix[1]!, fix[4]!, fix[5]!, fix[6]!)
  const asc = ASCTIME_DATE.exec(text)
  return asc === null ? Number.NaN : instant(Number(asc[6]), asc[1]!, asc[2]!, asc[3]!, asc[4]!, asc[5]!)
}

function instant(year: number, month: string, day: string, hour: string, minute: string, second: string): Milliseconds {
  const index = MONTHS.indexOf(month.toLowerCase())
  const d = Number(day)
  const s = Number(second)
  if (d < 1 || d > daysOf(index, year) || Number(hour) > 23 || Number(minute) > 59 || s > 60) return Number.NaN
  // A leap second is the nearest time before it that exists here (RFC 9111 §4.2).
  const time = Date.UTC(year, index, d, Number(hour), Number(minute), Math.min(s, 59))
  // Date.UTC takes the years 0 to 99 for those of the last century.
  return year < 100 ? new Date(time).setUTCFullYear(year, index, d) : time
}

function daysOf(month: number, year: number): number {
  if (month === 1) return year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0) ? 29 : 28
  return month === 3 || month === 5 || month === 8 || month === 10 ? 30 : 31
}
