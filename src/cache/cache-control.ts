/**
 * Cache-Control of responses and requests (RFC 9111 §5.2). What has no clear meaning is read as the more restrictive:
 * a line that is not of the grammar allows nothing, but forbids what any of its words forbids.
 */
import type { Fields } from '../message/fields.ts'
import { Memo } from './memo.ts'
import { onlyAt } from './one-field.ts'
import type { RequestDirectives } from './verdicts.ts'

/** Seconds of a directive that is absent. */
export const ABSENT = -1
/** RFC 9111 §1.2.2: what is greater means this. */
export const MAX_SECONDS = 2 ** 31

type Mutable<T> = { -readonly [K in keyof T]: T[K] }

/** Of a response, from Cache-Control or a targeted field. */
export interface ResponseDirectives {
  readonly noStore: boolean
  /** Without field names, as all that follow. */
  readonly private: boolean
  readonly noCache: boolean
  readonly mustRevalidate: boolean
  readonly proxyRevalidate: boolean
  readonly mustUnderstand: boolean
  readonly public: boolean
  readonly immutable: boolean
  /** Seconds, or {@link ABSENT}; 0 where it has no meaning. */
  readonly maxAge: number
  readonly sMaxAge: number
  readonly staleWhileRevalidate: number
  readonly staleIfError: number
  /** In lower case: named by `private` or `no-cache`. */
  readonly excluded: readonly string[]
  /**
   * A lifetime is stated that cannot be read, or two that differ, or a line is not of the grammar: nothing is fresh,
   * and nothing is allowed.
   */
  readonly broken: boolean
}

export type MutableDirectives = Mutable<ResponseDirectives> & { excluded: string[] }

export function noDirectives(): MutableDirectives {
  return {
    noStore: false,
    private: false,
    noCache: false,
    mustRevalidate: false,
    proxyRevalidate: false,
    mustUnderstand: false,
    public: false,
    immutable: false,
    maxAge: ABSENT,
    sMaxAge: ABSENT,
    staleWhileRevalidate: ABSENT,
    staleIfError: ABSENT,
    excluded: [],
    broken: false,
  }
}

const NOTHING: ResponseDirectives = noDirectives()

const TOKEN = "[!#$%&'*+\\-.^_`|~0-9A-Za-z]+"
const QUOTED = '"((?:[\\t \\x21\\x23-\\x5b\\x5d-\\x7e\\x80-\\xff]|\\\\[\\t\\x20-\\x7e\\x80-\\xff])*)"'
/** White space, and a directive with its argument, or nothing (RFC 9110 §5.6.1.2: empty elements are ignored). */
const ELEMENT = new RegExp(`[\\t ]*(?:(${TOKEN})(?:=(?:(${TOKEN})|${QUOTED}))?)?[\\t ]*(?:,|$)`, 'y')

/**
 * Calls back for each directive of a line, its name in lower case.
 *
 * @returns false where the line is not of the grammar; what stands before the fault was told
 */
export function readDirectives(line: string, visit: (name: string, argument: string | undefined) => void): boolean {
  ELEMENT.lastIndex = 0
  while (ELEMENT.lastIndex < line.length) {
    const match = ELEMENT.exec(line)
    if (match === null) return false
    const [, name, token, quoted] = match
    if (name !== undefined) visit(name.toLowerCase(), token ?? quoted?.replaceAll(/\\(.)/gs, '$1'))
  }
  return true
}

/** RFC 9111 §1.2.2. @returns undefined where it is none */
export function deltaSeconds(text: string | undefined): number | undefined {
  return text !== undefined && DIGITS.test(text) ? Math.min(Number(text), MAX_SECONDS) : undefined
}

const DIGITS = /^[0-9]+$/
const FIELD_NAMES = new RegExp(`^[\\t ,]*${TOKEN}(?:[\\t ]*,[\\t ,]*${TOKEN})*[\\t ,]*$`)
const NAME_SEPARATORS = /[\t ,]+/
/** Of one response: who names more keeps the whole response from being stored or reused. */
const MAX_EXCLUDED = 64

const MEMO = new Memo<ResponseDirectives>()

/** @returns what nobody changes: most responses get the same object */
export function parseCacheControl(lines: readonly string[]): ResponseDirectives {
  if (lines.length === 0) return NOTHING
  return lines.length === 1 ? MEMO.get(lines[0]!, parseLine) : parseLines(lines)
}

/** {@link parseCacheControl} of the field of a message. */
export function readCacheControl(fields: Fields): ResponseDirectives {
  const only = onlyAt(fields, 'cache-control')
  return only < 0 ? parseCacheControl(fields.all('cache-control')) : MEMO.ofField(fields, only, parseLine)
}

function parseLine(line: string): ResponseDirectives {
  return parseLines([line])
}

function parseLines(lines: readonly string[]): ResponseDirectives {
  const directives = noDirectives()
  for (const line of lines)
    if (!readDirectives(line, (name, argument) => addDirective(directives, name, argument))) distrust(directives, line)
  return directives
}

/** What a line that cannot be read forbids. */
function distrust(directives: MutableDirectives, line: string): void {
  const text = line.toLowerCase()
  directives.broken = true
  directives.noStore ||= text.includes('no-store')
  directives.private ||= text.includes('private')
  directives.noCache ||= text.includes('no-cache')
  directives.mustUnderstand ||= text.includes('must-understand')
}

