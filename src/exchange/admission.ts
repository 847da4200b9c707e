/** Admission: determines client, host and path of a request, and whether the gateway is serving. */
import { normalizeHost } from '../pattern/host.ts'
import { normalizePath } from '../pattern/path.ts'
import { validateQuery } from '../pattern/query.ts'
import type { ProxyExchange } from './exchange.ts'
import { refuse } from './failure.ts'
import { sendLocal } from './local-response.ts'
import { serverOptions, takeHop } from './max-forwards.ts'

/**
 * @returns false: the request has been answered
 * @throws {GatewayError} where the request is not valid HTTP
 */
export function admit(x: ProxyExchange): boolean {
  const { incoming, context } = x
  const { target } = incoming
  const mark = target.indexOf('?')
  const rawPath = mark < 0 ? target : target.slice(0, mark)
  x.originalPath = rawPath
  if (mark >= 0) x.query = target.slice(mark + 1)
  const host = context.hosts.normalize(incoming.authority, normalizeHost)
  const client = context.clients.resolve(x.downstream.peer, incoming.authority, host, x.request)
  x.clientAddress = client.address
  x.trusted = client.trusted
  x.forwarding = client.forwarding
  if (context.tables === null) return refuse(x, 'NotReady')
  if (host === undefined) return refuse(x, 'BadHost')
  x.host = host.host
  if (x.method === 'OPTIONS' || x.method === 'TRACE') takeHop(x)
  // `OPTIONS *` asks about the server and not about any resource: it is answered here.
  if (target === '*') {
    sendLocal(x, serverOptions())
    return false
  }
  const path = normalizePath(rawPath, 'KeepEncodedSlash')
  if (path === undefined || (x.query !== undefined && !validateQuery(x.query))) return refuse(x, 'BadPath')
  x.path = path
  x.originalPath = path
  return true
}
