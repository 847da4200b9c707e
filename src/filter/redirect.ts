/** `redirect`: the rule answers with another place to go (RFC 9110 §15.4), composed as Gateway API's HTTPRequestRedirectFilter. */
import { Fields } from '../http/fields.ts'
import type { Redirect } from '../snapshot/policy.ts'
import type { DryExchange } from './exchange.ts'
import { compilePathRewrite, type PathRewriter } from './path-rewrite.ts'
import { problemAnswer } from './problem.ts'
import type { FilterDefinition } from './registry.ts'

export const redirect: FilterDefinition = {
  name: 'redirect',
  phase: 'answer',
  create(policy, deps) {
    const { action } = policy
    if (action.type !== 'redirect') return undefined
    const path = action.path === undefined ? null : compilePathRewrite(action.path, policy, deps)
    const status = action.statusCode
    return {
      name: 'redirect',
      onRequest(x) {
        const location = locate(action, path, x)
        if (location === undefined) return { type: 'answer', answer: problemAnswer('BadRewrite', x) }
        const fields = new Fields()
        fields.add('location', location)
        return { type: 'answer', answer: { status, fields, body: null } }
      },
      explain(x) {
        const location = locate(action, path, x)
        if (location === undefined)
          return { filter: 'redirect', effect: `refuses: no valid location comes out for ${x.path}`, status: 400 }
        return { filter: 'redirect', effect: `redirects to ${location}`, status }
      },
    }
  },
}

/**
 * The location is always absolute and always begins with a scheme and a host that are in normal form, so that no path, whatever
 * it begins with, can be read as another host.
 */
function locate(action: Redirect, path: PathRewriter | null, x: DryExchange): string | undefined {
  const target = path === null ? x : path(x)
  if (target === undefined) return undefined
  const scheme = action.scheme ?? x.scheme
  // A stated scheme without a port means that scheme's own port; none of both means the place the client spoke to.
  const port = action.port ?? (action.scheme === undefined ? x.port : wellKnownPort(scheme))
  const host = action.hostname ?? x.host
  const authority = port === wellKnownPort(scheme) ? host : `${host}:${port}`
  const query = target.query === undefined ? '' : `?${target.query}`
  return percentEncode(`${scheme}://${authority}${target.path}${query}`)
}

function wellKnownPort(scheme: 'http' | 'https'): number {
  return scheme === 'https' ? 443 : 80
}

const NOT_VISIBLE = /[^\x21-\x7e]/g

/** Line breaks, spaces and bytes beyond ASCII have no place in a URI reference (RFC 3986 §2), wherever they came from. */
function percentEncode(location: string): string {
  return location.replace(NOT_VISIBLE, (char) => `%${char.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`)
}
