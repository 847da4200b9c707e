/** Responses of a sign-in. */
import type { Reason } from '../../../lib/reason.ts'
import { Fields } from '../../../message/fields.ts'
import type { LocalResponse } from '../../../message/local-response.ts'
import type { Exchange } from '../../exchange.ts'
import { problemResponse } from '../../problem.ts'

/** Seconds. */
const RETRY_AFTER = '5'

/** A redirect that nobody stores, and that tells nobody where it came from. */
export function redirectTo(location: string, cookies: readonly string[], status: 302 | 303 = 302): LocalResponse {
  return { status, fields: privateFields({ location }, cookies), body: null }
}

/**
 * Leads to a page of the same origin. Behind a redirect the request for it still counts as coming from the provider,
 * and a browser keeps cookies with `SameSite=Strict` back from it; behind a page of our own it does not.
 */
export function pageTo(location: string, cookies: readonly string[]): LocalResponse {
  const to = location.replaceAll('&', '&amp;').replaceAll('"', '&quot;').replaceAll('<', '&lt;')
  const page = `<!doctype html><meta http-equiv="refresh" content="0;url=${to}"><a href="${to}">Continue</a>\n`
  const type = { 'content-type': 'text/html; charset=utf-8', 'content-security-policy': "default-src 'none'" }
  return { status: 200, fields: privateFields(type, cookies), body: Buffer.from(page) }
}

export function signedOut(cookies: readonly string[]): LocalResponse {
  const fields = privateFields({ 'content-type': 'text/plain; charset=utf-8' }, cookies)
  return { status: 200, fields, body: Buffer.from('You are signed out.\n') }
}

function privateFields(own: Readonly<Record<string, string>>, cookies: readonly string[]): Fields {
  const fields = Fields.from({ ...own, 'cache-control': 'no-store', 'referrer-policy': 'no-referrer' })
  for (const cookie of cookies) fields.add('set-cookie', cookie)
  return fields
}

/** @param detail for the access log alone */
export function failed(reason: Reason, x: Exchange, detail: string): LocalResponse {
  return { ...problemResponse(reason, x), detail }
}

export function unavailable(
  x: Exchange,
  detail = 'the Secret of the client is missing or cannot be used',
): LocalResponse {
  const response = failed('AuthUnavailable', x, detail)
  response.fields.add('retry-after', RETRY_AFTER)
  return response
}
