/** Whether a response is stored (RFC 9111 §3), and the numbers by which it is reused. */
import type { Milliseconds } from '../lib/clock.ts'
import { withoutOws } from '../message/field-value.ts'
import type { Fields } from '../message/fields.ts'
import {
  ABSENT,
  parseCacheControl,
  parseRequestDirectives,
  type ResponseDirectives,
  readCacheControl,
} from './cache-control.ts'
import { CacheFlag, type CacheNumbers, emptyNumbers } from './cache-numbers.ts'
import { Present, presenceIn } from './field-presence.ts'
import { type Lifetime, lifetimeOf, type ResponseDates, responseDates } from './lifetime.ts'
import { onlyAt } from './one-field.ts'
import { isHeuristicallyCacheable, isStorable, isUnderstood, PARTIAL_CONTENT } from './statuses.ts'
import { hasSteeringField } from './steering-fields.ts'
import { type ControllingDirectives, controllingDirectives, DEFAULT_TARGETS } from './targeted-fields.ts'
import type { CacheRules, ResponseTimes, StoreReason, StoreVerdict, StoringRequest } from './verdicts.ts'

const SECOND = 1_000

/**
 * @param status of the response that would be stored: after a 304 that of the stored one
 * @param fields of the response that would be stored: after a 304 the stored ones as updated by it (RFC 9111 §3.2)
 * @param present which of them there are, where that is known
 */
export function judgeStoring(
  request: StoringRequest,
  status: number,
  fields: Fields,
  times: ResponseTimes,
  rules: CacheRules,
  present = presenceIn(fields),
): StoreVerdict {
  const asked = request.present ?? presenceIn(request.fields)
  const early = refusedRequest(request, asked) ?? refusedStatus(request, status, fields, present)
  if (early !== undefined) return refusal(early)
  const { directives, targeted } = directivesOf(fields, rules.targets, present)
  const credentials = hasCredentials(request, asked)
  const refused =
    refusedByDirectives(status, directives) ??
    (credentials && !request.identityInKey && !allowsEveryone(directives) ? 'Credentials' : undefined) ??
    refusedByFields(request, fields, present)
  if (refused !== undefined) return refusal(refused)
  const dates = responseDates(fields, times, present)
  const lifetime = lifetimeOf(
    { status, fields, directives, targeted, dates, received: times.received, estimable: isEstimable(request, asked) },
    rules,
  )
  if (isSwitchedOff(lifetime, dates)) return refusal('NoLifetime')
  const numbers = numbersOf({ status, fields, present, directives, dates, lifetime, times, credentials }, rules)
  if (!isStated(directives, lifetime, numbers)) return refusal('NoLifetime')
  if (!isReusable(numbers)) return refusal('AlreadyStale')
  return { store: true, reason: 'Stored', numbers, excluded: directives.excluded }
}

const NO_DIRECTIVES: ControllingDirectives = { directives: parseCacheControl([]), targeted: false }

function directivesOf(fields: Fields, targets: readonly string[], present: number): ControllingDirectives {
  if (targets !== DEFAULT_TARGETS || (present & Present.Targeted) !== 0) return controllingDirectives(fields, targets)
  if ((present & Present.CacheControl) === 0) return NO_DIRECTIVES
  return { directives: readCacheControl(fields), targeted: false }
}

/** @param asked which fields the request has */
function hasCredentials({ credentials }: StoringRequest, asked: number): boolean {
  return credentials || (asked & Present.Authorization) !== 0
}

/** An operator's lifetime of 0 says that the response is not to be stored. */
function isSwitchedOff(lifetime: Lifetime | undefined, { initialAge }: ResponseDates): boolean {
  return lifetime !== undefined && (lifetime.flags & CacheFlag.Configured) !== 0 && lifetime.span <= initialAge
}

/**
 * Whether a lifetime may be estimated. Not of what was asked for with a cookie: an origin that says nothing of caching
 * may well answer each user otherwise. Not of QUERY either, of which an origin that says nothing may know nothing.
 */
function isEstimable({ method }: StoringRequest, asked: number): boolean {
  return method === 'GET' && (asked & Present.Cookie) === 0
}

function refusal(reason: StoreReason): StoreVerdict {
  return { store: false, reason, numbers: emptyNumbers(), excluded: [] }
}

