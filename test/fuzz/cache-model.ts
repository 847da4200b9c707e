/**
 * What RFC 9111 says of a shared cache, sentence by sentence, as slowly as it reads: the model that the rules of
 * src/cache/ are compared with. It shares no code with them. What goes beyond the RFC is marked with "ours".
 */
export interface CacheCase {
  readonly method: string
  readonly credentials: boolean
  readonly identityInKey: boolean
  readonly content: 'None' | 'InKey' | 'NotInKey'
  readonly request: readonly (readonly [string, string])[]
  readonly status: number
  readonly response: readonly (readonly [string, string])[]
  /** Milliseconds from a fixed moment. */
  readonly sent: number
  readonly received: number
  readonly override: boolean
  readonly defaultTtl: number | undefined
  readonly maxTtl: number | undefined
  readonly codeTtl: number | undefined
  readonly whileRevalidate: number | undefined
  readonly ifError: number | undefined
  /** The next request: after the response by milliseconds, with this Cache-Control. */
  readonly later: number
  readonly again: readonly string[]
}

export interface ModelVerdict {
  readonly store: boolean
  readonly outcome?: string
  readonly age?: number
  readonly onError?: boolean
}

type Pairs = CacheCase['response']
interface Directive {
  readonly name: string
  readonly value: string | undefined
}
interface Line {
  readonly valid: boolean
  readonly text: string
  readonly directives: readonly Directive[]
}

const TCHAR = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

/** §5.2: `#cache-directive`, a character after the other. */
function readLine(text: string): Line {
  const directives: Directive[] = []
  const invalid = { valid: false, text, directives }
  let i = 0
  const blanks = () => {
    while (text[i] === ' ' || text[i] === '\t') i++
  }
  const token = () => {
    let word = ''
    while (i < text.length && TCHAR.includes(text[i]!)) word += text[i++]
    return word
  }
  for (;;) {
    blanks()
    const name = token().toLowerCase()
    let value: string | undefined
    if (name !== '') {
      if (text[i] === '=') {
        i++
        if (text[i] === '"') {
          value = ''
          i++
          while (text[i] !== '"') {
            if (text[i] === '\\') i++
            if (i >= text.length || text.charCodeAt(i) > 0xff) return invalid
            value += text[i++]
          }
          i++
        } else {
          value = token()
          if (value === '') return invalid
        }
      }
    }
    blanks()
    if (i < text.length && text[i] !== ',') return invalid
    if (name !== '') directives.push({ name, value })
    if (i++ === text.length) return { valid: true, text, directives }
  }
}

const all = (pairs: Pairs, name: string): string[] => pairs.filter(([key]) => key === name).map(([, value]) => value)

/** §1.2.2. */
function seconds(value: string | undefined): number | undefined {
  if (value === undefined || value === '' || [...value].some((c) => !'0123456789'.includes(c))) return undefined
  const number = Number(value)
  return number > 2 ** 31 ? 2 ** 31 : number
}

class Control {
  readonly lines: readonly Line[]
  constructor(lines: readonly string[]) {
    this.lines = lines.map(readLine)
  }

  get broken(): boolean {
    return this.lines.some((line) => !line.valid)
  }

  of(name: string): Directive[] {
    return this.lines.flatMap((line) => line.directives.filter((one) => one.name === name))
  }

  /** Ours: a line that is not of the grammar forbids what it mentions. */
  forbids(name: string): boolean {
    return this.of(name).length > 0 || this.mentions(name)
  }

  mentions(name: string): boolean {
    return this.lines.some((line) => !line.valid && line.text.toLowerCase().includes(name))
  }

  /** §5.2.2.4, §5.2.2.7: without an argument that lists field names. */
  unqualified(name: string): boolean {
    return this.mentions(name) || this.of(name).some(({ value }) => value === undefined || !isNameList(value))
  }

  /** §4.2.1: the number, 'broken' where there is none or two that differ. */
  number(name: string): number | 'broken' | undefined {
    const values = this.of(name).map(({ value }) => seconds(value))
    if (values.length === 0) return undefined
    return values.every((value) => value !== undefined && value === values[0]) ? values[0]! : 'broken'
  }
}

