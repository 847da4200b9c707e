/** Slow, obvious reading of the chunked coding by the grammar of RFC 9112 §7.1 on Latin-1 text, for comparison with the decoder. */
import { readFieldsSlowly } from './head-oracle.ts'

const CHUNK_LINE = /^([0-9a-fA-F]{1,12})(;[\t\x20-\x7e\x80-\xff]*)?$/
const PARTIAL_CHUNK_LINE = /^(?:[0-9a-fA-F]{0,12}|[0-9a-fA-F]{1,12}(?:;[\t\x20-\x7e\x80-\xff]*)?\r?)$/
/** Bytes of chunk extensions that one body may hold, the first semicolon of each left out. */
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
    extensions += Math.max(
      line.replace(/\r$/, '').indexOf(';') < 0 ? 0 : line.replace(/\r$/, '').length - line.indexOf(';') - 1,
      0,
    )
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
