/**
 * What a hostname's TLS means for its requests: only connections that were made by its options carry them, and in clear
 * text they are sent elsewhere or refused, unless the owner says otherwise.
 */
import { Fields } from '../message/fields.ts'
import { locate } from '../policy/redirect/location.ts'
import { DEFAULT_TLS_OPTIONS, type HostTls, httpModeOf } from '../snapshot/host-tls.ts'
import type { RuleView } from '../snapshot/route-tables.ts'
import type { Peer } from '../transport/peer.ts'
import type { ProxyExchange } from './exchange.ts'
import { refuse } from './failure.ts'
import { sendLocal } from './local-response.ts'

/**
 * Whether a connection carries requests for a host (RFC 9110 §7.4). A certificate that covers several hosts lets
 * clients send requests for one on a connection that was made for another (RFC 9113 §9.1.1), and others do what they
 * like: minimum version and client certificate would be those of the other host.
 *
 * @param tls of the host
 */
export function carries({ tls: connection }: Peer, tls: HostTls | null): boolean {
  if (connection === null) return true
  return tls?.mode !== 'Passthrough' && (tls?.options ?? DEFAULT_TLS_OPTIONS).key === connection.optionsKey
}

/** `Redirect`: it is sent to https. */
export type ClearTextRefusal = 'MisdirectedRequest' | 'ClearTextClosed' | 'Redirect'

/**
 * A request that came in clear text.
 *
 * @param scheme that its client uses
 * @returns undefined: it is served
 */
export function clearTextRefusal(
  scheme: 'http' | 'https',
  tls: HostTls | null,
  rule: RuleView,
): ClearTextRefusal | undefined {
  // A trusted proxy says that its client uses https; the host's options are then that proxy's matter, but for the
  // certificate, which it cannot hand on.
  if (scheme === 'https') return tls?.options.clientCertificate?.mode === 'Require' ? 'MisdirectedRequest' : undefined
  switch (httpModeOf(tls, rule)) {
    case 'Serve':
      return undefined
    case 'Closed':
      return 'ClearTextClosed'
    case 'Redirect':
      return 'Redirect'
  }
}

/** @returns false: the request has been answered */
export function admitClearText(x: ProxyExchange, tls: HostTls | null, rule: RuleView): boolean {
  const refusal = clearTextRefusal(x.forwarding.origin.scheme, tls, rule)
  if (refusal === undefined) return true
  if (refusal !== 'Redirect') return refuse(x, refusal)
  redirectToTls(x)
  return false
}

function redirectToTls(x: ProxyExchange): void {
  const twin = x.downstream.peer.listener.secureTwin
  const port = twin !== null && x.origin.port === twin.port ? twin.securePort : undefined
  const located = locate({ statusCode: 308, scheme: 'https', ...(port === undefined ? {} : { port }) }, null, x)
  if ('reason' in located) return void refuse(x, located.reason)
  const fields = new Fields()
  fields.add('location', located.location)
  sendLocal(x, { status: 308, fields, body: null })
}
