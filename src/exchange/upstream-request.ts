/** What goes to the endpoint: the client's request as the filters left it. */
import type { Endpoint } from '../balance/endpoint.ts'
import { FieldBlock } from '../message/field-block.ts'
import { Fields } from '../message/fields.ts'
import { authorityOf } from '../pattern/host.ts'
import { normalAuthority, sendsNormalAuthority } from '../policy/cache/spelled-authority.ts'
import { REQUEST_ID_FIELD } from '../policy/request-id/request-id.ts'
import type { ProxiedConnection } from '../proxy-protocol/header.ts'
import type { Peer } from '../transport/peer.ts'
import type { UpstreamRequest } from '../transport/upstream.ts'
import type { ProxyExchange } from './exchange.ts'
import { stateDeadline } from './grpc-request.ts'

export function upstreamRequest(x: ProxyExchange, endpoint: Endpoint): UpstreamRequest {
  const { incoming } = x
  const host = hostFor(x, endpoint)
  if (host !== undefined) x.request.remove('host')
  const { id, call } = x
  if (x.trusted) x.request.remove(REQUEST_ID_FIELD)
  if (call?.deadlineStated === true) stateDeadline(x)
  return {
    method: x.method,
    target: x.query === undefined ? x.path : `${x.path}?${x.query}`,
    host,
    fields: x.request,
    bodyLength: x.body === null ? 0 : x.body.length,
    forwarding: forwardingOf(x),
    passed: x.context.loops.block(x.ruleView!),
    id,
    acceptsTrailers: incoming.acceptsTrailers || call?.spoken === true,
    upgrade: x.upgrade,
    client: clientConnection(x),
    peer: x.downstream.peer,
  }
}

/** Whom a PROXY header to the endpoint names; null where there is none, or the client is not known. */
export function clientConnection(x: ProxyExchange): ProxiedConnection | null {
  return x.backend!.plan.proxyProtocol === undefined ? null : proxiedConnection(x.downstream.peer, x.clientAddress)
}

/** @param client its address */
export function proxiedConnection({ connection, address }: Peer, client: string): ProxiedConnection | null {
  if (connection === undefined) return null
  // A trusted proxy has named the client, and not its port.
  return client === address ? connection : { ...connection, sourceAddress: client, sourcePort: 0 }
}

/** What is sent as Host; undefined keeps the field as it came. */
function hostFor(x: ProxyExchange, endpoint: Endpoint): string | undefined {
  if (x.upstreamHost !== undefined) return x.upstreamHost
  const { authority, authorityMoved } = x.incoming
  const byName = x.backend!.plan.hostHeader === 'UseServerName'
  // The own port of the scheme stays out (RFC 9110 §7.2).
  const scheme = x.backend!.plan.tls === undefined ? 'http' : 'https'
  if (byName && endpoint.hostname !== undefined) return authorityOf(scheme, endpoint.hostname, endpoint.port)
  // An HTTP/1.0 client may name no host at all; what we send is HTTP/1.1 and must (RFC 9112 §3.2).
  if (authority === '') return endpoint.authority
  const sent = normalAuthority(authority, x.origin)
  if (sent !== authority && sendsNormalAuthority(x.policy)) return sent
  // An earlier try may have taken the client's Host out for the name of its endpoint, which this one does not have.
  return authorityMoved || byName || isWithoutHost(x) ? authority : undefined
}

/** With one Backend, what it says of names is the same at each try. */
function isWithoutHost({ split, request }: ProxyExchange): boolean {
  return split !== null && request.get('host') === undefined
}

/** Says of the host no more than Host does. */
function forwardingOf({ forwarding, policy }: ProxyExchange): FieldBlock {
  const { origin } = forwarding
  const sent = normalAuthority(origin.authority, origin)
  return sent !== origin.authority && sendsNormalAuthority(policy) ? forwarding.blockNaming(sent) : forwarding.block
}

/** Of a connection that carries no requests. */
export const NO_REQUEST: UpstreamRequest = {
  method: '',
  target: '',
  host: undefined,
  fields: new Fields(),
  bodyLength: 0,
  forwarding: new FieldBlock([]),
  passed: new FieldBlock([]),
  id: '',
  acceptsTrailers: false,
  upgrade: null,
}
