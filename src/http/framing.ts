/**
 * What the fields of a head say about the message around it: body length, persistence, hop-by-hop fields (RFC 9112
 * §6.3, §9.3; RFC 9110 §7.6.1). One pass over the fields; what belongs to one connection only is taken out here, before
 * any filter sees the message.
 */
import type { Reason } from '../lib/reason.ts'
import { UNKNOWN_LENGTH } from '../message/body.ts'
import { CDN_LOOP_FIELD } from '../message/cdn-loop.ts'
import { withoutOws } from '../message/field-value.ts'
import type { Fields } from '../message/fields.ts'
import type { RequestHead, StatusHead } from './head.ts'

/** Body lengths that are not a number of bytes. */
export const CHUNKED = UNKNOWN_LENGTH
/** Until the connection closes; responses only. */
export const UNTIL_CLOSE = -2

export interface RequestFraming {
  /** Bytes, or {@link CHUNKED}. */
  bodyLength: number
  keepAlive: boolean
  expectContinue: boolean
  /** Index of the one Host field, -1 when there is none. */
  host: number
  /** Lower-case tokens of Upgrade when Connection names it too, else null. */
  upgrade: string | null
  /** Whether the client takes trailers (TE: trailers). */
  acceptsTrailers: boolean
  /** Whether there is a CDN-Loop field: the request may have been here before. */
  cdnLoop: boolean
}

/** One to be filled in by {@link frameRequest}, again and again. */
export function requestFraming(): RequestFraming {
  return {
    bodyLength: 0,
    keepAlive: true,
    expectContinue: false,
    host: -1,
    upgrade: null,
    acceptsTrailers: false,
    cdnLoop: false,
  }
}

export interface ResponseFraming {
  bodyLength: number
  keepAlive: boolean
  upgrade: string | null
  /** Seconds from `Keep-Alive: timeout=n`, 0 when not said: how long an idle connection may be trusted. */
  idleTimeout: number
}

/** A refusal in words for the log; the reason is what the client gets. */
export type FramingFault = { readonly reason: Reason; readonly detail: string }

const fault = (reason: Reason, detail: string): FramingFault => ({ reason, detail })

/** Fields that are about this connection only; what Connection names is removed besides. */
const PROTECTED = new Set([
  'host',
  'content-length',
  'transfer-encoding',
  'expect',
  'date',
  'max-forwards',
  CDN_LOOP_FIELD,
])

/**
 * Fields of a response by which caches keep it, choose it, and read its body. They are for all recipients: Connection
 * never names them (RFC 9110 §7.6.1), and a response that loses one so is for nobody else.
 */
const FOR_CACHES = new Set([
  'cache-control',
  'cdn-cache-control',
  'headgate-cache-control',
  'expires',
  'age',
  'vary',
  'set-cookie',
  'content-encoding',
  'content-range',
])

/**
 * @param into filled in; its former content does not matter
 * @returns null, or why the request must be refused
 */
