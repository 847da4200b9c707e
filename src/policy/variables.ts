/**
 * Values with `%{selector}` variables, for `requestHeaders` and `responseHeaders`. The selectors are a closed list
 * (api.md, "One grammar for by what", with `request.id` and `response.…` besides). A text is compiled once, when a
 * chain is composed, to a list of parts.
 */

import { GatewayError } from '../lib/error.ts'
import { isFieldValue, withoutOws } from '../message/field-value.ts'
import type { ResponseHead } from '../message/head.ts'
import { findCookie } from '../pattern/cookie.ts'
import { findQueryParam } from '../pattern/query.ts'
import { CLAIMS, CONSUMER } from './attribute.ts'
import { networkOf } from './client-network.ts'
import type { DryExchange } from './exchange.ts'

/** Where a text stands: only a response can speak of `response.status` and `response.header:NAME`. */
export type TemplateSide = 'request' | 'response'

/** Value of one variable; undefined when this exchange has none. */
type VariableReader = (x: DryExchange, head: ResponseHead | null) => string | undefined

export interface Template {
  /** As the user wrote it. */
  readonly source: string
  /** The value itself when it holds no variable, else null. */
  readonly constant: string | null
  /**
   * Always a valid field value. Empty when every variable is; white space at the ends is cut (RFC 9110 §5.5).
   *
   * @throws {GatewayError} `HeadTooLarge` beyond {@link MAX_RENDERED}
   */
  render(x: DryExchange, head: ResponseHead | null): string
}

const SELECTORS =
  'client.ip, client.ip/BITS, header:NAME, cookie:NAME, query:NAME, claim:PATH, consumer, path, method, host, request.id'
const RESPONSE_SELECTORS = 'response.status, response.header:NAME'

/**
 * Characters of one value. A request of a few kilobytes must not become one of megabytes because a value names a long
 * field again and again.
 */
export const MAX_RENDERED = 65_536

const VARIABLE = /%(?:%|\{([^{}]*)\})?/g
const HEADER_NAME = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/
/** What a field value may not hold (RFC 9110 §5.5), in a text of Latin-1 characters. */
const FORBIDDEN = /[^\t\x20-\x7e\x80-\xff]/g
const NOT_ASCII = /[^\x00-\x7f]/

/**
 * What is wrong with a value, as a sentence for the person who wrote it; undefined when nothing is.
 *
 * @param side `request` unless the value stands in `responseHeaders`
 */
export function checkTemplate(text: string, side: TemplateSide = 'request'): string | undefined {
  const parts = parse(text, side)
  return typeof parts === 'string' ? parts : undefined
}

/** @throws {TypeError} when {@link checkTemplate} has something to say: validation has refused that before */
export function compileTemplate(text: string, side: TemplateSide): Template {
  const parts = parse(text, side)
  if (typeof parts === 'string') throw new TypeError(parts)
  const [only] = parts
  if (parts.length === 0) return constantTemplate(text, '')
  if (parts.length === 1 && typeof only === 'string') return constantTemplate(text, only)
  return { source: text, constant: null, render: (x, head) => render(parts, x, head) }
}

/** The selectors of the variables in a value that has been checked. */
export function selectorsIn(text: string): readonly string[] {
  return [...text.matchAll(VARIABLE)].flatMap(([, name]) => (name === undefined ? [] : [name]))
}

function constantTemplate(source: string, constant: string): Template {
  return { source, constant, render: () => constant }
}

function render(parts: readonly (string | VariableReader)[], x: DryExchange, head: ResponseHead | null): string {
  let text = ''
  let found = false
  for (const part of parts) {
    if (typeof part === 'string') {
      text += part
      continue
    }
    const value = part(x, head)
    if (value === undefined || value === '') continue
    found = true
    text += value
    if (text.length > MAX_RENDERED)
      throw new GatewayError('HeadTooLarge', `a header value made of variables is over ${MAX_RENDERED} characters`)
  }
  if (!found) return ''
  return withoutOws(isFieldValue(text) ? text : text.replace(FORBIDDEN, ''))
}

/** The parts of a text, or what is wrong with it. */
function parse(text: string, side: TemplateSide): (string | VariableReader)[] | string {
  const parts: (string | VariableReader)[] = []
  let literal = ''
  let copied = 0
  for (const match of text.matchAll(VARIABLE)) {
    literal += text.slice(copied, match.index)
    copied = match.index + match[0].length
    if (match[0] === '%%') {
      literal += '%'
      continue
    }
    const name = match[1]
    if (name === undefined)
      return `the percent sign at position ${match.index + 1} begins no %{selector}; write %% for a percent sign`
    const selector = selectorOf(name, side)
    if (typeof selector === 'string') return selector
    if (literal !== '') parts.push(toFieldText(literal))
    literal = ''
    parts.push(IDENTITY.test(name) ? unchanged(selector) : selector)
  }
  literal += text.slice(copied)
  if (literal !== '') parts.push(toFieldText(literal))
  for (const part of parts)
    if (typeof part === 'string' && !isFieldValue(part))
      return 'a field value cannot hold control characters such as a line break (RFC 9110 §5.5)'
  // What a parser cuts off again on the other side is not part of a value.
  if (parts.length === 1 && typeof parts[0] === 'string') parts[0] = withoutOws(parts[0])
  return parts
}

