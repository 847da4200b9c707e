/**
 * Parsers of HTTP/1.1 message heads (RFC 9112 §2-5): bytes in, offsets out. Strict by construction: what is not in the
 * grammar is refused, in both directions, and nothing is repaired. No byte is copied and no string made for a field.
 */
import type { Reason } from '../lib/reason.ts'
import { Fields, LINES } from '../message/fields.ts'
import type { HeadLimits } from '../message/head.ts'
import { CHARS, DIGIT, FIELD, TARGET, TOKEN } from './chars.ts'

const CR = 0x0d
const LF = 0x0a
const SP = 0x20
const HTAB = 0x09
const COLON = 0x3a

/** More bytes are needed. */
export const INCOMPLETE = -1
/** Refused, see the head's `fault`. */
export const REFUSED = -2

/** Why a head was refused; `detail` names the rule that was broken, for the log. */
export interface HeadFault {
  reason: Reason
  detail: string
}

export class RequestHead {
  method = ''
  target = ''
  /** 0 or 1: the minor version of HTTP/1. */
  minor = 1
  fields = new Fields()
  fault: HeadFault | null = null

  /**
   * @param start offset of the first byte of the head in `bytes`; one empty line before it is skipped (RFC 9112 §2.2)
   * @returns the offset behind the head, {@link INCOMPLETE} or {@link REFUSED}
   */
  parse(bytes: Buffer, start: number, end: number, limits: HeadLimits): number {
    let at = start
    if (at < end && bytes[at] === CR) {
      if (at + 1 >= end) return INCOMPLETE
      if (bytes[at + 1] !== LF) return this.refuse('BadRequest', 'a lone CR before the request line')
      at += 2
    }
    const methodStart = at
    while (at < end && CHARS[bytes[at]!]! & TOKEN) at++
    if (at >= end) return overLimit(this, start, end, limits)
    if (bytes[at] !== SP || at === methodStart) return this.refuse('BadRequest', 'no method')
    const methodEnd = at++
    const targetStart = at
    while (at < end && CHARS[bytes[at]!]! & TARGET) at++
    if (at - targetStart > limits.uri) return this.refuse('UriTooLong', `over ${limits.uri} bytes`)
    if (at >= end) return overLimit(this, start, end, limits)
    if (bytes[at] !== SP || at === targetStart)
      return this.refuse('BadRequest', 'a byte in the target that may not be there')
    const targetEnd = at++
    if (at + 10 > end) {
      const cut = versionPrefix(bytes, at, end)
      return cut ? overLimit(this, start, end, limits) : this.refuse('BadRequest', 'no HTTP version')
    }
    if (!isVersion(bytes, at)) return this.refuse('BadRequest', 'no HTTP version')
    const major = bytes[at + 5]! - 0x30
    const minor = bytes[at + 7]! - 0x30
    if (major !== 1) return this.refuse('VersionNotSupported', `HTTP/${major}.${minor}`)
    if (bytes[at + 8] !== CR || bytes[at + 9] !== LF) return this.refuse('BadRequest', 'no CRLF after the request line')
    at = parseFields(this, bytes, at + 10, end, start, limits)
    if (at < 0) return at
    this.minor = minor > 1 ? 1 : minor
    this.method = methodText(bytes, methodStart, methodEnd)
    this.target = bytes.latin1Slice(targetStart, targetEnd)
    return at
  }

  refuse(reason: Reason, detail: string): typeof REFUSED {
    this.fault = { reason, detail }
    return REFUSED
  }
}

export class StatusHead {
  status = 0
  minor = 1
  fields = new Fields()
  fault: HeadFault | null = null

  /** @returns the offset behind the head, {@link INCOMPLETE} or {@link REFUSED} */
  parse(bytes: Buffer, start: number, end: number, limits: HeadLimits): number {
    if (end - start < 13)
      return versionPrefix(bytes, start, end) ? INCOMPLETE : this.refuse('UpstreamProtocolError', 'no status line')
    if (!isVersion(bytes, start) || bytes[start + 5] !== 0x31)
      return this.refuse('UpstreamProtocolError', 'no HTTP/1 version')
    if (bytes[start + 8] !== SP) return this.refuse('UpstreamProtocolError', 'no space after the version')
    const hundreds = bytes[start + 9]! - 0x30
    const tens = bytes[start + 10]! - 0x30
    const ones = bytes[start + 11]! - 0x30
    if (!(hundreds >= 1 && hundreds <= 5 && tens >= 0 && tens <= 9 && ones >= 0 && ones <= 9))
      return this.refuse('UpstreamProtocolError', 'no status code')
    let at = start + 12
    // The space before an empty reason phrase is required by the grammar, yet many servers leave it out and nothing
    // hangs on it.
    if (bytes[at] === SP) for (at++; at < end && CHARS[bytes[at]!]! & FIELD; ) at++
    if (at + 1 >= end)
      return end - start > limits.head ? this.refuse('UpstreamHeadTooLarge', `over ${limits.head} bytes`) : INCOMPLETE
    if (bytes[at] !== CR || bytes[at + 1] !== LF)
      return this.refuse('UpstreamProtocolError', 'no CRLF after the status line')
    at = parseFields(this, bytes, at + 2, end, start, limits)
    if (at < 0) return at
    this.status = hundreds * 100 + tens * 10 + ones
    this.minor = bytes[start + 7]! === 0x30 ? 0 : 1
    return at
  }

