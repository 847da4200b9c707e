/** Whether a request becomes a tunnel: what its rule lets pass, what its handshake must have, who may ask for it. */
import { GatewayError } from '../lib/error.ts'
import { isWebSocketKey, KEY_FIELD, WEBSOCKET } from '../message/websocket-handshake.ts'
import { AMBIENT_CREDENTIAL } from '../policy/attribute.ts'
import { TRUSTED_PAGE } from '../policy/cors/headers.ts'
import { isSameOrigin } from '../policy/csrf/same-origin.ts'
import type { ProxyExchange } from './exchange.ts'

/**
 * Called where a request asks for an upgrade, once its rule is known.
 *
 * @returns the token to ask the upstream for; null: the request goes on as a plain one (RFC 9110 §7.8)
 * @throws {GatewayError} where it cannot: a handshake that is none, or an extended CONNECT, which has no plain form
 */
export function upgradeOf(x: ProxyExchange): string | null {
  const { incoming } = x
  const upgrade = incoming.upgrade!
  if (!x.policy.upgrades.includes(upgrade)) {
    if (isExtendedConnect(x)) throw new GatewayError('ProtocolNotAllowed', upgrade)
    return null
  }
  if (upgrade === WEBSOCKET) checkHandshake(x)
  return upgrade
}

/** RFC 6455 §4.2.1. The version is the upstream's business, which answers 426 with those it has. */
function checkHandshake(x: ProxyExchange): void {
  if (isExtendedConnect(x)) {
    // Not used over HTTP/2: the upstream gets a key of the gateway's own where it needs one.
    x.request.remove(KEY_FIELD)
    return
  }
  if (x.method !== 'GET') throw badHandshake(`by ${x.method}`)
  if (x.incoming.bodyLength !== 0) throw badHandshake('with a body')
  const keys = x.request.all(KEY_FIELD)
  if (keys.length !== 1 || !isWebSocketKey(keys[0])) throw badHandshake('without a Sec-WebSocket-Key of 16 bytes')
}

function badHandshake(what: string): GatewayError {
  return new GatewayError('BadRequest', `a WebSocket handshake ${what}`)
}

/**
 * An upstream that does not agree answers as to any other request; but to an extended CONNECT each 2xx would say that
 * the tunnel is open (RFC 8441 §5).
 *
 * @throws {GatewayError} `UpstreamProtocolError`
 */
export function checkRefusal(x: ProxyExchange, status: number): void {
  if (soundsOpen(x, status)) throw new GatewayError('UpstreamProtocolError', `${status} instead of an upgrade`)
}

/** Whether a response that opens no tunnel would be taken for one that does. */
export function soundsOpen(x: ProxyExchange, status: number): boolean {
  return status >= 200 && status < 300 && isExtendedConnect(x)
}

/**
 * Pages of other sites can open WebSockets with the credentials that browsers attach by themselves, and read what comes
 * (RFC 6455 §10.2): where the gateway has accepted such a credential, the page must be of this origin, or of one that
 * `cors` lets use credentials. Whoever sends no Origin is no browser. Called before the request is forwarded.
 *
 * @throws {GatewayError} `OriginNotAllowed`
 */
export function checkOrigin(x: ProxyExchange): void {
  const ambient = x.get(AMBIENT_CREDENTIAL) === true || x.downstream.peer.tls?.clientCertificate != null
  if (!ambient || x.get(TRUSTED_PAGE) === true) return
  const origins = x.request.all('origin')
  if (origins.length === 0) return
  if (origins.length > 1 || !isSameOrigin(x.origin, origins[0]!))
    throw new GatewayError('OriginNotAllowed', origins.join(', '))
}

/** RFC 8441: a 2xx opens the tunnel, and there is no plain form of the request. */
function isExtendedConnect(x: ProxyExchange): boolean {
  return x.incoming.protocol === 'HTTP/2' && x.incoming.upgrade !== null
}
