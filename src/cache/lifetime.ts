/** How long a response is fresh (RFC 9111 §4.2), by what it says and what the operator says. */
import type { Milliseconds } from '../lib/clock.ts'
import type { Fields } from '../message/fields.ts'
import { ABSENT, deltaSeconds, MAX_SECONDS, type ResponseDirectives } from './cache-control.ts'
import { CacheFlag } from './cache-numbers.ts'
import { Present } from './field-presence.ts'
import { parseDateField, parseHttpDate } from './http-date.ts'
import { onlyAt } from './one-field.ts'
import { isHeuristicallyCacheable } from './statuses.ts'
import type { CacheRules, ResponseTimes } from './verdicts.ts'

const SECOND = 1_000
const MAX_LIFETIME: Milliseconds = MAX_SECONDS * SECOND
/** RFC 9111 §4.2.2: a tenth of the time since the last change. */
const HEURISTIC_FRACTION = 10
/** Of an estimate. */
const HEURISTIC_MAX: Milliseconds = 86_400_000

/** When it was generated and last changed, by the response and by our clock. */
export interface ResponseDates {
  readonly date: Milliseconds
  readonly lastModified: Milliseconds
  /** RFC 9111 §4.2.3: corrected initial age. */
  readonly initialAge: Milliseconds
}

/** RFC 9111 §4.2.3. Whole seconds of Date are compared with whole seconds of our clock, as the RFC calculates. */
export function responseDates(fields: Fields, times: ResponseTimes, present: number): ResponseDates {
  const { received } = times
  const stated = (present & Present.Date) === 0 ? Number.NaN : oneDate(fields, 'date', received)
  // RFC 9110 §6.6.1: without a Date that can be read, the time of arrival is the Date.
  const date = Number.isNaN(stated) ? received : stated
  const generated = Number.isNaN(stated) ? oldestDate(fields, received) : stated
  const apparent = Math.max(0, floorSecond(received) - floorSecond(generated))
  const delay = Math.max(0, received - times.sent)
  const age = (present & Present.Age) === 0 ? 0 : ageValue(fields)
  return {
    date,
    lastModified: (present & Present.LastModified) === 0 ? Number.NaN : oneDate(fields, 'last-modified', received),
    initialAge: Math.min(MAX_LIFETIME, Math.max(apparent, age + delay)),
  }
}

function floorSecond(time: Milliseconds): Milliseconds {
  return Math.floor(time / SECOND) * SECOND
}

/** RFC 9111 §5.1: the first member counts; what is no number is ignored. */
function ageValue(fields: Fields): Milliseconds {
  const value = fields.get('age')
  return value === undefined ? 0 : (deltaSeconds(FIRST_MEMBER.exec(value)?.[1]) ?? 0) * SECOND
}

const FIRST_MEMBER = /^([^\t ,]+)[\t ]*(?:,|$)/

/** Of several Dates the one that makes the response oldest; `received` where none can be read. */
function oldestDate(fields: Fields, received: Milliseconds): Milliseconds {
  let oldest = received
  for (const value of fields.all('date')) {
    const date = parseHttpDate(value, received)
    if (date < oldest) oldest = date
  }
  return oldest
}

/** @returns NaN where it is absent, broken, or stated twice with different values */
function oneDate(fields: Fields, name: string, now: Milliseconds): Milliseconds {
  const only = onlyAt(fields, name)
  if (only >= 0) return parseDateField(fields, only, now)
  const values = fields.all(name)
  const [first] = values
  if (first === undefined) return Number.NaN
  return values.length === 1 || values.every((value) => value === first) ? parseHttpDate(first, now) : Number.NaN
}

export interface Lifetime {
  /** From the birth of the response. */
  readonly span: Milliseconds
  /** Of {@link CacheFlag}: whose it is. */
  readonly flags: number
}

export interface LifetimeInput {
  readonly status: number
  readonly fields: Fields
  readonly directives: ResponseDirectives
  readonly targeted: boolean
  readonly dates: ResponseDates
  readonly received: Milliseconds
  /** Whether the method allows an estimate. */
  readonly estimable: boolean
}

/** @returns undefined where nobody states one, and none may be estimated */
export function lifetimeOf(input: LifetimeInput, rules: CacheRules): Lifetime | undefined {
  const stated = explicitLifetime(input)
  const found: Lifetime | undefined =
    stated !== undefined ? { span: stated, flags: 0 } : (configuredLifetime(input, rules) ?? heuristicLifetime(input))
  if (found === undefined || rules.maxTtl === undefined) return found
  // What the operator states counts from the arrival, so does the greatest of it.
  const most = found.flags & CacheFlag.Configured ? input.dates.initialAge + rules.maxTtl : rules.maxTtl
  return found.span > most ? { span: most, flags: found.flags | CacheFlag.Capped } : found
}

/** RFC 9111 §4.2.1. */
function explicitLifetime({ directives, targeted, fields, dates, received }: LifetimeInput): Milliseconds | undefined {
  if (directives.broken) return 0
  if (directives.sMaxAge !== ABSENT) return directives.sMaxAge * SECOND
  if (directives.maxAge !== ABSENT) return directives.maxAge * SECOND
  if (!targeted && fields.has('expires')) {
    const expires = oneDate(fields, 'expires', received)
    // A broken date is in the past (§5.3).
    return Number.isNaN(expires) ? 0 : Math.min(MAX_LIFETIME, Math.max(0, expires - dates.date))
  }
  return undefined
}

/** By configuration, an explicit expiration time "out of band" (RFC 9111 §4.2.4), counted from the arrival. */
function configuredLifetime({ status, directives, dates }: LifetimeInput, rules: CacheRules): Lifetime | undefined {
  const ttl =
    rules.ttlByCode?.get(status) ??
    (rules.mode === 'Override' && (directives.public || isHeuristicallyCacheable(status))
      ? rules.defaultTtl
      : undefined)
  return ttl === undefined ? undefined : { span: dates.initialAge + ttl, flags: CacheFlag.Configured }
}

/** RFC 9111 §4.2.2. */
function heuristicLifetime({ status, directives, dates, received, estimable }: LifetimeInput): Lifetime | undefined {
  if (!estimable || !(directives.public || isHeuristicallyCacheable(status))) return undefined
  const unchanged = Math.min(dates.date, received) - dates.lastModified
  if (!(unchanged > 0)) return undefined
  return { span: Math.min(HEURISTIC_MAX, Math.floor(unchanged / HEURISTIC_FRACTION)), flags: CacheFlag.Heuristic }
}
