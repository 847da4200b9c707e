/** Which requests are worth remembering with their responses. */
import type { RouteRequest } from '../routing/request.ts'
import type { ProxyExchange } from './exchange.ts'

/**
 * Where what rules are matched by comes from. What is neither in the bytes of a request nor of its listener may be
 * another one for the next client, so the matcher has to say whether it had a say. A new fact belongs here.
 */
export const FACTS: Readonly<Record<keyof RouteRequest, 'bytes' | 'listener' | 'told by the matcher'>> = {
  method: 'bytes',
  host: 'bytes',
  path: 'bytes',
  query: 'bytes',
  request: 'bytes',
  authority: 'bytes',
  frontend: 'listener',
  clientAddress: 'told by the matcher',
}

/**
 * Whether nothing but its bytes, its listener, tables and settings decide about a request, and whether it is to be
 * remembered with its response. To be asked once, where all else allows that.
 */
export function isRecurring(x: ProxyExchange): boolean {
  const { incoming, chain, context, tables, linked } = x
  const { peer } = x.downstream
  if (x.method !== 'GET' || incoming.protocol !== 'HTTP/1.1' || peer.scheme !== 'http' || peer.tls !== null)
    return false
  if (incoming.bodyLength !== 0 || incoming.upgrade !== null || incoming.cdnLoop || x.background) return false
  // The address of the client decides nothing where no match that was tried has networks of clients, and the cache is
  // the one filter. It is logged.
  if (x.matchedByAddress || (x.trusted && context.clients.listField === null)) return false
  if (chain === null || !chain.single || linked === null || linked.pending !== null) return false
  if (tables === null || tables !== context.tables?.matched || tables.sessions || x.hostTls !== null) return false
  const { unread, end } = incoming.fields
  // Its last field and the empty line are the end of what was read, so that nothing else was.
  return unread.length === end + 2 && context.recurring.wants(unread)
}