export function frameRequest(head: RequestHead, into: RequestFraming): FramingFault | null {
  const fields = head.fields
  let length = -1
  let chunked = false
  let connection = false
  let persistence = 0
  let upgrade = -1
  into.host = -1
  into.expectContinue = false
  into.keepAlive = head.minor === 1
  into.upgrade = null
  into.acceptsTrailers = false
  into.cdnLoop = false
  for (let i = 0, count = fields.count; i < count; i++) {
    switch (fields.nameLength(i)) {
      case 2:
        if (fields.nameIs(i, 'te')) {
          if (/(^|,)[ \t]*trailers[ \t]*(,|$)/i.test(fields.valueAt(i))) into.acceptsTrailers = true
          fields.removeAt(i)
        }
        break
      case 4:
        if (fields.nameIs(i, 'host')) {
          if (into.host >= 0) return fault('BadHost', 'several Host fields')
          into.host = i
        }
        break
      case 6:
        if (fields.nameIs(i, 'expect')) {
          if (fields.valueAt(i).toLowerCase() !== '100-continue') return fault('ExpectationFailed', fields.valueAt(i))
          // RFC 9110 §10.1.1: ignored from an HTTP/1.0 client.
          if (head.minor === 1) into.expectContinue = true
          else fields.removeAt(i)
        }
        break
      case 7:
        if (fields.nameIs(i, 'upgrade')) {
          if (upgrade >= 0) return fault('BadRequest', 'several Upgrade fields')
          upgrade = i
          fields.removeAt(i)
        }
        break
      case 8:
        if (fields.nameIs(i, CDN_LOOP_FIELD)) into.cdnLoop = true
        break
      case 10:
        if (fields.nameIs(i, 'connection')) {
          const option = plainOption(fields, i)
          if (option === 0) connection = true
          else {
            persistence |= option
            fields.removeAt(i)
          }
        } else if (fields.nameIs(i, 'keep-alive')) fields.removeAt(i)
        break
      case 14:
        if (fields.nameIs(i, 'content-length')) {
          if (length >= 0) return fault('BadRequest', 'several Content-Length fields')
          length = decimal(fields, i)
          if (length < 0) return fault('BadRequest', 'a Content-Length that is not a number')
        }
        break
      case 16:
        if (fields.nameIs(i, 'proxy-connection')) fields.removeAt(i)
        break
      case 17:
        if (fields.nameIs(i, 'transfer-encoding')) {
          if (chunked) return fault('BadRequest', 'several Transfer-Encoding fields')
          if (head.minor === 0) return fault('BadRequest', 'Transfer-Encoding in HTTP/1.0')
          const coding = fields.valueAt(i).toLowerCase()
          if (coding !== 'chunked') return codingFault(coding)
          chunked = true
          fields.removeAt(i)
        }
        break
      case 19:
        if (fields.nameIs(i, 'proxy-authorization')) fields.removeAt(i)
        break
    }
  }
  if (chunked && length >= 0) return fault('BadRequest', 'both Content-Length and Transfer-Encoding')
  if (into.host < 0 && head.minor === 1) return fault('BadHost', 'no Host field')
  into.bodyLength = chunked ? CHUNKED : length < 0 ? 0 : length
  if (into.bodyLength === 0) into.expectContinue = false
  if (connection) {
    const options = connectionOptions(fields)
    if (options === null) return fault('BadRequest', 'a Connection field that is not a list of tokens')
    if (options.refused !== '') return fault('BadRequest', `Connection names ${options.refused}`)
    if (options.close) persistence |= CLOSE
    if (options.keepAlive) persistence |= KEEP_ALIVE
    if (options.upgrade && upgrade >= 0 && head.minor === 1) into.upgrade = fields.valueAt(upgrade).toLowerCase()
  }
  persist(persistence, into)
  return null
}

/** RFC 9112 §6.1: a final coding other than chunked leaves the length unknown: 400; a coding we do not have: 501. */
function codingFault(coding: string): FramingFault {
  const codings = coding.split(',').map(withoutOws)
  const last = codings[codings.length - 1]
  if (last !== 'chunked' || codings.indexOf('chunked') !== codings.length - 1)
    return fault('BadRequest', `Transfer-Encoding: ${coding}`)
  return fault('TransferCodingNotSupported', `Transfer-Encoding: ${coding}`)
}

/**
 * @param method of the request: a response to HEAD has no body (RFC 9112 §6.3)
 * @returns null, or why the response cannot be used
 */
export function frameResponse(head: StatusHead, method: string, into: ResponseFraming): FramingFault | null {
  const fields = head.fields
  let length = -1
  let lengthAt = -1
  let chunked = false
  let connection = false
  let persistence = 0
  let upgrade = -1
  into.keepAlive = head.minor === 1
  into.upgrade = null
  into.idleTimeout = 0
  for (let i = 0, count = fields.count; i < count; i++) {
    switch (fields.nameLength(i)) {
      case 7:
        if (fields.nameIs(i, 'upgrade')) {
          upgrade = i
          fields.removeAt(i)
        }
        break
      case 10:
        if (fields.nameIs(i, 'connection')) {
          const option = plainOption(fields, i)
          if (option === 0) connection = true
          else {
            persistence |= option
            fields.removeAt(i)
          }
        } else if (fields.nameIs(i, 'keep-alive')) {
          into.idleTimeout = keepAliveTimeout(fields.valueAt(i))
          fields.removeAt(i)
        }
        break
      case 14:
        if (fields.nameIs(i, 'content-length')) {
          if (length >= 0) return fault('UpstreamProtocolError', 'several Content-Length fields')
          length = decimal(fields, i)
          lengthAt = i
          if (length < 0) return fault('UpstreamProtocolError', 'a Content-Length that is not a number')
        }
        break
      case 16:
        if (fields.nameIs(i, 'proxy-connection')) fields.removeAt(i)
        break
      case 17:
        if (fields.nameIs(i, 'transfer-encoding')) {
          if (chunked || head.minor === 0 || fields.valueAt(i).toLowerCase() !== 'chunked')
            return fault('UpstreamProtocolError', `Transfer-Encoding: ${fields.valueAt(i)}`)
          chunked = true
          fields.removeAt(i)
        }
        break
    }
  }
  if (chunked && length >= 0) return fault('UpstreamProtocolError', 'both Content-Length and Transfer-Encoding')
  if (connection) {
    const options = connectionOptions(fields)
    if (options === null || options.refused !== '')
      return fault('UpstreamProtocolError', 'a Connection field that cannot be used')
    if (options.forCaches) forbidStoring(fields)
    if (options.close) persistence |= CLOSE
    if (options.keepAlive) persistence |= KEEP_ALIVE
    if (options.upgrade && upgrade >= 0) into.upgrade = fields.valueAt(upgrade).toLowerCase()
  }
  persist(persistence, into)
  const status = head.status
  if (status < 200 || status === 204 || status === 304 || method === 'HEAD') {
    // RFC 9112 §6.1, RFC 9110 §8.6: a 1xx or 204 may carry neither; believing one would misframe what follows.
    if (status < 200 || status === 204) {
      if (chunked || length > 0) return fault('UpstreamProtocolError', `a body announced with status ${status}`)
      if (lengthAt >= 0) fields.removeAt(lengthAt)
    }
    into.bodyLength = 0
  } else into.bodyLength = chunked ? CHUNKED : length >= 0 ? length : UNTIL_CLOSE
  if (into.bodyLength === UNTIL_CLOSE) into.keepAlive = false
  return null
}

