/**
 * Puts a section together from its fields as they are decoded, by the rules of HTTP/2 for their names, order and number
 * (RFC 9113 §8.2, §8.3) and within limits. Fields become lines of HTTP/1.1 in one buffer of the thread.
 */
import { LINES } from '../message/fields.ts'
import type { HeadLimits } from '../message/head.ts'
import {
  HeaderSection,
  REQUEST_SECTION,
  RESPONSE_SECTION,
  type SectionKind,
  TRAILER_SECTION,
} from './header-section.ts'
import { AUTHORITY, BAD_NAME, COOKIE, METHOD, type NameKind, PATH, PROTOCOL, SCHEME, STATUS } from './hpack-names.ts'
import { ENTRY_OVERHEAD } from './hpack-table.ts'

export const DECODED = 0
/** The tables of the two sides differ now: a connection error COMPRESSION_ERROR (RFC 9113 §4.3). */
export const UNDECODABLE = 1
/** A stream error PROTOCOL_ERROR (RFC 9113 §8.1.1). */
export const MALFORMED = 2
/** Larger than `limits.head`, counted as RFC 9113 §6.5.2 does. */
export const TOO_LARGE = 3
/** More fields than `limits.headers`, pseudo-header fields and parts of Cookie aside. */
export const TOO_MANY_FIELDS = 4

export type Decoding =
  | typeof DECODED
  | typeof UNDECODABLE
  | typeof MALFORMED
  | typeof TOO_LARGE
  | typeof TOO_MANY_FIELDS

/** Limits of a section whose fields are counted before its peer is taken for hostile. */
const EXCESS = 8

const CR = 0x0d
const LF = 0x0a
const SP = 0x20
const SEMICOLON = 0x3b

/** Which pseudo-header fields a section may have, by its kind: bits of their kinds. */
const ALLOWED_PSEUDO: Readonly<Record<SectionKind, number>> = {
  [REQUEST_SECTION]: (1 << METHOD) | (1 << SCHEME) | (1 << AUTHORITY) | (1 << PATH) | (1 << PROTOCOL),
  [RESPONSE_SECTION]: 1 << STATUS,
  [TRAILER_SECTION]: 0,
}

/** What all sections of the thread are written to. */
let shared = Buffer.allocUnsafeSlow(64 * 1024)

export class SectionBuilder {
  /** Where lines go. */
  out = shared
  #position = 0
  #kind: SectionKind = REQUEST_SECTION
  #section = new HeaderSection()
  #limits: HeadLimits = { head: 0, headers: 0, uri: 0 }
  #listSize = 0
  /** Bits of the kinds of pseudo-header fields that are there. */
  #pseudo = 0
  #regular = false
  #cookies = 0
  #lastIsCookie = false
  result: Decoding = DECODED

  /** @param room bytes that one field may need beyond the limit of the section */
  begin(kind: SectionKind, limits: HeadLimits, section: HeaderSection, room: number): void {
    // The lines, the cookies once more, and the field that is too much.
    const length = 2 * limits.head + room
    if (shared.length < length) shared = Buffer.allocUnsafeSlow(length)
    this.out = shared
    this.#position = 0
    this.#kind = kind
    this.#section = section
    this.#limits = limits
    this.#listSize = 0
    this.#pseudo = 0
    this.#regular = false
    this.#cookies = 0
    this.#lastIsCookie = false
    this.result = DECODED
    section.fields.clear(shared)
  }

  /** No field has come. */
  get empty(): boolean {
    return this.#listSize === 0
  }

  /** A few bytes of a block stand for a whole entry of a table: what follows is not worth its time. */
  get excessive(): boolean {
    return this.#listSize > EXCESS * this.#limits.head
  }

  /** Where the next line is to be written. Once the section is refused nobody reads what was written. */
  get position(): number {
    return this.result === DECODED ? this.#position : 0
  }

  /**
   * Counts the next field.
   * @param size bytes of name and value
   * @returns false: nothing of it is wanted
   */
  admit(size: number): boolean {
    this.#listSize += size + ENTRY_OVERHEAD
    if (this.result !== DECODED) return false
    if (this.#listSize > this.#limits.head) this.result = TOO_LARGE
    return this.result === DECODED
  }

  /** @param allowed its value is */
  pseudo(kind: NameKind, allowed: boolean, text: string): void {
    const bit = 1 << kind
    if ((ALLOWED_PSEUDO[this.#kind] & bit) === 0) this.#malformed('a pseudo-header field that may not be there')
    else if (this.#regular) this.#malformed('a pseudo-header field behind a regular one')
    else if ((this.#pseudo & bit) !== 0) this.#malformed('a pseudo-header field twice')
    else if (!allowed) this.#malformed('a pseudo-header field with a value that is not allowed')
    else {
      this.#pseudo |= bit
      const section = this.#section
      if (kind === METHOD) section.method = text
      else if (kind === PATH) section.path = text
      else if (kind === AUTHORITY) section.authority = text
      else if (kind === SCHEME) section.scheme = text
      else if (kind === PROTOCOL) section.protocol = text
      else section.status = Number(text)
    }
  }

  /**
   * A field whose line stands at {@link position}.
   *
   * @param allowed its value is
   * @param unindexed nobody who passes it on may index it
   */
  regular(kind: NameKind, nameLength: number, valueEnd: number, allowed: boolean, unindexed: boolean): void {
    if (kind === BAD_NAME) return this.#malformed('a field name that is not a token in lower case')
    if (!allowed) return this.#malformed('a field value with a byte that may not be there')
    this.#regular = true
    const { fields } = this.#section
    const line = this.#position
    const isCookie = kind === COOKIE && this.#kind === REQUEST_SECTION
    if (isCookie && this.#lastIsCookie) return this.#extendCookie(line + nameLength + 2, valueEnd)
    this.#lastIsCookie = isCookie
    if (fields.count >= this.#limits.headers) {
      this.result = TOO_MANY_FIELDS
      return
    }
    if (isCookie) this.#cookies++
    else if (unindexed) fields.keepUnindexed()
    fields.push(line, line + nameLength, line + nameLength + 2, valueEnd)
    this.#position = valueEnd + 2
  }

  finish(): Decoding {
    if (this.result !== DECODED) return this.result
    if (this.#cookies > 1) this.#joinCookies()
    const { fields } = this.#section
    fields.end = this.#position
    fields.layout = LINES
    return DECODED
  }

  /** Clients divide Cookie for better compression; outside of HTTP/2 it is one field (RFC 9113 §8.2.3). */
  #extendCookie(valueStart: number, valueEnd: number): void {
    const { out } = this
    let at = this.#position - 2
    const length = valueEnd - valueStart
    out[at++] = SEMICOLON
    out[at++] = SP
    out.copyWithin(at, valueStart, valueEnd)
    at += length
    out[at] = CR
    out[at + 1] = LF
    this.#position = at + 2
    this.#section.fields.stretchLast(at)
  }

  /** Its parts had other fields between them. */
  #joinCookies(): void {
    const { fields } = this.#section
    const value = fields.all('cookie').join('; ')
    fields.remove('cookie')
    const line = this.#position
    this.#position += this.out.latin1Write(`cookie: ${value}\r\n`, line)
    fields.push(line, line + 6, line + 8, this.#position - 2)
  }

  #malformed(fault: string): void {
    this.result = MALFORMED
    this.#section.fault = fault
  }
}
