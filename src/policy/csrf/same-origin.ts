import type { ClientOrigin } from '../../message/client-origin.ts'
import { normalizeHost, type Scheme } from '../../pattern/host.ts'

/** An origin as RFC 6454 §6.2 writes it, of a page that can be loaded over HTTP. */
const ORIGIN = /^(https?):\/\/([^/?#@]+)$/

/**
 * Whether a page is of the origin that its request is for.
 *
 * @param own where the client stands
 * @param page value of `Origin`
 */
export function isSameOrigin(own: ClientOrigin, page: string): boolean {
  const match = ORIGIN.exec(page)
  if (match === null) return false
  const scheme = match[1] as Scheme
  const from = normalizeHost(match[2]!)
  if (from === undefined || from.host !== own.host) return false
  // In clear text a proxy before the gateway may have ended TLS without saying so.
  if (own.scheme === 'https' && scheme !== 'https') return false
  return explicitPort(from.port) === explicitPort(own.port)
}

/** Both default ports are as good as none, since the scheme is not always known. */
function explicitPort(port: number): number {
  return port === 80 || port === 443 ? 0 : port
}