/** Caches behind us have to be told, too: what they would go by is gone. */
function forbidStoring(fields: Fields): void {
  for (const name of ['cdn-cache-control', 'headgate-cache-control']) fields.remove(name)
  fields.set('cache-control', 'no-store')
}

const CLOSE = 1
const KEEP_ALIVE = 2

/**
 * A Connection field that says just `close` or `keep-alive`, as nearly all do, read without making a string; 0 =
 * something else.
 */
function plainOption(fields: Fields, index: number): number {
  const start = fields.valueStart(index)
  const length = fields.valueEnd(index) - start
  if (length === 5) return spells(fields.bytesOf(index), start, 'close') ? CLOSE : 0
  return length === 10 && spells(fields.bytesOf(index), start, 'keep-alive') ? KEEP_ALIVE : 0
}

/** Letters of any case; the hyphen has the bit of a lower-case letter anyway. */
function spells(bytes: Buffer, start: number, word: string): boolean {
  for (let i = 0; i < word.length; i++) if ((bytes[start + i]! | 0x20) !== word.charCodeAt(i)) return false
  return true
}

/** RFC 9112 §9.3: close wins over keep-alive. */
function persist(persistence: number, into: { keepAlive: boolean }): void {
  if (persistence & CLOSE) into.keepAlive = false
  else if (persistence & KEEP_ALIVE) into.keepAlive = true
}

/** Content-Length: digits only, up to 15 of them, so that every value is exact (RFC 9110 §8.6); -1 otherwise. */
export function decimal(fields: Fields, index: number): number {
  const bytes = fields.bytesOf(index)
  const start = fields.valueStart(index)
  const end = fields.valueEnd(index)
  if (end === start || end - start > 15) return -1
  let value = 0
  for (let at = start; at < end; at++) {
    const digit = bytes[at]! - 0x30
    if (digit < 0 || digit > 9) return -1
    value = value * 10 + digit
  }
  return value
}

interface ConnectionOptions {
  close: boolean
  keepAlive: boolean
  upgrade: boolean
  /** It names one of {@link FOR_CACHES}. */
  forCaches: boolean
  /** A field that Connection may not name, or ''. */
  refused: string
}

/** Reads every Connection field, removes them and the fields they name; null when they are not token lists. */
function connectionOptions(fields: Fields): ConnectionOptions | null {
  const options = { close: false, keepAlive: false, upgrade: false, forCaches: false, refused: '' }
  let named = 0
  for (let i = 0; i < fields.count; i++) {
    if (!fields.nameIs(i, 'connection')) continue
    const value = fields.valueAt(i)
    fields.removeAt(i)
    if (value === 'close') options.close = true
    else if (value === 'keep-alive' || value === 'Keep-Alive') options.keepAlive = true
    else
      for (const part of value.split(',')) {
        const option = withoutOws(part).toLowerCase()
        if (option === '') continue
        if (!/^[!#$%&'*+\-.^_`|~0-9a-z]+$/.test(option) || ++named > 32) return null
        if (option === 'close') options.close = true
        else if (option === 'keep-alive') options.keepAlive = true
        else if (option === 'upgrade') options.upgrade = true
        else if (PROTECTED.has(option)) options.refused = option
        else {
          fields.remove(option)
          options.forCaches ||= FOR_CACHES.has(option)
        }
      }
  }
  return options
}

function keepAliveTimeout(value: string): number {
  const match = /(?:^|[,;\s])timeout="?(\d{1,6})/i.exec(value)
  return match === null ? 0 : Number(match[1])
}
