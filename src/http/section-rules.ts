/** What the fields of a response over HTTP/2 say about it (RFC 9113 §8.1.1, §8.2.2). */
import { UNKNOWN_LENGTH } from '../message/body.ts'
import type { Fields } from '../message/fields.ts'
import type { HeaderSection } from './header-section.ts'

export interface ResponseRules {
  /** Bytes of DATA that must come, or `UNKNOWN_LENGTH`. */
  bodyLength: number
  /** Why the response is malformed; '' where it is not. */
  fault: string
}

/** Fields of an HTTP/1.1 connection: a message with one of them is malformed (RFC 9113 §8.2.2). */
const CONNECTION_FIELDS: readonly string[] = [
  'connection',
  'keep-alive',
  'proxy-connection',
  'transfer-encoding',
  'upgrade',
]

/** The name of a field that is there and may not be, or ''. */
export function connectionField(fields: Fields): string {
  for (let i = 0; i < fields.count; i++) {
    const length = fields.nameLength(i)
    if (length !== 10 && length !== 7 && length < 16) continue
    for (const name of CONNECTION_FIELDS) if (fields.nameIs(i, name)) return name
  }
  return ''
}

/**
 * @param method of the request
 * @param ended there is no DATA behind the section
 * @param into filled in
 */
export function judgeResponse(section: HeaderSection, method: string, ended: boolean, into: ResponseRules): void {
  const { fields, status } = section
  into.bodyLength = 0
  into.fault = ''
  const refuse = (fault: string): void => {
    into.fault = fault
  }
  if (status < 100 || status > 599) return refuse(status === 0 ? 'no :status' : `:status ${status}`)
  // RFC 9113 §8.6.
  if (status === 101) return refuse(':status 101')
  const field = connectionField(fields)
  if (field !== '') return refuse(`the field ${field}`)
  if (status < 200 && ended) return refuse('an interim response that ends the stream')
  const length = contentLength(fields)
  if (length < UNKNOWN_LENGTH) return refuse('a Content-Length that is not one number')
  if (status < 200 || status === 204) {
    // RFC 9110 §8.6: neither has any.
    if (length > 0) return refuse(`a body announced with status ${status}`)
    if (length === 0) fields.remove('content-length')
  } else if (status !== 304 && method !== 'HEAD' && ended && length > 0)
    return refuse(`no body where ${length} bytes are announced`)
  else if (status !== 304 && method !== 'HEAD' && !ended) into.bodyLength = length
}

/** @returns `UNKNOWN_LENGTH` where there is none, and less where it is none or there are several */
function contentLength(fields: Fields): number {
  let length = UNKNOWN_LENGTH
  for (let i = 0; i < fields.count; i++) {
    if (!fields.nameIs(i, 'content-length')) continue
    if (length !== UNKNOWN_LENGTH) return UNKNOWN_LENGTH - 1
    const text = fields.valueAt(i)
    if (!/^\d{1,15}$/.test(text)) return UNKNOWN_LENGTH - 1
    length = Number(text)
  }
  return length
}
