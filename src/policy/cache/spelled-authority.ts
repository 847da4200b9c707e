/**
 * How a client has written the authority, where that is not its normal form: `shop.test.`, `SHOP.test` and
 * `shop.test:80` are served as `shop.test`, and an origin is told the former, of which it may make links, redirects to
 * another scheme (`https://shop.test:80/`) or an error, where it compares names with case. What it makes of one spelling
 * is not for those who use another. A port that is left out is the scheme's own (RFC 9110 §7.2): where a trusted proxy
 * reports another one, `shop.test` is a spelling of its own beside `shop.test:8443`.
 */
import type { ClientOrigin } from '../../message/client-origin.ts'
import { defaultPort, joinHostPort } from '../../pattern/host.ts'

/** The last one that was not just the host: requests of a client have the same. */
let lastAuthority = ''
let lastOrigin: ClientOrigin = { scheme: 'http', host: '', port: 0 }
let lastSpelling: string | undefined

/** @returns as it is written, with case; undefined where it says no more than the origin */
export function spelledAuthority(authority: string | undefined, origin: ClientOrigin): string | undefined {
  if (authority === undefined || (authority === origin.host && hasDefaultPort(origin))) return undefined
  const { scheme, host, port } = lastOrigin
  if (authority === lastAuthority && origin.host === host && origin.port === port && origin.scheme === scheme)
    return lastSpelling
  lastAuthority = authority
  lastOrigin = origin
  lastSpelling = !hasDefaultPort(origin) && authority === joined(origin) ? undefined : authority
  return lastSpelling
}

const hasDefaultPort = ({ scheme, port }: ClientOrigin): boolean => port === defaultPort(scheme)

/** The host of an IPv6 literal has its brackets. */
const joined = ({ host, port }: ClientOrigin): string =>
  host.startsWith('[') ? `${host}:${port}` : joinHostPort(host, port)