function isNameList(value: string): boolean {
  const names = value.split(',').map((name) => name.replaceAll(/^[ \t]+|[ \t]+$/g, ''))
  const given = names.filter((name) => name !== '')
  return given.length > 0 && given.every((name) => [...name].every((c) => TCHAR.includes(c)))
}

/** §4.2, RFC 9110 §5.6.7: only forms that a Date writes back the same. */
export function modelDate(text: string): number | undefined {
  const time = Date.parse(text)
  if (Number.isNaN(time)) return undefined
  return new Date(time).toUTCString().toLowerCase() === text.toLowerCase() ? time : undefined
}

function date(pairs: Pairs, name: string): number | undefined {
  const values = all(pairs, name)
  return values.length > 0 && values.every((value) => value === values[0]) ? modelDate(values[0]!) : undefined
}

/** RFC 9110 §15.1. */
const HEURISTIC = [200, 203, 204, 206, 300, 301, 308, 404, 405, 410, 414, 501]
/** Statuses of RFC 9110 (and 424, 451) that are not below. */
const UNDERSTOOD = [201, 202, 205, 302, 303, 305, 307, 400, 402, 403, 406, 409, 411, 413, 415, 422, 424, 451, 500]
/** RFC 6585, RFC 3229, and ours: they answer what no key holds. */
const NEVER = [226, 401, 407, 408, 412, 416, 417, 421, 425, 426, 428, 429, 431, 511]

/** Everything that the two halves of the model need to know of the response. */
class Stored {
  readonly control: Control
  readonly dateValue: number
  readonly initialAge: number
  readonly lastModified: number | undefined
  readonly broken: boolean
  readonly validator: boolean

  readonly given: CacheCase

  constructor(given: CacheCase) {
    this.given = given
    const { response, received, sent } = given
    this.control = new Control(all(response, 'cache-control'))
    this.lastModified = date(response, 'last-modified')
    // RFC 9110 §6.6.1.
    this.dateValue = date(response, 'date') ?? received
    // §4.2.3, in seconds of dates; of several Dates the oldest that can be read.
    const dates = all(response, 'date').map((text) => modelDate(text) ?? received)
    const oldest = dates.length > 0 ? Math.min(...dates) : received
    const apparent = Math.max(0, Math.floor(received / 1000) - Math.floor(oldest / 1000)) * 1000
    // §5.1.
    const [age = ''] = all(response, 'age')
    const value = (seconds(age.split(',')[0]!.replace(/[ \t]+$/, '')) ?? 0) * 1000
    this.initialAge = Math.min(2 ** 31 * 1000, Math.max(apparent, value + Math.max(0, received - sent)))
    this.broken =
      this.control.broken || this.control.number('max-age') === 'broken' || this.control.number('s-maxage') === 'broken'
    const tags = all(response, 'etag')
    this.validator = (tags.length === 1 && /^(W\/)?"[^"]*"$/.test(tags[0]!)) || this.lastModified !== undefined
  }

  /** §4.2.1, and the operator's. Undefined where there is none. */
  lifetime(): { readonly span: number; readonly configured: boolean } | undefined {
    const own = this.uncapped()
    const { maxTtl } = this.given
    if (own === undefined || maxTtl === undefined) return own
    return { ...own, span: Math.min(own.span, own.configured ? this.initialAge + maxTtl : maxTtl) }
  }

  private uncapped(): { readonly span: number; readonly configured: boolean } | undefined {
    const explicit = this.explicit()
    if (explicit !== undefined) return { span: explicit, configured: false }
    const { codeTtl, defaultTtl, override, status } = this.given
    const cacheable = HEURISTIC.includes(status) || this.isPublic
    const configured = codeTtl ?? (override && cacheable ? defaultTtl : undefined)
    if (configured !== undefined) return { span: this.initialAge + configured, configured: true }
    // §4.2.2; ours: nothing of requests with cookies, nothing of QUERY, a day at most, no Date ahead of our clock.
    if (!cacheable || this.given.method !== 'GET' || all(this.given.request, 'cookie').length > 0) return undefined
    if (this.lastModified === undefined) return undefined
    const unchanged = Math.min(this.dateValue, this.given.received) - this.lastModified
    return unchanged > 0 ? { span: Math.min(86_400_000, Math.floor(unchanged / 10)), configured: false } : undefined
  }

