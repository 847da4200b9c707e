/** Dates of HTTP (RFC 9110 §5.6.7), in the three forms that a recipient accepts. */
import type { Milliseconds } from '../lib/clock.ts'

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
  const fix = IMF_FIXDATE.exec(text)
  if (fix !== null) return instant(Number(fix[3]), fix[2]!, fix[1]!, fix[4]!, fix[5]!, fix[6]!)
  const asc = ASCTIME_DATE.exec(text)
  if (asc !== null) return instant(Number(asc[6]), asc[1]!, asc[2]!, asc[3]!, asc[4]!, asc[5]!)
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

function instant(year: number, month: string, day: string, hour: string, minute: string, second: string): Milliseconds {
  const date = new Date(0)
  const wanted = MONTHS.indexOf(month.toLowerCase())
  date.setUTCFullYear(year, wanted, Number(day))
  // 30 February, day 0.
  if (date.getUTCMonth() !== wanted || date.getUTCDate() !== Number(day)) return Number.NaN
  const s = Number(second)
  if (Number(hour) > 23 || Number(minute) > 59 || s > 60) return Number.NaN
  // A leap second is the nearest time before it that exists here (RFC 9111 §4.2).
  return date.setUTCHours(Number(hour), Number(minute), Math.min(s, 59))
}
