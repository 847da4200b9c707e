/**
 * Makes a request of a decoded header section (RFC 9113 §8.3, §8.2.2; RFC 8441 §4). What frames messages or concerns
 * one connection is judged and taken out here, before any filter sees the request: nothing of it may reach an HTTP/1.1
 * upstream, where it would mean something else.
 */
import { decimal } from '../http/framing.ts'
import type { HeaderSection } from '../http/header-section.ts'
import { type Priority, readPriority } from '../http/priority.ts'
import { type Decoding, MALFORMED, TOO_LARGE } from '../http/section-builder.ts'
import { GatewayError } from '../lib/error.ts'
import { UNKNOWN_LENGTH } from '../message/body.ts'
import { CDN_LOOP_FIELD } from '../message/cdn-loop.ts'
import type { Fields } from '../message/fields.ts'
import type { HeadLimits } from '../message/head.ts'
import type { IncomingRequest } from '../transport/downstream.ts'
import { sameAuthority } from '../transport/request-target.ts'

/** A request that RFC 9113 §8.1.1 calls malformed: a stream error PROTOCOL_ERROR, whatever is answered. */
export class MalformedRequest extends GatewayError {
  constructor(detail: string) {
    super('BadRequest', detail)
  }
}

/** Of a section that was decoded and is not to be used. */
export function sectionError(result: Decoding, fault: string): GatewayError {
  if (result === MALFORMED) return new MalformedRequest(fault)
  return new GatewayError(result === TOO_LARGE ? 'HeadTooLarge' : 'TooManyHeaders')
}

/** What the fields say, filled in again and again. */
interface Found {
  host: number
  contentLength: number
  expectContinue: boolean
  acceptsTrailers: boolean
  cdnLoop: boolean
}

const FOUND: Found = { host: -1, contentLength: -1, expectContinue: false, acceptsTrailers: false, cdnLoop: false }

/** Methods whose content has a meaning: without any, its length is stated all the same (RFC 9110 §8.6). */
const WITH_CONTENT = new Set(['POST', 'PUT', 'PATCH'])

/**
 * @param complete no body follows
 * @param priority takes what the request states
 */
export function streamRequest(
  section: HeaderSection,
  complete: boolean,
  limits: HeadLimits,
  priority: Priority,
): IncomingRequest | GatewayError {
  const { fields, method, path } = section
  if (method === undefined) return new MalformedRequest('no :method')
  const found = FOUND
  const fault = readFields(fields, found, priority)
  if (fault !== null) return fault
  const { contentLength } = found
  if (complete && contentLength > 0) return new MalformedRequest('a content-length, and no body')
  const tunnel = section.protocol !== undefined
  if (tunnel && method !== 'CONNECT') return new MalformedRequest(':protocol without CONNECT')
  if (method === 'CONNECT' && !tunnel) {
    if (path !== undefined || section.scheme !== undefined || !section.authority)
      return new MalformedRequest('a CONNECT with :path or :scheme, or without :authority')
    return new GatewayError('ConnectNotAllowed')
  }
  const target = pathFault(section, limits)
  if (target !== null) return target
  const authority = authorityOf(section, found.host)
  if (authority instanceof GatewayError) return authority
  const bodyLength = tunnel || complete ? 0 : contentLength < 0 ? UNKNOWN_LENGTH : contentLength
  if (complete && contentLength < 0 && WITH_CONTENT.has(method)) fields.add('content-length', '0')
  return {
    protocol: 'HTTP/2',
    method: tunnel ? 'GET' : method,
    authority,
    authorityMoved: section.authority !== undefined,
    target: path!,
    fields,
    bodyLength,
    expectContinue: found.expectContinue && bodyLength !== 0,
    acceptsTrailers: found.acceptsTrailers,
    upgrade: tunnel ? section.protocol!.toLowerCase() : null,
    cdnLoop: found.cdnLoop,
  }
}

/** The scheme is the socket's, whatever the request says; it must be one of the two. */
function pathFault({ scheme, path, method }: HeaderSection, limits: HeadLimits): GatewayError | null {
  if (scheme === undefined || path === undefined) return new MalformedRequest('no :scheme, or no :path')
  if (scheme !== 'http' && scheme !== 'https') return new MalformedRequest('a :scheme that is neither http nor https')
  if (path.length > limits.uri) return new GatewayError('UriTooLong', `over ${limits.uri} bytes`)
  if (path.charCodeAt(0) === 0x2f || (path === '*' && method === 'OPTIONS')) return null
  return new MalformedRequest('a :path that does not begin with a slash')
}

/** RFC 9113 §8.3.1: `:authority`, else Host; where both are there they name the same. */
function authorityOf({ authority, scheme, fields }: HeaderSection, host: number): string | GatewayError {
  if (host < 0)
    return authority === undefined || authority === '' ? new GatewayError('BadHost', 'no :authority') : authority
  const named = fields.valueAt(host)
  if (authority === undefined) return named === '' ? new GatewayError('BadHost', 'an empty Host field') : named
  if (named !== authority && !sameAuthority(named, authority, scheme === 'https' ? 443 : 80))
    return new GatewayError('BadHost', 'the Host differs from :authority')
  fields.removeAt(host)
  return authority
}

/** One pass over the fields; what is said by the request as a whole is taken out. */
function readFields(fields: Fields, found: Found, priority: Priority): GatewayError | null {
  found.host = -1
  found.contentLength = -1
  found.expectContinue = false
  found.acceptsTrailers = false
  found.cdnLoop = false
  for (let i = 0, count = fields.count; i < count; i++) {
    switch (fields.nameLength(i)) {
      case 2:
        if (!fields.nameIs(i, 'te')) break
        if (fields.valueAt(i).toLowerCase() !== 'trailers') return new MalformedRequest('a te other than trailers')
        found.acceptsTrailers = true
        fields.removeAt(i)
        break
      case 4:
        if (!fields.nameIs(i, 'host')) break
        if (found.host >= 0) return new GatewayError('BadHost', 'several Host fields')
        found.host = i
        break
      case 6:
        if (!fields.nameIs(i, 'expect')) break
        if (fields.valueAt(i).toLowerCase() !== '100-continue')
          return new GatewayError('ExpectationFailed', fields.valueAt(i))
        found.expectContinue = true
        break
      case 7:
        if (fields.nameIs(i, 'upgrade')) return connectionField('upgrade')
        break
      case 8:
        if (fields.nameIs(i, CDN_LOOP_FIELD)) found.cdnLoop = true
        else if (fields.nameIs(i, 'priority')) readPriority(fields.valueAt(i), priority)
        break
      case 10:
        if (fields.nameIs(i, 'connection')) return connectionField('connection')
        if (fields.nameIs(i, 'keep-alive')) return connectionField('keep-alive')
        break
      case 14:
        if (!fields.nameIs(i, 'content-length')) break
        if (found.contentLength >= 0) return new MalformedRequest('several content-length fields')
        found.contentLength = decimal(fields, i)
        if (found.contentLength < 0) return new MalformedRequest('a content-length that is not a number')
        break
      case 16:
        if (fields.nameIs(i, 'proxy-connection')) return connectionField('proxy-connection')
        break
      case 17:
        if (fields.nameIs(i, 'transfer-encoding')) return connectionField('transfer-encoding')
        break
      case 19:
        if (fields.nameIs(i, 'proxy-authorization')) fields.removeAt(i)
        break
    }
  }
  return null
}

/** RFC 9113 §8.2.2. */
function connectionField(name: string): MalformedRequest {
  return new MalformedRequest(`the field ${name}, which HTTP/2 does not have`)
}
