/** The name that a ClientHello asks for, as certificates and Routes are found by it. */
import { isIP } from 'node:net'
import { normalizeHost } from '../pattern/host.ts'

/**
 * Lower case, without a trailing dot, as browsers send it. '' stands for no name: an address is none (RFC 6066 §3), and
 * what is no hostname in ASCII can be nobody's.
 *
 * @param sent '' = none
 */
export function normalizeServerName(sent: string): string {
  if (sent === '' || sent.includes(':') || sent.startsWith('[')) return ''
  const name = normalizeHost(sent)?.host ?? ''
  return isIP(name) === 0 ? name : ''
}
