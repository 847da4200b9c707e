/** Clients of a Backend with `sessionAffinity` come back to their endpoint, by a cookie or a header. */
import type { Endpoint } from '../balance/endpoint.ts'
import { preferenceOf, READY } from '../balance/preference.ts'
import type { LinkedBackend, SessionAffinity } from '../link/linked-tables.ts'
import type { Fields } from '../message/fields.ts'
import { admits, pickEndpoint } from './endpoint-pick.ts'
import type { ProxyExchange } from './exchange.ts'

/** The endpoint that the client names, while it is ready and has not failed in this exchange; else another. */
export function pickForSession(
  x: ProxyExchange,
  backend: LinkedBackend,
  { tokens, read }: SessionAffinity,
): Endpoint | undefined {
  const token = read(x)
  const named = token === undefined ? undefined : tokens.find(token, backend.endpoints)
  const { observer, endpoints } = x.context
  const isReady = named !== undefined && preferenceOf(named, endpoints, x.tried) === READY
  if (isReady && admits(observer, backend, named)) {
    x.sessionEndpoint = named
    return named
  }
  x.sessionEndpoint = null
  return pickEndpoint(observer, backend, x.hashKey, x.tried)
}

/**
 * Tells the client what leads to the endpoint that has answered, unless it named that one, and what keeps it in its
 * part of a split.
 */
export function addSession(x: ProxyExchange, fields: Fields): void {
  if (x.background) return
  addPart(x, fields)
  const affinity = x.backend?.affinity
  if (affinity == null || x.endpoint === null || x.endpoint === x.sessionEndpoint) return
  const { tokens, config } = affinity
  const token = tokens.tokenOf(x.endpoint)
  if (config.type === 'header') fields.set(config.name, token)
  else fields.add('set-cookie', cookieOf(x, config, token))
}

/** What keeps the client in its part of a split, also where an upstream is not asked any more. */
export function addPart(x: ProxyExchange, fields: Fields): void {
  if (x.splitCookie !== null && !x.background)
    fields.add('set-cookie', `${x.splitCookie}; Path=/; ${attributesOf(x, 'Lax')}`)
}

function cookieOf(x: ProxyExchange, config: SessionAffinity['config'] & { readonly type: 'cookie' }, token: string) {
  const { name, maxAge, sameSite } = config
  const life = maxAge === undefined ? '' : `Max-Age=${maxAge}; `
  return `${name}=${token}; Path=/; ${life}${attributesOf(x, sameSite)}`
}

function attributesOf(x: ProxyExchange, sameSite: string): string {
  return `HttpOnly; SameSite=${sameSite}${x.forwarding.origin.scheme === 'https' ? '; Secure' : ''}`
}
