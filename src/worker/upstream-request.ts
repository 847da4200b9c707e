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
    id,
    acceptsTrailers: incoming.acceptsTrailers,
    upgrade: upgrade !== null && x.method === 'GET' && x.policy.upgrades.includes(upgrade) ? upgrade : null,
  }
}