/** Adds one directive, as a string: of a targeted field they come from other types. */
export function addDirective(directives: MutableDirectives, name: string, argument: string | undefined): void {
  switch (name) {
    // What forbids is obeyed with an argument, too, though it has none; what allows is not.
    case 'no-store':
      directives.noStore = true
      break
    case 'must-revalidate':
      directives.mustRevalidate = true
      break
    case 'proxy-revalidate':
      directives.proxyRevalidate = true
      break
    case 'must-understand':
      directives.mustUnderstand = true
      break
    case 'public':
      directives.public ||= argument === undefined
      break
    case 'immutable':
      directives.immutable ||= argument === undefined
      break
    case 'private':
      if (!exclude(directives, argument)) directives.private = true
      break
    case 'no-cache':
      if (!exclude(directives, argument)) directives.noCache = true
      break
    case 'max-age':
      directives.maxAge = lifetime(directives, directives.maxAge, argument)
      break
    case 's-maxage':
      directives.sMaxAge = lifetime(directives, directives.sMaxAge, argument)
      break
    case 'stale-while-revalidate':
      directives.staleWhileRevalidate = window(directives.staleWhileRevalidate, argument)
      break
    case 'stale-if-error':
      directives.staleIfError = window(directives.staleIfError, argument)
      break
  }
}

/** Without one of them a response is another one: its body is read, or it is kept and chosen, in another way. */
const NOT_WITHOUT: ReadonlySet<string> = new Set([
  'content-encoding',
  'content-range',
  'content-type',
  'vary',
  'cache-control',
])

/** @returns false where the argument is no list of field names: then the directive is about the whole response */
function exclude(directives: MutableDirectives, argument: string | undefined): boolean {
  if (argument === undefined || !FIELD_NAMES.test(argument)) return false
  for (const name of argument.toLowerCase().split(NAME_SEPARATORS, MAX_EXCLUDED * 2)) {
    if (name === '' || directives.excluded.includes(name)) continue
    if (directives.excluded.length === MAX_EXCLUDED || NOT_WITHOUT.has(name)) return false
    directives.excluded.push(name)
  }
  return true
}

/** RFC 9111 §4.2.1: what is not a number, or stated twice with different values, is considered stale. */
function lifetime(directives: MutableDirectives, before: number, argument: string | undefined): number {
  const seconds = deltaSeconds(argument)
  if (seconds !== undefined && (before === ABSENT || before === seconds)) return seconds
  directives.broken = true
  return 0
}

/** The shortest that is stated. */
function window(before: number, argument: string | undefined): number {
  const seconds = deltaSeconds(argument) ?? 0
  return before === ABSENT ? seconds : Math.min(before, seconds)
}

/** Of a request that asks for nothing. */
export const NO_REQUEST_DIRECTIVES: RequestDirectives = {
  noCache: false,
  noStore: false,
  onlyIfCached: false,
  maxAge: ABSENT,
  minFresh: ABSENT,
  maxStale: ABSENT,
  staleIfError: ABSENT,
}
const ONLY_NO_CACHE: RequestDirectives = { ...NO_REQUEST_DIRECTIVES, noCache: true }

/** RFC 9111 §5.2.1, and Pragma where there is no Cache-Control (§5.4). Allocates nothing where both are absent. */
export function requestDirectives(fields: Fields): RequestDirectives {
  if (!fields.has('cache-control')) {
    const pragma = fields.get('pragma')
    return pragma !== undefined && namesNoCache(pragma) ? ONLY_NO_CACHE : NO_REQUEST_DIRECTIVES
  }
  return parseRequestDirectives(fields.all('cache-control'))
}

function namesNoCache(line: string): boolean {
  let named = false
  const valid = readDirectives(line, (name) => (named ||= name === 'no-cache'))
  return named || (!valid && line.toLowerCase().includes('no-cache'))
}

const SECOND = 1_000

export function parseRequestDirectives(lines: readonly string[]): RequestDirectives {
  const directives = { ...NO_REQUEST_DIRECTIVES }
  for (const line of lines) {
    if (readDirectives(line, (name, argument) => addRequestDirective(directives, name, argument))) continue
    const text = line.toLowerCase()
    directives.noStore ||= text.includes('no-store')
    directives.noCache ||= text.includes('no-cache')
  }
  return directives
}

/** Of several values the one counts that asks for the most. */
function addRequestDirective(into: Mutable<RequestDirectives>, name: string, argument: string | undefined): void {
  const seconds = deltaSeconds(argument)
  const span = seconds === undefined ? undefined : seconds * SECOND
  switch (name) {
    case 'no-cache':
      into.noCache = true
      break
    case 'no-store':
      into.noStore = true
      break
    case 'only-if-cached':
      into.onlyIfCached = true
      break
    case 'max-age':
      into.maxAge = least(into.maxAge, span ?? 0)
      break
    case 'min-fresh':
      into.minFresh = Math.max(into.minFresh, span ?? ABSENT)
      break
    case 'max-stale':
      into.maxStale = least(into.maxStale, argument === undefined ? Number.POSITIVE_INFINITY : (span ?? 0))
      break
    case 'stale-if-error':
      into.staleIfError = least(into.staleIfError, span ?? 0)
      break
  }
}

function least(before: number, span: number): number {
  return before === ABSENT ? span : Math.min(before, span)
}
