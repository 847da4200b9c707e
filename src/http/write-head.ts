/**
 * Serialises heads as Latin-1 strings: runs of the bytes that arrived go on as they are (already validated), edits are
 * appended. Measured: one string for head and small body, written as `latin1`, costs half of what a buffer put together
 * by copies does, because views and copies of typed arrays each cost more than a string of that size.
 */
import type { Fields } from '../message/fields.ts'

/** Reason phrases (RFC 9110 §15); the phrase of an upstream is not passed on, it means nothing to anybody. */
const PHRASES: Readonly<Record<number, string>> = {
  100: 'Continue',
  101: 'Switching Protocols',
  102: 'Processing',
  103: 'Early Hints',
  200: 'OK',
  201: 'Created',
  202: 'Accepted',
  203: 'Non-Authoritative Information',
  204: 'No Content',
  205: 'Reset Content',
  206: 'Partial Content',
  207: 'Multi-Status',
  208: 'Already Reported',
  226: 'IM Used',
  300: 'Multiple Choices',
  301: 'Moved Permanently',
  302: 'Found',
  303: 'See Other',
  304: 'Not Modified',
  305: 'Use Proxy',
  307: 'Temporary Redirect',
  308: 'Permanent Redirect',
  400: 'Bad Request',
  401: 'Unauthorized',
  402: 'Payment Required',
  403: 'Forbidden',
  404: 'Not Found',
  405: 'Method Not Allowed',
  406: 'Not Acceptable',
  407: 'Proxy Authentication Required',
  408: 'Request Timeout',
  409: 'Conflict',
  410: 'Gone',
  411: 'Length Required',
  412: 'Precondition Failed',
  413: 'Content Too Large',
  414: 'URI Too Long',
  415: 'Unsupported Media Type',
  416: 'Range Not Satisfiable',
  417: 'Expectation Failed',
  421: 'Misdirected Request',
  422: 'Unprocessable Content',
  423: 'Locked',
  424: 'Failed Dependency',
  425: 'Too Early',
  426: 'Upgrade Required',
  428: 'Precondition Required',
  429: 'Too Many Requests',
  431: 'Request Header Fields Too Large',
  451: 'Unavailable For Legal Reasons',
  500: 'Internal Server Error',
  501: 'Not Implemented',
  502: 'Bad Gateway',
  503: 'Service Unavailable',
  504: 'Gateway Timeout',
  505: 'HTTP Version Not Supported',
  506: 'Variant Also Negotiates',
  507: 'Insufficient Storage',
  508: 'Loop Detected',
  511: 'Network Authentication Required',
}

const STATUS_LINES: string[] = []

export function statusLine(status: number): string {
  return (STATUS_LINES[status] ??= `HTTP/1.1 ${status} ${PHRASES[status] ?? ''}\r\n`)
}

/** The fields as they stand in a head, without the empty line. */
export function fieldsText(fields: Fields): string {
  let text = ''
  const { count, bytes, offsets } = fields
  if (count > 0) {
    if (fields.padded) text = unpadded(fields)
    else if (fields.untouched) text = bytes.latin1Slice(offsets[0]!, fields.end)
    else {
      let runStart = -1
      for (let i = 0; i < count; i++) {
        if (fields.isRemoved(i)) {
          if (runStart >= 0) text += bytes.latin1Slice(runStart, fields.startOf(i))
          runStart = -1
        } else if (runStart < 0) runStart = offsets[i * 4]!
      }
      if (runStart >= 0) text += bytes.latin1Slice(runStart, fields.end)
    }
  }
  const { added } = fields
  if (added !== null) for (let i = 0; i < added.length; i += 2) text += `${added[i]}: ${added[i + 1]}\r\n`
  return text
}

/** Parsed fields of which some have white space around their values. */
function unpadded(fields: Fields): string {
  let text = ''
  const { count, bytes, offsets } = fields
  for (let i = 0; i < count; i++)
    if (!fields.isRemoved(i))
      text += `${bytes.latin1Slice(offsets[i * 4]!, offsets[i * 4 + 1]!)}: ${fields.valueAt(i)}\r\n`
  return text
}

/** `Date` of this second (RFC 9110 §6.6.1), made once a second. */
export class DateField {
  #second = -1
  #line = ''

  /** @param wall milliseconds since the epoch */
  line(wall: number): string {
    const second = Math.floor(wall / 1000)
    if (second !== this.#second) {
      this.#second = second
      this.#line = `date: ${new Date(second * 1000).toUTCString()}\r\n`
    }
    return this.#line
  }
}
