/**
 * Whether a stored response is served (RFC 9111 §4), from its numbers alone: no field is parsed, nothing is allocated.
 */
import type { Milliseconds } from '../lib/clock.ts'
import { CacheFlag, type CacheNumbers } from './cache-numbers.ts'
import type { RequestDirectives, ReuseReason, ReuseVerdict } from './verdicts.ts'

const SECOND = 1_000
/** Clocks of replicas that share responses differ; beyond this our clock was set back, and no age is known. */
const MAX_SKEW: Milliseconds = 2_000
/** How long what can be validated is worth keeping beyond its end: as long as it was fresh, within these. */
const VALIDATABLE_MIN: Milliseconds = 60_000
const VALIDATABLE_MAX: Milliseconds = 86_400_000

/** One for all requests of a worker. */
export function reuseVerdict(): ReuseVerdict {
  return { outcome: 'Validate', reason: 'NotStored', age: 0, ttl: 0, staleIfError: false }
}

/** RFC 9111 §4.2.3: current_age. Never less than at its arrival. */
export function currentAge(numbers: CacheNumbers, now: Milliseconds): Milliseconds {
  return Math.max(now, numbers.received) - numbers.born
}

/** @param now wall clock */
export function judgeReuse(
  numbers: CacheNumbers,
  request: RequestDirectives,
  now: Milliseconds,
  into: ReuseVerdict,
): ReuseVerdict {
  const age = currentAge(numbers, now)
  const left = leftOf(numbers, age)
  into.age = Math.floor(age / SECOND)
  into.ttl = Math.floor(left / SECOND)
  into.staleIfError = mayServeOnError(numbers, request, now)
  const reason =
    validatedAlways(numbers, request, now) ??
    (left > 0 ? judgeFresh(numbers, request, age, left) : judgeStale(numbers, request, age, left))
  into.reason = reason
  into.outcome = outcomeOf(reason, request)
  return into
}

/** Without asking the origin first. */
export function isUsable({ outcome }: ReuseVerdict): boolean {
  return outcome === 'Fresh' || outcome === 'Stale' || outcome === 'StaleWhileRevalidate'
}

/** For whoever asks for nothing newer. */
export function isFresh(numbers: CacheNumbers, now: Milliseconds): boolean {
  return (
    leftOf(numbers, currentAge(numbers, now)) > 0 &&
    !(numbers.flags & CacheFlag.AlwaysValidate) &&
    !isClockSetBack(numbers, now)
  )
}

/** Of its lifetime. What is marked stale has nothing left, whoever set the mark. */
function leftOf(numbers: CacheNumbers, age: Milliseconds): Milliseconds {
  const left = numbers.lifetime - age
  return numbers.flags & CacheFlag.MarkedStale ? Math.min(0, left) : left
}

/** Nothing is stored for the key. */
export function judgeMissing(request: RequestDirectives, into: ReuseVerdict): ReuseVerdict {
  into.age = 0
  into.ttl = 0
  into.staleIfError = false
  into.reason = 'NotStored'
  into.outcome = outcomeOf('NotStored', request)
  return into
}

function outcomeOf(reason: ReuseReason, request: RequestDirectives): ReuseVerdict['outcome'] {
  if (reason === 'Fresh' || reason === 'StaleWhileRevalidate') return reason
  if (reason === 'MaxStale') return 'Stale'
  return request.onlyIfCached ? 'GatewayTimeout' : 'Validate'
}

function isClockSetBack(numbers: CacheNumbers, now: Milliseconds): boolean {
  return now < numbers.received - MAX_SKEW
}

/** Why the origin is asked, fresh or not; undefined: nothing says so. */
function validatedAlways(
  numbers: CacheNumbers,
  request: RequestDirectives,
  now: Milliseconds,
): ReuseReason | undefined {
  if (numbers.flags & CacheFlag.AlwaysValidate) return 'NoCache'
  if (isClockSetBack(numbers, now)) return 'ClockSetBack'
  return request.noCache ? 'RequestNoCache' : undefined
}

function judgeFresh(
  numbers: CacheNumbers,
  request: RequestDirectives,
  age: Milliseconds,
  left: Milliseconds,
): ReuseReason {
  // RFC 8246 §2: a reload (`max-age=0`) is no reason to validate it, `no-cache` is.
  if (request.maxAge >= 0 && age > request.maxAge && !(numbers.flags & CacheFlag.Immutable)) return 'RequestMaxAge'
  if (left < request.minFresh) return 'RequestMinFresh'
  return 'Fresh'
}

/** @param left negative or 0: for how long it has been stale */
function judgeStale(
  numbers: CacheNumbers,
  request: RequestDirectives,
  age: Milliseconds,
  left: Milliseconds,
): ReuseReason {
  const marked = (numbers.flags & CacheFlag.MarkedStale) !== 0
  const expired = marked ? 'MarkedStale' : 'Expired'
  if (numbers.flags & CacheFlag.NeverStale) return expired
  if (request.minFresh >= 0) return 'RequestMinFresh'
  // RFC 9111 §5.2.1.2. Of what was purged a client gets nothing by asking for it.
  if (!marked && -left <= request.maxStale)
    return request.maxAge >= 0 && age > request.maxAge ? 'RequestMaxAge' : 'MaxStale'
  // RFC 9111 §5.2.1.1: who states a greatest age and no `max-stale` does not want a stale one.
  if (-left < numbers.staleWhileRevalidate && request.maxAge < 0) return 'StaleWhileRevalidate'
  return expired
}

/**
 * Whether it may be served where the origin fails: cannot be reached, or answers 500, 502, 503 or 504 (RFC 5861 §4).
 * Asked again when it has failed, since time has passed.
 */
export function mayServeOnError(numbers: CacheNumbers, request: RequestDirectives, now: Milliseconds): boolean {
  if (numbers.flags & CacheFlag.AlwaysValidate || isClockSetBack(numbers, now)) return false
  const stale = -leftOf(numbers, currentAge(numbers, now))
  // What is fresh is asked about because the client wishes so, and its wish is advice (RFC 9111 §5.2.1).
  if (stale < 0) return true
  if (numbers.flags & CacheFlag.NeverStale) return false
  // Of what was purged a client gets nothing by asking for it.
  const asked = numbers.flags & CacheFlag.MarkedStale ? 0 : request.staleIfError
  return stale < Math.max(numbers.staleIfError, asked)
}

/** RFC 5861 §4: what counts as an error of the origin. */
export function isErrorStatus(status: number): boolean {
  return status === 500 || status === 502 || status === 503 || status === 504
}

/** From then on no request can get it, not even after a validation that is worth more than a fetch. */
export function usefulUntil(numbers: CacheNumbers): Milliseconds {
  const { flags, lifetime } = numbers
  const stale =
    flags & (CacheFlag.NeverStale | CacheFlag.AlwaysValidate)
      ? 0
      : Math.max(numbers.staleWhileRevalidate, numbers.staleIfError)
  const validatable = flags & CacheFlag.Validator ? Math.min(VALIDATABLE_MAX, Math.max(VALIDATABLE_MIN, lifetime)) : 0
  return numbers.born + lifetime + Math.max(stale, validatable)
}
