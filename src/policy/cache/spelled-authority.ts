/**
 * How a client has written the authority, where that is more than a matter of capitals or of the port of its scheme:
 * `shop.test.` is served as `shop.test`, and an origin is told the former, of which it may make links (CORS and
 * certificates do not know them). What it makes of one spelling is not for those who use another. A port that is left
 * out is the scheme's own (RFC 9110 §7.2): where a trusted proxy reports another one, `shop.test` is a spelling of its
 * own beside `shop.test:8443`. Of capitals and of that port an origin is told nothing, so that all share one response.
 */
import type { ClientOrigin } from '../../message/client-origin.ts'
import { defaultPort, joinHostPort } from '../../pattern/host.ts'
import type { HeaderEdits, PolicySet } from '../policy-set.ts'
import { selectorsIn } from '../variables.ts'
import { madeBy } from './edited-selectors.ts'
import { hasCache } from './plan.ts'

/** The last one that was not just the host: requests of a client have the same. */
let lastAuthority = ''
let lastOrigin: ClientOrigin = { scheme: 'http', host: '', port: 0 }
let lastNormal = ''

/**
 * @param authority of the request, or as a trusted proxy reports it
 * @returns what stands for it in a key, and is sent upstream in its place (RFC 9110 §4.2.3)
 */
export function normalAuthority(authority: string, origin: ClientOrigin): string {
  const { scheme, host, port } = lastOrigin
  if (authority === origin.host && hasDefaultPort(origin)) return authority
  if (authority === lastAuthority && origin.host === host && origin.port === port && origin.scheme === scheme)
    return lastNormal
  const lower = authority.toLowerCase()
  lastAuthority = authority
  lastOrigin = origin
  lastNormal = hasDefaultPort(origin) && lower === joined(origin) ? origin.host : lower
  return lastNormal
}

/** @returns undefined where it says no more than the origin */
export function spelledAuthority(authority: string, origin: ClientOrigin): string | undefined {
  return isPlain(authority, origin) ? undefined : authority
}

/** Whether `requestHeaders` hand Host on by another name, as the client has written it. */
export function handsHostOn(edits: HeaderEdits | undefined): boolean {
  const selectors = madeBy(edits).flatMap(({ value }) => selectorsIn(value))
  return selectors.some((selector) => /^header:(?:host|x-forwarded-host)$/i.test(selector))
}

/** Whether an origin is sent the normal form of Host: keys do not have what the client makes of it. */
export function sendsNormalAuthority(policy: PolicySet): boolean {
  return hasCache(policy) && !handsHostOn(policy.requestHeaders)
}

const isPlain = (authority: string, origin: ClientOrigin): boolean =>
  authority === (hasDefaultPort(origin) ? origin.host : joined(origin))

const hasDefaultPort = ({ scheme, port }: ClientOrigin): boolean => port === defaultPort(scheme)

/** The host of an IPv6 literal has its brackets. */
const joined = ({ host, port }: ClientOrigin): string =>
  host.startsWith('[') ? `${host}:${port}` : joinHostPort(host, port)