/** Says who the client is. */
const IDENTITY = /^(claim:|consumer$)/

/** What a field cannot hold as it is would become the name of somebody else: `ad\0min` is not `admin`. */
function unchanged(read: VariableReader): VariableReader {
  return (x, head) => {
    const value = read(x, head)
    return value === undefined || (isFieldValue(value) && withoutOws(value) === value) ? value : undefined
  }
}

/** What a request has of a selector, undefined when it has nothing. */
export type ValueReader = (x: DryExchange) => string | undefined

/**
 * The function behind one selector, for keys.
 *
 * @throws {TypeError} for what validation should have rejected
 */
export function valueReader(selector: string): ValueReader {
  if (selector === 'route') return (x) => x.route
  const reader = selectorOf(selector, 'request')
  if (typeof reader === 'string') throw new TypeError(reader)
  return (x) => {
    const value = reader(x, null)
    return value === '' ? undefined : value
  }
}

/** The function behind a selector, or what is wrong with it. */
function selectorOf(selector: string, side: TemplateSide): VariableReader | string {
  const colon = selector.indexOf(':')
  if (colon !== -1)
    return namedSelector(selector.slice(0, colon), selector.slice(colon + 1), side) ?? unknown(selector, side)
  switch (selector) {
    case 'client.ip':
      return (x) => x.clientAddress
    case 'consumer':
      return (x) => factText(x.get(CONSUMER))
    case 'path':
      return (x) => x.originalPath
    case 'method':
      return (x) => x.method
    case 'host':
      return (x) => x.host
    case 'request.id':
      return (x) => x.id
    case 'response.status':
      if (side === 'response') return (_x, head) => (head === null ? undefined : String(head.status))
  }
  const bits = /^client\.ip\/(\d{1,3})$/.exec(selector)
  if (bits !== null && Number(bits[1]) >= 1 && Number(bits[1]) <= 128) {
    const length = Number(bits[1])
    return (x) => networkOf(x.clientAddress, length)
  }
  return unknown(selector, side)
}

function namedSelector(kind: string, name: string, side: TemplateSide): VariableReader | undefined {
  if (name === '') return undefined
  switch (kind) {
    case 'header': {
      const lower = name.toLowerCase()
      return HEADER_NAME.test(name) ? (x) => x.request.joined(lower) : undefined
    }
    case 'cookie':
      return (x) => cookieOf(x, name)
    case 'query':
      return (x) => (x.query === undefined ? undefined : textOf(findQueryParam(x.query, name)))
    case 'claim': {
      const path = name.split('.')
      return (x) => claimText(x.get(CLAIMS), path)
    }
    case 'response.header': {
      const lower = name.toLowerCase()
      if (side !== 'response' || !HEADER_NAME.test(name)) return undefined
      return (_x, head) => head?.fields.joined(lower)
    }
  }
  return undefined
}

function unknown(selector: string, side: TemplateSide): string {
  const list = side === 'response' ? `${SELECTORS}, ${RESPONSE_SELECTORS}` : SELECTORS
  return `%{${selector}} is not a variable here; there are: ${list}`
}

/** HTTP/2 splits cookies over several fields (RFC 9113 §8.2.3), so each is looked through. */
function cookieOf(x: DryExchange, name: string): string | undefined {
  for (const field of x.request.all('cookie')) {
    const value = findCookie(field, name)
    if (value !== undefined) return value
  }
  return undefined
}

/** Own members only; undefined where there is none. @param path names of members, outermost first */
export function claimAt(claims: unknown, path: readonly string[]): unknown {
  let value: unknown = claims
  for (const step of path) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, step)) return undefined
    value = (value as Record<string, unknown>)[step]
  }
  return value
}

/**
 * A claim by path: text, numbers and booleans as they are written, a list of them joined by commas; objects have no
 * value.
 */
function claimText(claims: unknown, path: readonly string[]): string | undefined {
  const value = claimAt(claims, path)
  if (!Array.isArray(value)) return factText(value)
  const items = value.map(factText).filter((item) => item !== undefined)
  return items.length === 0 ? undefined : items.join(',')
}

function factText(value: unknown): string | undefined {
  if (typeof value === 'string') return toFieldText(value)
  return typeof value === 'number' || typeof value === 'boolean' ? String(value) : undefined
}

function textOf(value: string | undefined): string | undefined {
  return value === undefined ? undefined : toFieldText(value)
}

/** UTF-8 bytes as Latin-1 characters, the form in which fields are kept: what is written is exactly these bytes. */
function toFieldText(text: string): string {
  return NOT_ASCII.test(text) ? Buffer.from(text, 'utf8').latin1Slice(0, Buffer.byteLength(text, 'utf8')) : text
}
