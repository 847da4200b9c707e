/**
 * `redirect`: the rule answers with another place to go (RFC 9110 §15.4), composed as Gateway API's
 * HTTPRequestRedirectFilter.
 */
import { Fields } from '../../message/fields.ts'
import { authorityOf, defaultPort } from '../../pattern/host.ts'
import type { DryExchange } from '../exchange.ts'
import type { Redirect } from '../policy-set.ts'
import { problemResponse } from '../problem.ts'
import type { FilterDefinition } from '../registry.ts'
import { compilePathRewrite, type PathRewriter } from '../rewrite/path-rewrite.ts'

export const redirect: FilterDefinition = {
  name: 'redirect',
  phase: 'answer',
  create(policy, services) {
    const { action } = policy
    if (action.type !== 'redirect') return undefined
    const path = action.path === undefined ? null : compilePathRewrite(action.path, policy, services)
    const status = action.statusCode
    return {
      name: 'redirect',
      onRequest(x) {
        const located = locate(action, path, x)
        if ('reason' in located) return { type: 'respond', response: problemResponse(located.reason, x) }
        const fields = new Fields()
        fields.add('location', located.location)
        return { type: 'respond', response: { status, fields, body: null } }
      },
      explain(x) {
        const located = locate(action, path, x)
        if ('reason' in located) return { filter: 'redirect', effect: REFUSALS[located.reason](x), status: 400 }
        return { filter: 'redirect', effect: `redirects to ${located.location}`, status }
      },
    }
  },
}

type Located = { readonly location: string } | { readonly reason: keyof typeof REFUSALS }

const REFUSALS = {
  BadRewrite: (x: DryExchange) => `refuses: no valid location comes out for ${x.path}`,
  BadHost: () => 'refuses: the request names no host that the location could name',
} as const

/**
 * The location begins with a scheme and a host that are in normal form, so that no path, whatever it begins with, can
 * be read as another host. What the redirect does not name is where the client stands, never the socket of the gateway
 * (docs/decisions/0011).
 */
function locate(action: Redirect, path: PathRewriter | null, x: DryExchange): Located {
  const target = path === null ? x : path(x)
  if (target === undefined) return { reason: 'BadRewrite' }
  const { origin } = x
  const rest = target.query === undefined ? target.path : `${target.path}?${target.query}`
  const host = action.hostname ?? origin.host
  if (host === '') return locateWithoutHost(action, rest)
  const scheme = action.scheme ?? origin.scheme
  // A stated scheme without a port means that scheme's own port; none of both means the place the client spoke to.
  const port = action.port ?? (action.scheme === undefined ? origin.port : defaultPort(scheme))
  return { location: percentEncode(`${scheme}://${authorityOf(scheme, host, port)}${rest}`) }
}

/**
 * HTTP/1.0 without Host: a relative reference (RFC 9110 §10.2.2) leads to where the client is, which it alone knows.
 */
function locateWithoutHost(action: Redirect, rest: string): Located {
  if (action.scheme !== undefined || action.port !== undefined) return { reason: 'BadHost' }
  // `//` begins the name of another host (RFC 3986 §4.2), and browsers take a backslash for a slash.
  return /^\/[/\\]/.test(rest) ? { reason: 'BadRewrite' } : { location: percentEncode(rest) }
}

const NOT_VISIBLE = /[^\x21-\x7e]/g

/**
 * Line breaks, spaces and bytes beyond ASCII have no place in a URI reference (RFC 3986 §2), wherever they came from.
 */
function percentEncode(location: string): string {
  return location.replace(NOT_VISIBLE, (char) => `%${char.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`)
}