/**
 * Whether others may wait for the response to this request, to be served from it too (RFC 9111 §4). Nobody waits for
 * what is hardly ever stored: who waits would be sent on when the head is there, and would have lost that time.
 */
export function mayCollapse(request: StoringRequest): boolean {
  const asked = request.present ?? presenceIn(request.fields)
  if (refusedRequest(request, asked) !== undefined) return false
  if (hasCredentials(request, asked) && !request.identityInKey) return false
  return !hasSteeringField(request.fields, (name) => request.keyedFields?.has(name) === true)
}

/** @returns why no response to it is stored, whatever it says; nothing is claimed for such a request */
export function refusedRequest(
  { method, content, fields }: StoringRequest,
  asked = presenceIn(fields),
): StoreReason | undefined {
  // RFC 9110 §9.2.3, RFC 10008 §2.7. HEAD has nothing to store, and POST is not understood.
  if (method !== 'GET' && method !== 'QUERY') return 'Method'
  if (content === 'NotInKey') return 'RequestContent'
  const hasControl = (asked & Present.CacheControl) !== 0
  return hasControl && parseRequestDirectives(fields.all('cache-control')).noStore ? 'RequestNoStore' : undefined
}

function refusedStatus(
  request: StoringRequest,
  status: number,
  fields: Fields,
  present: number,
): StoreReason | undefined {
  if (!isStorable(status)) return 'Status'
  if (status === PARTIAL_CONTENT) return isOneRange(request, fields) ? undefined : 'Partial'
  // A range of a whole would be served as the whole (RFC 9110 §14.4).
  return (present & Present.ContentRange) !== 0 ? 'Partial' : undefined
}

const SINGLE_RANGE = /^bytes +(\d{1,15})-(\d{1,15})\/(\d{1,15}|\*)$/i
const MULTIPART = /^multipart\/byteranges(?:[\t ;]|$)/i

/** RFC 9111 §3.3: one range of bytes, as asked for. Only with a strong validator is it combined with others (§3.4). */
function isOneRange(request: StoringRequest, fields: Fields): boolean {
  if (request.method !== 'GET' || !request.fields.has('range')) return false
  const ranges = fields.all('content-range')
  const [, first, last, length] = (ranges.length === 1 && SINGLE_RANGE.exec(ranges[0]!)) || []
  if (first === undefined || Number(first) > Number(last) || Number(last) >= Number(length === '*' ? Infinity : length))
    return false
  // Several tags contradict each other.
  return !MULTIPART.test(fields.get('content-type') ?? '') && fields.all('etag').length <= 1
}

function refusedByDirectives(status: number, directives: ResponseDirectives): StoreReason | undefined {
  if (directives.mustUnderstand && !isUnderstood(status)) return 'Status'
  // RFC 9111 §5.2.2.3: `no-store` beside it is for those who do not understand.
  if (directives.noStore && (!directives.mustUnderstand || directives.broken)) return 'NoStore'
  return directives.private ? 'Private' : undefined
}

/** RFC 9111 §3.5. */
function allowsEveryone({ broken, public: all, mustRevalidate, sMaxAge }: ResponseDirectives): boolean {
  return !broken && (all || mustRevalidate || sMaxAge !== ABSENT)
}

const NONE: readonly string[] = []
const STAR = /(?:^|,)[\t ]*\*[\t ]*(?:,|$)/

function refusedByFields(
  { fields: asked, keyedFields }: StoringRequest,
  fields: Fields,
  present: number,
): StoreReason | undefined {
  if ((present & Present.SetCookie) !== 0) return 'SetCookie'
  const varied = (present & Present.Vary) === 0 ? NONE : fields.all('vary')
  if (varied.some((value) => STAR.test(value))) return 'VaryAny'
  const isKeyed = (name: string) => keyedFields?.has(name) === true || varied.some((value) => names(value, name))
  return hasSteeringField(asked, isKeyed) ? 'RequestFields' : undefined
}

/** @param list of names @param name in lower case */
function names(list: string, name: string): boolean {
  return list.split(',').some((one) => withoutOws(one).toLowerCase() === name)
}

interface Judged {
  readonly status: number
  readonly fields: Fields
  readonly present: number
  readonly directives: ResponseDirectives
  readonly dates: ResponseDates
  readonly lifetime: Lifetime | undefined
  readonly times: ResponseTimes
  readonly credentials: boolean
}

