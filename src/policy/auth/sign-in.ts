/** Sends a browser to the page for signing in, from where it comes back to the address that it asked for. */
import { Fields } from '../../message/fields.ts'
import { discardBody, type LocalResponse } from '../../message/local-response.ts'
import { authorityOf } from '../../pattern/host.ts'
import type { Exchange } from '../exchange.ts'
import { isNavigation } from './browser.ts'
import type { SignInPlan } from './plan.ts'

/** Characters of the address to return to, as a parameter: servers take some 8 KiB of a target. */
const MAX_RETURN = 4_096

/** @returns undefined where the client cannot show the page, or is there already: it would be sent in a circle */
function signIn({ url, returnParam }: SignInPlan, x: Exchange): LocalResponse | undefined {
  if (!isNavigation(x) || leadsHere(url, x)) return undefined
  const fields = new Fields()
  const back = returnParam === undefined ? undefined : returnAddress(url, x)
  const parameter = back === undefined ? '' : `${encodeURIComponent(returnParam!)}=${encodeURIComponent(back)}`
  const isLong = parameter.length > MAX_RETURN
  fields.add('location', parameter === '' || isLong ? url : `${url}${url.includes('?') ? '&' : '?'}${parameter}`)
  fields.add('cache-control', 'no-store')
  return { status: 302, fields, body: null, reason: 'AuthDenied', detail: 'the client is sent to sign in' }
}

function leadsHere(url: string, x: Exchange): boolean {
  const own = originOf(x)
  const local = own !== '' && url.startsWith(`${own}/`) ? url.slice(own.length) : url
  return local.startsWith('/') && local.split('?')[0] === x.originalPath
}

function originOf({ origin: { scheme, host, port } }: Exchange): string {
  return host === '' ? '' : `${scheme}://${authorityOf(scheme, host, port)}`
}

/**
 * A page of the same host takes a path; one of another host needs to know this one. `//` begins the name of a host
 * (RFC 3986 §4.2), and browsers take a backslash for a slash: such a path never stands alone.
 */
function returnAddress(url: string, x: Exchange): string | undefined {
  const local = x.query === undefined ? x.originalPath : `${x.originalPath}?${x.query}`
  if (url.startsWith('/') && !/^\/[/\\]/.test(local)) return local
  const own = originOf(x)
  return own === '' ? undefined : own + local
}

/** In place of a 401, whose cookies the client gets all the same. */
export function signInInstead(plan: SignInPlan, x: Exchange, refused: LocalResponse): LocalResponse | undefined {
  if (refused.status !== 401) return undefined
  const response = signIn(plan, x)
  if (response === undefined) return undefined
  for (const cookie of refused.fields.all('set-cookie')) response.fields.add('set-cookie', cookie)
  discardBody(refused)
  return response
}
