/**
 * How a client has written the authority, where that is more than a matter of capitals: `shop.test.` is served as
 * `shop.test`, and an origin is told the former, of which it may make links (CORS and certificates do not know them).
 * What it makes of one spelling is not for those who use another. A port that is left out is the scheme's own (RFC 9110
 * §7.2): where a trusted proxy reports another one, `shop.test` is a spelling of its own beside `shop.test:8443`.
 */
import type { ClientOrigin } from '../../message/client-origin.ts'
import { defaultPort, joinHostPort } from '../../pattern/host.ts'

/** The last one that was not just the host: requests of a client have the same. */
let lastAuthority = ''
let lastOrigin: ClientOrigin = { scheme: 'http', host: '', port: 0 }
let lastSpelling: string | undefined

/** @returns in lower case; undefined where it says no more than the origin */
export function spelledAuthority(authority: string | undefined, origin: ClientOrigin): string | undefined {
  if (authority === undefined || (authority === origin.host && hasDefaultPort(origin))) return undefined
  const { scheme, host, port } = lastOrigin
  if (authority === lastAuthority && origin.host === host && origin.port === port && origin.scheme === scheme)
    return lastSpelling
  const lower = authority.toLowerCase()
  lastAuthority = authority
  lastOrigin = origin
  const isNormal = lower === joined(origin) || (lower === origin.host && hasDefaultPort(origin))
  lastSpelling = isNormal ? undefined : lower
  return lastSpelling
}

const hasDefaultPort = ({ scheme, port }: ClientOrigin): boolean => port === defaultPort(scheme)

/** The host of an IPv6 literal has its brackets. */
const joined = ({ host, port }: ClientOrigin): string =>
  host.startsWith('[') ? `${host}:${port}` : joinHostPort(host, port)