function numbersOf(judged: Judged, rules: CacheRules): CacheNumbers {
  const { status, directives, dates, lifetime, times } = judged
  return {
    status,
    flags: flagsOf(judged),
    born: times.received - dates.initialAge,
    received: times.received,
    lifetime: lifetime?.span ?? 0,
    staleWhileRevalidate: windowOf(directives, directives.staleWhileRevalidate, rules.staleWhileRevalidate),
    // A stored error is no better than the next one.
    staleIfError: windowOf(directives, directives.staleIfError, status < 500 ? rules.staleIfError : 0),
    date: dates.date,
    lastModified: dates.lastModified,
  }
}

/** The operator's counts where the origin says nothing, and what cannot be read is not nothing. */
function windowOf(directives: ResponseDirectives, stated: number, configured: Milliseconds | undefined): Milliseconds {
  if (directives.broken) return 0
  return stated === ABSENT ? Math.floor((configured ?? 0) / SECOND) * SECOND : stated * SECOND
}

function flagsOf({ status, fields, present, directives, dates, lifetime, credentials }: Judged): number {
  const { noCache, broken, mustRevalidate, proxyRevalidate, sMaxAge, immutable } = directives
  let flags = lifetime?.flags ?? 0
  if (noCache || broken) flags |= CacheFlag.AlwaysValidate
  if (mustRevalidate || proxyRevalidate || sMaxAge !== ABSENT) flags |= CacheFlag.NeverStale
  if (immutable && !broken) flags |= CacheFlag.Immutable
  if (credentials) flags |= CacheFlag.Credentials
  if (status === PARTIAL_CONTENT) flags |= CacheFlag.Partial
  if (!Number.isNaN(dates.lastModified) || ((present & Present.ETag) !== 0 && hasTag(fields)))
    flags |= CacheFlag.Validator
  if (dates.lastModified + SECOND <= dates.date) flags |= CacheFlag.StrongLastModified
  return flags
}

const TAG = /^(?:W\/)?"[\x21\x23-\x7e\x80-\xff]*"$/

/** Of several tags nobody knows which is meant: none is sent to validate. */
function hasTag(fields: Fields): boolean {
  const only = onlyAt(fields, 'etag')
  if (only >= 0) return isTag(fields.bytesOf(only), fields.valueStart(only), fields.valueEnd(only))
  const tags = fields.all('etag')
  return tags.length === 1 && TAG.test(tags[0]!)
}

const [QUOTE, DELETE, WEAK, SLASH] = [0x22, 0x7f, 0x57, 0x2f] as const

/** {@link TAG} in bytes. */
function isTag(bytes: Uint8Array, start: number, end: number): boolean {
  const first = bytes[start] === WEAK && bytes[start + 1] === SLASH ? start + 2 : start
  const last = end - 1
  if (first >= last || bytes[first] !== QUOTE || bytes[last] !== QUOTE) return false
  for (let i = first + 1; i < last; i++) {
    const byte = bytes[i]!
    if (byte <= 0x20 || byte === QUOTE || byte === DELETE) return false
  }
  return true
}

/**
 * RFC 9111 §3, last requirement: a lifetime is stated or may be estimated, or the response is `public`, or its status
 * allows an estimate. Without a lifetime only what can be validated is worth it, and of the latter only what says that
 * it is to be.
 */
function isStated(directives: ResponseDirectives, lifetime: Lifetime | undefined, numbers: CacheNumbers): boolean {
  if (lifetime !== undefined) return true
  const validated = directives.noCache || directives.mustRevalidate || directives.proxyRevalidate
  const said = directives.public || (validated && isHeuristicallyCacheable(numbers.status))
  return said && (numbers.flags & CacheFlag.Validator) !== 0
}

/** Whether any request at all could get it: fresh, stale, or after a validation. */
function isReusable(numbers: CacheNumbers): boolean {
  const { flags, lifetime, received, born } = numbers
  if (flags & CacheFlag.Validator) return true
  if (flags & CacheFlag.AlwaysValidate) return false
  if (lifetime > received - born) return true
  return !(flags & CacheFlag.NeverStale) && (numbers.staleWhileRevalidate > 0 || numbers.staleIfError > 0)
}
