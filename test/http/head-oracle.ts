/**
 * Slow, obvious reading of message heads by the ABNF of RFC 9112 §2-5 on Latin-1 text, for comparison with the parser.
 * Strict where the RFC leaves a choice: CRLF alone ends a line, nothing is folded, at most one empty line stands before
 * a request.
 */
import type { HeadLimits } from '../../src/message/head.ts'

const TCHAR = "[!#$%&'*+\\-.^_`|~0-9A-Za-z]"
/** VCHAR but `#`. */
const TARGET = '[\\x21\\x22\\x24-\\x7e]'
const VALUE = '[\\t\\x20-\\x7e\\x80-\\xff]'

const REQUEST_LINE = new RegExp(`^(${TCHAR}+) (${TARGET}+) HTTP/([0-9])\\.([0-9])$`)
const STATUS_LINE = new RegExp(`^HTTP/1\\.([0-9]) ([1-5][0-9][0-9])(?: ${VALUE}*)?$`)
const FIELD_LINE = new RegExp(`^(${TCHAR}+):[\\t ]*(${VALUE}*?)[\\t ]*$`)

const PARTIAL_VERSION = '(?:H|HT|HTT|HTTP|HTTP/|HTTP/[0-9]|HTTP/[0-9]\\.|HTTP/[0-9]\\.[0-9]\\r?)?'
const PARTIAL_REQUEST_LINE = new RegExp(`^(?:${TCHAR}*|${TCHAR}+ ${TARGET}*|${TCHAR}+ ${TARGET}+ ${PARTIAL_VERSION})$`)
const PARTIAL_STATUS_LINE = new RegExp(
  `^(?:H|HT|HTT|HTTP|HTTP/|HTTP/1|HTTP/1\\.|HTTP/1\\.[0-9]|HTTP/1\\.[0-9] |HTTP/1\\.[0-9] [1-5][0-9]{0,2}|` +
    `HTTP/1\\.[0-9] [1-5][0-9]{2}(?: ${VALUE}*)?\\r?)?$`,
)
const PARTIAL_FIELD_LINE = new RegExp(`^(?:${TCHAR}*|${TCHAR}+:${VALUE}*\\r?|\\r)$`)

export interface SlowHead {
  readonly start: RegExpExecArray
  readonly fields: readonly (readonly [name: string, value: string])[]
  /** Offset behind the head. */
  readonly end: number
}

/** `possible`: more bytes could make it a head. */
export type SlowReading = SlowHead | 'possible' | 'impossible'

export function readRequestSlowly(text: string): SlowReading {
  if (text === '\r') return 'possible'
  const empty = text.startsWith('\r\n') ? 2 : 0
  return readSlowly(text, empty, REQUEST_LINE, PARTIAL_REQUEST_LINE)
}

export function readStatusSlowly(text: string): SlowReading {
  return readSlowly(text, 0, STATUS_LINE, PARTIAL_STATUS_LINE)
}

/** Fields and the empty line behind them, as trailers are. */
export function readFieldsSlowly(text: string): SlowReading {
  return readSlowly(`\r\n${text}`, 0, /^$/, /^$/, -2)
}

function readSlowly(text: string, from: number, first: RegExp, partialFirst: RegExp, shift = 0): SlowReading {
  const lines = text.slice(from).split('\r\n')
  const rest = lines.pop()!
  let at = from
  let start: RegExpExecArray | null = null
  const fields: (readonly [string, string])[] = []
  for (const line of lines) {
    at += line.length + 2
    if (start === null) {
      start = first.exec(line)
      if (start === null) return 'impossible'
    } else if (line === '') return { start, fields, end: at + shift }
    else {
      const field = FIELD_LINE.exec(line)
      if (field === null) return 'impossible'
      fields.push([field[1]!.toLowerCase(), field[2]!])
    }
  }
  return (start === null ? partialFirst : PARTIAL_FIELD_LINE).test(rest) ? 'possible' : 'impossible'
}

/** Which limit a text that is otherwise well-formed so far has passed. */
export function limitPassed(text: string, limits: HeadLimits): string | undefined {
  const line = text.replace(/^\r\n/, '').split('\r\n', 1)[0]!
  const target = line.split(' ')[1] ?? ''
  if (target.length > limits.uri) return 'UriTooLong'
  const reading = readRequestSlowly(text)
  const length = typeof reading === 'string' ? text.length : reading.end
  const fields = typeof reading === 'string' ? text.split('\r\n').length - 2 : reading.fields.length
  if (fields > limits.headers) return 'TooManyHeaders'
  return length > limits.head ? 'HeadTooLarge' : undefined
}
