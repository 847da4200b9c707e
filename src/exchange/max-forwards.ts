/**
 * Max-Forwards of OPTIONS and TRACE (RFC 9110 §7.6.2): each recipient takes one off, and who gets 0 answers in place of
 * the origin.
 */

import { GatewayError } from '../lib/error.ts'
import { Fields } from '../message/fields.ts'
import type { LocalResponse } from '../message/local-response.ts'
import type { ProxyExchange } from './exchange.ts'

/** The largest value that is sent on, whatever came. */
const MOST = 2 ** 31 - 1

/**
 * Fields that TRACE does not send back (RFC 9110 §9.3.8): credentials, and what a proxy before us may have told about
 * the client.
 */
const SENSITIVE =
  /auth|cookie|token|secret|key|pass|session|credential|jwt|csrf|xsrf|cert|sign|forwarded|real-ip|client-ip/

/**
 * Takes one off, or prepares the answer of the final recipient, which is sent instead of forwarding once the filters
 * have let the request pass. To be called before them: what they add to the request is not the client's to read.
 *
 * @throws {GatewayError} `BadRequest` when the field is not one number
 */
export function takeHop(x: ProxyExchange): void {
  const values = x.request.all('max-forwards')
  if (values.length === 0) return
  const [value = ''] = values
  if (values.length > 1 || !/^\d+$/.test(value))
    throw new GatewayError('BadRequest', 'a Max-Forwards that is not one number')
  const left = Math.min(Number(value), MOST + 1)
  if (left > 0) x.request.set('max-forwards', String(left - 1))
  else x.finalResponse = x.method === 'TRACE' ? reflection(x) : serverOptions()
}

/** The gateway's own methods (RFC 9110 §9.3.7); those of a resource are known to its backend only. */
export function serverOptions(): LocalResponse {
  return { status: 200, fields: Fields.from({ allow: 'GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS' }), body: null }
}

/** The request as it came (RFC 9110 §9.3.8). */
function reflection(x: ProxyExchange): LocalResponse {
  const { target, protocol, authority, authorityMoved } = x.incoming
  let text = `TRACE ${target} ${protocol}\r\n`
  if (authorityMoved) text += `host: ${authority}\r\n`
  x.request.forEach((name, value) => {
    if (!SENSITIVE.test(name)) text += `${name}: ${value}\r\n`
  })
  const fields = Fields.from({ 'content-type': 'message/http', 'cache-control': 'no-store' })
  return { status: 200, fields, body: Buffer.from(`${text}\r\n`, 'latin1') }
}
