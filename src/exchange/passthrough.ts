/**
 * Connections in TLS that are not ended here. One is an exchange without a head: it has the host that its ClientHello
 * names, takes the rule that the host has for it, and from there on the way of every exchange, without filters. So
 * balancing, limits, retries and the access log are the same.
 */
import { Fields } from '../message/fields.ts'
import { findHost } from '../routing/find-host.ts'
import type { IncomingRequest } from '../transport/downstream.ts'
import type { ProxyExchange } from './exchange.ts'
import { refuse } from './failure.ts'

export function opaqueConnection(serverName: string): IncomingRequest {
  return {
    protocol: 'TLS',
    method: '',
    authority: serverName,
    authorityMoved: false,
    target: '',
    fields: new Fields(),
    bodyLength: 0,
    expectContinue: false,
    acceptsTrailers: false,
    upgrade: null,
    cdnLoop: false,
  }
}

/** @returns false: the connection has been refused */
export function routeConnection(x: ProxyExchange): boolean {
  const { tables } = x.context
  x.host = x.incoming.authority
  x.clientAddress = x.downstream.peer.address
  if (tables === null) return refuse(x, 'NotReady')
  const found = findHost(tables.tables, tables.tables.frontend(x.frontend), x.host)
  if (found === undefined) return refuse(x, 'HostNotFound')
  const rule = tables.tables.passthroughRule(found)
  if (rule === undefined) return refuse(x, 'RouteNotFound')
  x.tables = tables.matched
  x.ruleView = rule
  x.linked = tables.policies[rule.policyIndex] ?? null
  x.linked?.enter()
  if (rule.refuse !== undefined) return refuse(x, rule.refuse)
  if (x.linked === null) throw new Error(`no policy set ${rule.policyIndex} for ${rule.key}`)
  return true
}
