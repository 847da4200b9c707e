/** The conditions of a match besides its path: one meaning for the packed matcher, the slow one and `explain`. */

import { GatewayError } from '../lib/error.ts'
import type { Fields } from '../message/fields.ts'
import { findCookie } from '../pattern/cookie.ts'
import { findQueryParam } from '../pattern/query.ts'
import type { Pattern } from '../pattern/regex.ts'
import { HOST_PSEUDO_HEADER } from '../snapshot/snapshot.ts'
import type { RouteRequest } from './request.ts'

/**
 * The field's value as rules compare it: all its lines as one (RFC 9110 §5.3), bytes read as UTF-8. Undefined when it
 * is absent.
 *
 * @param name in lower case, or `HOST_PSEUDO_HEADER`
 */
export function headerValue(request: RouteRequest, name: string): string | undefined {
  if (name === HOST_PSEUDO_HEADER) return request.host
  const value = request.request.joined(name) ?? (name === 'host' ? request.authority : undefined)
  return value === undefined ? undefined : asUTF8(value)
}

export function cookieValue(fields: Fields, name: string): string | undefined {
  // HTTP/2 may split the field (RFC 9113 §8.2.3): each line holds whole pairs.
  if (!fields.has('cookie')) return undefined
  const wanted = asLatin1(name)
  for (const line of fields.all('cookie')) {
    const value = findCookie(line, wanted)
    if (value !== undefined) return asUTF8(value)
  }
  return undefined
}

export function queryValue(request: RouteRequest, name: string): string | undefined {
  return request.query === undefined ? undefined : findQueryParam(request.query, name)
}

/** @throws {GatewayError} `HeadTooLarge` for a value that is too long for the pattern: see `Pattern.matches` */
export function valueMatches(pattern: Pattern, value: string): boolean {
  if (value.length > pattern.maxLength)
    throw new GatewayError('HeadTooLarge', `a value of ${value.length} characters for the pattern ${pattern.source}`)
  return pattern.matches(value)
}

/** By segment: `/a` holds `/a`, `/a/` and `/a/b`. `/` holds everything. */
export function isBelow(path: string, prefix: string): boolean {
  if (prefix === '/') return true
  return path.startsWith(prefix) && (path.length === prefix.length || path.charCodeAt(prefix.length) === 0x2f)
}

const BEYOND_ASCII = /[\x80-\xff]/

/** Fields come as Latin-1 characters, one for each byte; manifests are UTF-8. */
function asUTF8(value: string): string {
  return BEYOND_ASCII.test(value) ? Buffer.from(value, 'latin1').toString('utf8') : value
}

function asLatin1(name: string): string {
  return /[^\x00-\x7f]/.test(name) ? Buffer.from(name, 'utf8').toString('latin1') : name
}
