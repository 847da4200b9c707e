/**
 * A request with an unsafe method makes what is stored of its URL invalid (RFC 9111 §4.4), whichever rule takes it: a
 * Route may well have one rule for GET, with a cache, and another one for all else.
 */
import { isSafe } from '../cache/invalidation.ts'
import type { LinkedTables } from '../link/linked-tables.ts'
import { Fields } from '../message/fields.ts'
import type { ResponseHead } from '../message/head.ts'
import { match } from '../routing/match.ts'
import type { RouteRequest } from '../routing/request.ts'
import type { ProxyExchange, UnsafeTarget } from './exchange.ts'

const NO_FIELDS = Fields.from({})

/**
 * Finds the rule that a GET of this URL would get, where it is another one that keeps responses: that of the same
 * client, else that of one who sends nothing that a rule could ask for. So who is signed in, by a rule without a cache,
 * makes invalid what all others get.
 */
export function findUnsafeTarget(x: ProxyExchange, tables: LinkedTables): void {
  // A call of gRPC has a URL that nobody reads.
  if (isSafe(x.method) || x.call !== null || x.opaque) return
  x.unsafeFor = targetOf(x, tables, x.request) ?? targetOf(x, tables, NO_FIELDS)
  // The cache of its own rule makes invalid what its namespace has stored of the URL, by whatever rule.
  if (x.unsafeFor === null || x.linked?.unsafeListener == null) return
  if (namespaceOf(x.unsafeFor.route) === namespaceOf(x.route)) x.unsafeFor = null
}

function targetOf(x: ProxyExchange, tables: LinkedTables, request: Fields): UnsafeTarget | null {
  const rule = ruleOfGet(x, tables, request)
  if (rule === undefined) return null
  const filter = tables.policies[rule.policyIndex]?.unsafeListener ?? null
  return filter === null ? null : { filter, route: rule.route }
}

/** An upstream has answered it. */
export function tellUnsafeTarget(x: ProxyExchange, { filter, route }: UnsafeTarget, head: ResponseHead): void {
  try {
    filter.onUnsafeResponse?.(x, head, route)
  } catch (error) {
    x.context.unexpected(error)
  }
}

function namespaceOf(route: string): string {
  return route.slice(0, route.indexOf('/'))
}

function ruleOfGet(x: ProxyExchange, tables: LinkedTables, request: Fields) {
  const { host, path, query, frontend, authority, clientAddress } = x
  const asked: RouteRequest = { method: 'GET', host, path, query, frontend, request, authority, clientAddress }
  try {
    const found = match(tables.tables, asked)
    return typeof found === 'string' ? undefined : found.rule
  } catch {
    // Too long for an expression of another rule, which then has stored nothing of this URL either.
    return undefined
  }
}
