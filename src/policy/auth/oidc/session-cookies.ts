/**
 * Cookies of sessions: as many as a session needs, recognised by their value, so that they are taken out of every
 * request whatever its rule is, and no backend of the hostname can use the session of somebody else.
 */

import type { Fields } from '../../../message/fields.ts'
import { attribute } from '../../attribute.ts'
import type { Exchange } from '../../exchange.ts'

/** Every value begins with it. */
export const SESSION_MARK = 'hgs1~'

export interface SessionCookie {
  readonly name: string
  /** Without the mark. */
  readonly value: string
}

/** Those that the request came with. */
export const SESSION_COOKIES = attribute<readonly SessionCookie[]>('session cookies')

export interface CookieAttributes {
  readonly sameSite: string
  /** Seconds; undefined: until the browser ends. */
  readonly maxAge: number | undefined
}

/**
 * Characters of one value: name and attributes fit beside it into the 4,096 bytes that browsers keep (RFC 6265 §6.1).
 */
const PIECE = 3_700
/** Of one session: together below the limit for the head of a request. */
const MAX_PIECES = 8
export const MAX_SESSION_TEXT = PIECE * MAX_PIECES
const COUNTED = /^([1-9])~(.*)$/

/** Moves them out of the fields. */
export function takeSessionCookies(x: Pick<Exchange, 'set'>, request: Fields): void {
  const fields = request.all('cookie')
  if (!fields.some((field) => field.includes(SESSION_MARK))) return
  const own: SessionCookie[] = []
  const others: string[] = []
  for (const pair of fields.flatMap((field) => field.split(';'))) {
    const text = pair.trim()
    const equals = text.indexOf('=')
    const value = text.slice(equals + 1).trim()
    if (equals >= 0 && value.startsWith(SESSION_MARK))
      own.push({ name: text.slice(0, equals).trim(), value: value.slice(SESSION_MARK.length) })
    else if (text !== '') others.push(text)
  }
  request.remove('cookie')
  if (others.length > 0) request.add('cookie', others.join('; '))
  x.set(SESSION_COOKIES, own)
}

/** @returns undefined where there is none, or not all of it; `'several'` where one of its names is there twice */
export function joinCookies(cookies: readonly SessionCookie[], name: string): string | 'several' | undefined {
  const first = soleValue(cookies, name)
  if (first === undefined || first === 'several') return first
  const [, count, text = ''] = COUNTED.exec(first) ?? []
  let joined = text
  for (let i = 1; i < Number(count); i++) {
    const piece = soleValue(cookies, pieceName(name, i))
    if (piece === undefined || piece === 'several') return piece
    joined += piece
  }
  return count === undefined ? undefined : joined
}

function soleValue(cookies: readonly SessionCookie[], name: string): string | 'several' | undefined {
  const found = cookies.filter((cookie) => cookie.name === name)
  return found.length > 1 ? 'several' : found[0]?.value
}

function pieceName(name: string, i: number): string {
  return i === 0 ? name : `${name}.${i}`
}

/** Values of `Set-Cookie`, those that end pieces of a longer session before it included. */
export function splitCookies(
  text: string,
  name: string,
  attributes: CookieAttributes,
  before: readonly SessionCookie[],
): string[] {
  const count = Math.ceil(text.length / PIECE)
  if (count > MAX_PIECES) throw new RangeError(`a session has ${text.length} characters`)
  const set: string[] = []
  for (let i = 0; i < count; i++) {
    const piece = text.slice(i * PIECE, (i + 1) * PIECE)
    set.push(setCookie(pieceName(name, i), i === 0 ? `${count}~${piece}` : piece, attributes))
  }
  return [...set, ...endCookies(name, attributes, before, count)]
}

/** Ends the pieces of a session, from one on. */
export function endCookies(
  name: string,
  attributes: CookieAttributes,
  before: readonly SessionCookie[],
  from = 0,
): string[] {
  const names: string[] = []
  for (let i = from; i < MAX_PIECES; i++)
    if (before.some((cookie) => cookie.name === pieceName(name, i))) names.push(pieceName(name, i))
  return names.map((one) => setCookie(one, '', { ...attributes, maxAge: 0 }))
}

export function setCookie(name: string, value: string, { sameSite, maxAge }: CookieAttributes): string {
  const life = maxAge === undefined ? '' : `; Max-Age=${maxAge}`
  return `${name}=${SESSION_MARK}${value}; Path=/; HttpOnly; Secure; SameSite=${sameSite}${life}`
}
