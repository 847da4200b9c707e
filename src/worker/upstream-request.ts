/** What goes to the endpoint: the client's request as the filters left it. */
import type { Endpoint } from '../balance/endpoint.ts'
import { REQUEST_ID_FIELD } from '../filter/request-id.ts'
import type { UpstreamRequest } from '../proxy/upstream.ts'
import type { ProxyExchange } from './exchange.ts'

export function upstreamRequest(x: ProxyExchange, endpoint: Endpoint): UpstreamRequest {
  const { incoming } = x
  let host = x.upstreamHost
  if (host === undefined && x.backend!.plan.hostHeader === 'UseServerName' && endpoint.hostname !== undefined)
    host = endpoint.hostname
  if (host === undefined && incoming.authorityMoved) host = incoming.authority
  // An HTTP/1.0 client may name no host at all; what we send is HTTP/1.1 and must (RFC 9112 §3.2).
  if (host === undefined && incoming.authority === '') host = endpoint.authority
  if (host !== undefined) x.request.remove('host')
  const { id } = x
  if (x.trusted) x.request.remove(REQUEST_ID_FIELD)
  const { upgrade } = incoming
  return {
    method: x.method,
    target: x.query === undefined ? x.path : `${x.path}?${x.query}`,
    host,
    fields: x.request,
    bodyLength: incoming.bodyLength,
    forwarding: x.forwarding,
    passed: x.flow.loops.line(x.ruleView!),
    id,
    acceptsTrailers: incoming.acceptsTrailers,
    upgrade: upgrade !== null && maySwitch(x, upgrade) ? upgrade : null,
  }
}

/** With a body, the bytes of the new protocol would come behind one that is still on its way. */
function maySwitch(x: ProxyExchange, upgrade: string): boolean {
  return x.method === 'GET' && x.incoming.bodyLength === 0 && x.policy.upgrades.includes(upgrade)
}
