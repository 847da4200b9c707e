/**
 * How a client has written the authority, where that is more than a matter of capitals: `shop.test.` is served as
 * `shop.test`, and an origin is told the former, of which it may make links (CORS and certificates do not know them).
 * What it makes of one spelling is not for those who use another.
 */
import type { ClientOrigin } from '../../message/client-origin.ts'
import { joinHostPort } from '../../pattern/host.ts'

/** The last one that was not just the host: requests of a client have the same. */
let lastAuthority = ''
let lastOrigin: ClientOrigin = { scheme: 'http', host: '', port: 0 }
let lastSpelling: string | undefined

/** @returns in lower case; undefined where it says no more than the origin */
export function spelledAuthority(authority: string | undefined, origin: ClientOrigin): string | undefined {
  if (authority === undefined || authority === origin.host) return undefined
  const { scheme, host, port } = lastOrigin
  if (authority === lastAuthority && origin.host === host && origin.port === port && origin.scheme === scheme)
    return lastSpelling
  const lower = authority.toLowerCase()
  lastAuthority = authority
  lastOrigin = origin
  lastSpelling = lower === origin.host || lower === joined(origin) ? undefined : lower
  return lastSpelling
}

/** The host of an IPv6 literal has its brackets. */
const joined = ({ host, port }: ClientOrigin): string =>
  host.startsWith('[') ? `${host}:${port}` : joinHostPort(host, port)
