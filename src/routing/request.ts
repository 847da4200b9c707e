/** What matching reads of a request, whatever codec it came through. */
import type { Fields } from '../message/fields.ts'
import type { FrontendHandle } from '../snapshot/frontend-handle.ts'

export interface RouteRequest {
  /** As sent: methods are case-sensitive (RFC 9110 §9.1). */
  readonly method: string
  /** Normal form, see `normalizeHost`. */
  readonly host: string
  /** Normal form, see `normalizePath`. */
  readonly path: string
  /** Without `?`; undefined when the target had none. */
  readonly query: string | undefined
  /** The one that accepted the connection. */
  readonly frontend: FrontendHandle
  readonly request: Fields
  /** `host[:port]` as the request names it where it has no Host field: `:authority`, or an absolute target. */
  readonly authority?: string
  /** Canonical literal. */
  readonly clientAddress: string
}

/**
 * The method a request is matched by. A CORS preflight asks about another request and goes where that one would go, so
 * it is matched by the method it names (Fetch, "CORS-preflight request").
 */
export function methodToMatch(request: RouteRequest): string {
  if (request.method !== 'OPTIONS' || !request.request.has('origin')) return request.method
  return request.request.get('access-control-request-method') ?? request.method
}

/**
 * Whether a rule for `wanted` takes a request of `method`: GET also takes HEAD, which is GET without the body (RFC 9110
 * §9.3.2).
 */
export function methodMatches(wanted: string, method: string): boolean {
  return wanted === method || (wanted === 'GET' && method === 'HEAD')
}
