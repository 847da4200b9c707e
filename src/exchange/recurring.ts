/** Which requests are worth remembering with their responses. */
import type { ProxyExchange } from './exchange.ts'

/**
 * Whether nothing but its bytes, its listener, tables and settings decide about a request, and whether it has come
 * before.
 */
export function isRecurring(x: ProxyExchange): boolean {
  const { incoming, chain, context, tables, linked } = x
  const { peer } = x.downstream
  if (x.method !== 'GET' || incoming.protocol !== 'HTTP/1.1' || peer.scheme !== 'http' || peer.tls !== null)
    return false
  if (incoming.bodyLength !== 0 || incoming.upgrade !== null || incoming.cdnLoop || x.background) return false
  // The address of the client decides nothing where no proxy is trusted and the cache is the one filter.
  if (context.clients.trusts || chain === null || !chain.single || linked === null || linked.pending !== null)
    return false
  if (tables === null || tables !== context.tables || tables.sessions || x.hostTls !== null) return false
  const { bytes, end } = incoming.fields
  // Its last field and the empty line are the end of what was read, so that nothing else was.
  return bytes.length === end + 2 && context.recurring.wants(bytes)
}