  private explicit(): number | undefined {
    if (this.broken) return 0
    const shared = this.control.number('s-maxage')
    if (typeof shared === 'number') return shared * 1000
    const age = this.control.number('max-age')
    if (typeof age === 'number') return age * 1000
    if (all(this.given.response, 'expires').length === 0) return undefined
    // §5.3: an invalid date is in the past.
    const expires = date(this.given.response, 'expires')
    return expires === undefined ? 0 : Math.min(2 ** 31 * 1000, Math.max(0, expires - this.dateValue))
  }

  get isPublic(): boolean {
    return this.control.of('public').some(({ value }) => value === undefined)
  }

  get noCache(): boolean {
    return this.broken || this.control.unqualified('no-cache')
  }

  /** §4.2.4. */
  get neverStale(): boolean {
    return ['must-revalidate', 'proxy-revalidate', 's-maxage'].some((name) => this.control.of(name).length > 0)
  }

  /** RFC 5861: the origin's, else the operator's. */
  window(name: string, configured: number | undefined): number {
    if (this.broken) return 0
    const stated = this.control.of(name).map(({ value }) => seconds(value) ?? 0)
    if (stated.length > 0) return Math.min(...stated) * 1000
    return Math.floor((configured ?? 0) / 1000) * 1000
  }

  get whileRevalidate(): number {
    return this.window('stale-while-revalidate', this.given.whileRevalidate)
  }

  get ifError(): number {
    return this.window('stale-if-error', this.given.status < 500 ? this.given.ifError : 0)
  }
}

/** §3, a sentence after the other. */
function mayStore(stored: Stored): boolean {
  const { given, control } = stored
  const { method, status, request, response } = given
  // "the request method is understood by the cache"
  if (method !== 'GET' && !(method === 'QUERY' && given.content !== 'NotInKey')) return false
  // Ours: content that an origin may read and no key holds.
  if (given.content === 'NotInKey') return false
  // §5.2.1.5
  if (new Control(all(request, 'cache-control')).forbids('no-store')) return false
  // "the response status code is final"
  if (status < 200 || status > 599) return false
  // "if the response status code is 206 or 304 […]: the cache understands the response status code"
  if (status === 304 || NEVER.includes(status)) return false
  if (status === 206 && !isOneRange(given)) return false
  if (status !== 206 && all(response, 'content-range').length > 0) return false
  const understands = HEURISTIC.includes(status) || UNDERSTOOD.includes(status) || (status > 501 && status < 506)
  const mustUnderstand = control.forbids('must-understand')
  if (mustUnderstand && !understands) return false
  // "the no-store cache directive is not present in the response", and §5.2.2.3 about it
  if (control.forbids('no-store') && (stored.broken || !mustUnderstand)) return false
  // "the private response directive is either not present or allows a shared cache to store a modified response"
  if (control.unqualified('private')) return false
  // "the Authorization header field is not present in the request or a response directive is present that explicitly
  // allows shared caching", §3.5; ours: every credential, unless the key holds the identity
  const allowed = stored.isPublic || control.of('must-revalidate').length > 0 || control.of('s-maxage').length > 0
  const authorized = given.credentials || all(request, 'authorization').length > 0
  if (authorized && !given.identityInKey && (stored.broken || !allowed)) return false
  // Ours.
  if (all(response, 'set-cookie').length > 0) return false
  // §4.1: it could never match.
  if (all(response, 'vary').some((value) => value.split(',').some((one) => one.trim() === '*'))) return false
  // "the response contains at least one of", a lifetime, public or a status with heuristics; ours: of the last what asks
  // to be validated
  const lifetime = stored.lifetime()
  const asks =
    HEURISTIC.includes(status) &&
    ['no-cache', 'must-revalidate', 'proxy-revalidate'].some((name) =>
      name === 'no-cache' ? control.unqualified(name) : control.of(name).length > 0,
    )
  if (lifetime === undefined && !stored.isPublic && !asks) return false
  if (lifetime === undefined && !stored.validator) return false
  // Ours: an operator's 0.
  if (lifetime?.configured && lifetime.span <= stored.initialAge) return false
  // Ours: nothing that no request could get.
  if (stored.validator) return true
  if (stored.noCache) return false
  if ((lifetime?.span ?? 0) > stored.initialAge) return true
  return !stored.neverStale && (stored.whileRevalidate > 0 || stored.ifError > 0)
}

