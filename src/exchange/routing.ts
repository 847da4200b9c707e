/** Routed: the rule that the request matches, with the policy set that is linked for it. */
import { GatewayError } from '../lib/error.ts'
import type { LinkedTables } from '../link/linked-tables.ts'
import { hasEncodedSlash } from '../pattern/path.ts'
import { takeSessionCookies } from '../policy/auth/oidc/session-cookies.ts'
import { tlsOf } from '../routing/find-host.ts'
import { match } from '../routing/match.ts'
import type { ProxyExchange } from './exchange.ts'
import { refuse } from './failure.ts'
import { takeDeadline } from './grpc-request.ts'
import { admitClearText, carries } from './transport-security.ts'
import { findUnsafeTargets } from './unsafe-target.ts'
import { upgradeOf } from './upgrade.ts'

/**
 * @returns false: the request has been answered
 * @throws {GatewayError} `LoopDetected`; of a gRPC call, what its deadline asks for; what {@link upgradeOf} does
 */
export function route(x: ProxyExchange): boolean {
  const tables = x.context.tables!
  const { peer } = x.downstream
  const tls = tlsOf(tables.tables, peer.listener.frontend, x.host)
  x.hostTls = tls
  if (!carries(peer, tls)) return refuse(x, 'MisdirectedRequest')
  const found = match(tables.tables, x)
  if (refusesSlash(tables, found, x.path)) return refuse(x, 'BadPath')
  if (typeof found === 'string') return refuse(x, found)
  const { rule } = found
  x.tables = tables.matched
  x.ruleView = rule
  x.matchedPrefix = found.prefixLength
  x.matchedByAddress = found.byAddress
  x.linked = tables.policies[rule.policyIndex] ?? null
  x.chain = x.linked?.chain ?? null
  x.linked?.enter()
  if (tables.sessions) takeSessionCookies(x, x.request)
  if (tables.unsafeListeners && x.method !== 'GET') findUnsafeTargets(x, tables, found)
  if (peer.tls === null && !admitClearText(x, tls, rule)) return false
  if (rule.refuse !== undefined) return refuse(x, rule.refuse)
  if (x.incoming.cdnLoop) {
    const loop = x.context.loops.detect(x.request, rule)
    if (loop !== undefined) throw new GatewayError('LoopDetected', loop)
  }
  if (x.linked === null) throw new Error(`no policy set ${rule.policyIndex} for ${rule.key}`)
  if (x.incoming.upgrade !== null) x.upgrade = upgradeOf(x)
  const { call } = x
  if (call !== null) takeDeadline(x, call)
  return true
}

/** Whether the path has an encoded slash that it may not have: only a rule can let it pass. */
export function refusesSlash(tables: LinkedTables, found: ReturnType<typeof match>, path: string): boolean {
  const strictly =
    typeof found === 'string' || tables.policies[found.rule.policyIndex]?.policy.pathEncoding === 'Strict'
  return strictly && hasEncodedSlash(path)
}