  refuse(reason: Reason, detail: string): typeof REFUSED {
    const ours: Reason =
      reason === 'BadRequest'
        ? 'UpstreamProtocolError'
        : reason === 'HeadTooLarge' || reason === 'TooManyHeaders'
          ? 'UpstreamHeadTooLarge'
          : reason
    this.fault = { reason: ours, detail }
    return REFUSED
  }
}

interface Refusing {
  readonly fields: Fields
  refuse(reason: Reason, detail: string): typeof REFUSED
}

/**
 * Fields up to and including the empty line (RFC 9112 §5). A line folded with white space (obs-fold), white space
 * before the colon, a bare CR or LF: refused (RFC 9112 §5.1, §5.2, §2.2).
 */
export function parseFields(
  head: Refusing,
  bytes: Buffer,
  from: number,
  end: number,
  headStart: number,
  limits: HeadLimits,
): number {
  const fields = head.fields
  const chars = CHARS
  fields.clear(bytes)
  let padded = false
  let at = from
  for (;;) {
    if (at >= end) return overLimit(head, headStart, end, limits)
    if (bytes[at] === CR) break
    const nameStart = at
    while (at < end && chars[bytes[at]!]! & TOKEN) at++
    if (at >= end) return overLimit(head, headStart, end, limits)
    if (bytes[at] !== COLON || at === nameStart)
      return head.refuse('BadRequest', nameFault(bytes[at]!, at === nameStart))
    const nameEnd = at++
    if (at < end && bytes[at] === SP) at++
    if (at < end && (bytes[at] === SP || bytes[at] === HTAB)) {
      padded = true
      do at++
      while (at < end && (bytes[at] === SP || bytes[at] === HTAB))
    }
    const valueStart = at
    while (at < end && chars[bytes[at]!]! & FIELD) at++
    if (at + 1 >= end) return overLimit(head, headStart, end, limits)
    if (bytes[at] !== CR || bytes[at + 1] !== LF) return head.refuse('BadRequest', 'a control byte in a field value')
    let valueEnd = at
    if (valueEnd > valueStart && (bytes[valueEnd - 1] === SP || bytes[valueEnd - 1] === HTAB)) {
      padded = true
      // The first byte of a value is no blank: here this ends at the latest.
      do valueEnd--
      while (bytes[valueEnd - 1] === SP || bytes[valueEnd - 1] === HTAB)
    }
    if (fields.count >= limits.headers) return head.refuse('TooManyHeaders', `over ${limits.headers} fields`)
    fields.push(nameStart, nameEnd, valueStart, valueEnd)
    at += 2
  }
  fields.end = at
  fields.layout = padded ? null : LINES
  if (at + 1 >= end) return overLimit(head, headStart, end, limits)
  if (bytes[at + 1] !== LF) return head.refuse('BadRequest', 'a lone CR')
  at += 2
  return at - headStart > limits.head ? head.refuse('HeadTooLarge', `over ${limits.head} bytes`) : at
}

function nameFault(byte: number, empty: boolean): string {
  if (byte === SP || byte === HTAB) return empty ? 'a folded line' : 'white space before the colon of a field'
  return empty ? 'a field without a name' : 'a byte in a field name that may not be there'
}

function overLimit(head: Refusing, start: number, end: number, limits: HeadLimits): typeof INCOMPLETE | typeof REFUSED {
  return end - start > limits.head ? head.refuse('HeadTooLarge', `over ${limits.head} bytes`) : INCOMPLETE
}

/** `HTTP/d.d` (RFC 9112 §2.3), case-sensitive. */
function isVersion(bytes: Buffer, at: number): boolean {
  return (
    bytes[at] === 0x48 &&
    bytes[at + 1] === 0x54 &&
    bytes[at + 2] === 0x54 &&
    bytes[at + 3] === 0x50 &&
    bytes[at + 4] === 0x2f &&
    (CHARS[bytes[at + 5]!]! & DIGIT) !== 0 &&
    bytes[at + 6] === 0x2e &&
    (CHARS[bytes[at + 7]!]! & DIGIT) !== 0
  )
}

const VERSION = [0x48, 0x54, 0x54, 0x50, 0x2f, -1, 0x2e, -1]

/** Whether what is there could still become a version: garbage is refused at once instead of after a time-out. */
function versionPrefix(bytes: Buffer, at: number, end: number): boolean {
  for (let i = 0; at + i < end && i < VERSION.length; i++) {
    const byte = bytes[at + i]!
    if (VERSION[i] === -1 ? (CHARS[byte]! & DIGIT) === 0 : byte !== VERSION[i]) return false
  }
  if (end - at > 8 && bytes[at + 8] !== CR && bytes[at + 8] !== SP) return false
  return true
}

/** The common methods without making a string. */
function methodText(bytes: Buffer, start: number, end: number): string {
  switch (end - start) {
    case 3:
      if (bytes[start] === 0x47 && bytes[start + 1] === 0x45 && bytes[start + 2] === 0x54) return 'GET'
      break
    case 4:
      if (bytes[start] === 0x50 && bytes[start + 1] === 0x4f && bytes[start + 2] === 0x53 && bytes[start + 3] === 0x54)
        return 'POST'
      break
  }
  return bytes.latin1Slice(start, end)
}