function isOneRange({ method, request, response }: CacheCase): boolean {
  if (method !== 'GET' || all(request, 'range').length === 0) return false
  const ranges = all(response, 'content-range')
  if (ranges.length !== 1 || all(response, 'etag').length > 1) return false
  const [unit, rest = ''] = ranges[0]!.split(' ')
  const [span = '', total = ''] = rest.split('/')
  const [first, last] = span.split('-').map(seconds)
  const length = total === '*' ? Number.POSITIVE_INFINITY : seconds(total)
  if (unit !== 'bytes' || first === undefined || last === undefined || length === undefined) return false
  return first <= last && last < length
}

export function modelVerdict(given: CacheCase): ModelVerdict {
  const stored = new Stored(given)
  if (!mayStore(stored)) return { store: false }
  const now = given.received + given.later
  const request = new Control(given.again)
  // §4.2.3: current_age; ours: never less than on arrival.
  const age = stored.initialAge + Math.max(0, given.later)
  const lifetime = stored.lifetime()?.span ?? 0
  // §4: a clock that runs backwards is none.
  const lost = now < given.received - 2000
  const onError = mayServeOnError(stored, request, age - lifetime, lost)
  const outcome = (() => {
    const asked = request.of('only-if-cached').length > 0 ? 'GatewayTimeout' : 'Validate'
    // §4: "does not contain the no-cache directive", §5.2.1.4
    if (stored.noCache || lost || request.forbids('no-cache')) return asked
    return lifetime > age
      ? (freshOutcome(stored, request, age, lifetime) ?? asked)
      : (staleOutcome(stored, request, age, lifetime) ?? asked)
  })()
  return { store: true, outcome, age: Math.floor(age / 1000), onError }
}

/** The least that is stated, in milliseconds; 0 where it cannot be read. */
function least(request: Control, name: string): number | undefined {
  const stated = request
    .of(name)
    .map(({ value }) =>
      value === undefined && name === 'max-stale' ? Number.POSITIVE_INFINITY : (seconds(value) ?? 0) * 1000,
    )
  return stated.length === 0 ? undefined : Math.min(...stated)
}

function minFresh(request: Control): number | undefined {
  const stated = request.of('min-fresh').flatMap(({ value }) => seconds(value) ?? [])
  return stated.length === 0 ? undefined : Math.max(...stated) * 1000
}

function freshOutcome(stored: Stored, request: Control, age: number, lifetime: number): string | undefined {
  // §5.2.1.1: "age is less than or equal to the specified number of seconds"; RFC 8246 §2
  const immutable = stored.control.of('immutable').some(({ value }) => value === undefined)
  const most = least(request, 'max-age')
  if (most !== undefined && age > most && !immutable) return undefined
  // §5.2.1.3: "freshness lifetime is no less than its current age plus the specified time"
  return lifetime >= age + (minFresh(request) ?? 0) ? 'Fresh' : undefined
}

function staleOutcome(stored: Stored, request: Control, age: number, lifetime: number): string | undefined {
  // §4.2.4: prohibited by an explicit directive
  if (stored.neverStale) return undefined
  if (minFresh(request) !== undefined) return undefined
  const most = least(request, 'max-age')
  // §5.2.1.2: "exceeded its freshness lifetime by no more than the specified number of seconds"
  const maxStale = least(request, 'max-stale')
  if (maxStale !== undefined && age - lifetime <= maxStale)
    return most !== undefined && age > most ? undefined : 'Stale'
  // §5.2.1.1: "Unless the max-stale request directive is also present, the client does not wish to receive a stale
  // response"; ours: nor one that is more stale than it says
  if (most !== undefined) return undefined
  return age - lifetime < stored.whileRevalidate ? 'StaleWhileRevalidate' : undefined
}

function mayServeOnError(stored: Stored, request: Control, stale: number, lost: boolean): boolean {
  if (stored.noCache || lost) return false
  if (stale < 0) return true
  return !stored.neverStale && stale < Math.max(stored.ifError, least(request, 'stale-if-error') ?? 0)
}
