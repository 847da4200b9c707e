/** Where a redirect leads, written so that nothing a client sends can be read as another place. */
import { authorityOf, defaultPort } from '../../pattern/host.ts'
import type { DryExchange } from '../exchange.ts'
import type { Redirect } from '../policy-set.ts'
import type { PathRewriter } from '../rewrite/path-rewrite.ts'

/** `BadRewrite`: no valid location comes out; `BadHost`: the request names no host that it could name. */
export type Located = { readonly location: string } | { readonly reason: 'BadRewrite' | 'BadHost' }

/**
 * The location begins with a scheme and a host that are in normal form, so that no path, whatever it begins with, can
 * be read as another host. What the redirect does not name is where the client stands, never the socket of the gateway
 * (docs/decisions/0011).
 */
export function locate(action: Redirect, path: PathRewriter | null, x: DryExchange): Located {
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
