/**
 * Slow, obvious reading of the chunked coding by the grammar of RFC 9112 §7.1 on Latin-1 text, for comparison with the
 * decoder.
 */
import { readFieldsSlowly } from './head-oracle.ts'

const TOKEN = "[!#$%&'*+\\-.^_`|~0-9A-Za-z]+"
const QUOTED = '"(?:[\\t \\x21\\x23-\\x5b\\x5d-\\x7e\\x80-\\xff]|\\\\[\\t\\x20-\\x7e\\x80-\\xff])*'
const BWS = '[\\t ]*'
const EXTENSIONS = `(?:${BWS};${BWS}${TOKEN}(?:${BWS}=${BWS}(?:${TOKEN}|${QUOTED}"))?)*`
const PARTIAL_EXTENSION = `${BWS}(?:;${BWS}(?:${TOKEN}(?:${BWS}(?:=${BWS}(?:${TOKEN}|${QUOTED}(?:\\\\|")?)?)?)?)?)?`
const SIZE = '[0-9a-fA-F]{1,12}'
const CHUNK_LINE = new RegExp(`^(${SIZE})${EXTENSIONS}$`)
const PARTIAL_CHUNK_LINE = new RegExp(`^(?:${SIZE}${EXTENSIONS}(?:\r|${PARTIAL_EXTENSION}))?$`)
/** Bytes of chunk extensions that one body may hold: all of a line behind the size. */
const MAX_EXTENSIONS = 4096

export interface SlowBody {
  readonly data: string
  readonly trailers: readonly (readonly [string, string])[]
  /** Offset behind the body. */
  readonly end: number
}

/** `possible`: more bytes could make it a body. */
export function readChunkedSlowly(text: string): SlowBody | 'possible' | 'impossible' {
  let data = ''
  let at = 0
  let extensions = 0
  for (;;) {
    const eol = text.indexOf('\r\n', at)
    const line = text.slice(at, eol < 0 ? undefined : eol)
    const chunk = CHUNK_LINE.exec(line)
    extensions += line.replace(/^[0-9a-fA-F]{0,12}/, '').replace(/\r$/, '').length
    if (extensions > MAX_EXTENSIONS) return 'impossible'
    if (eol < 0) return PARTIAL_CHUNK_LINE.test(line) ? 'possible' : 'impossible'
    if (chunk === null) return 'impossible'
    const size = Number.parseInt(chunk[1]!, 16)
    at = eol + 2
    if (size === 0) break
    if (text.length < at + size) return 'possible'
    data += text.slice(at, at + size)
    at += size
    const end = text.slice(at, at + 2)
    if (end !== '\r\n') return '\r\n'.startsWith(end) ? 'possible' : 'impossible'
    at += 2
  }
  const trailers = readFieldsSlowly(text.slice(at))
  return typeof trailers === 'string' ? trailers : { data, trailers: trailers.fields, end: at + trailers.end }
}
