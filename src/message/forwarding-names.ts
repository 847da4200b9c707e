/**
 * Names of the fields in which a proxy reports to the next server where a request came from, and from whom. Any client
 * can send them, so each is believed, passed on or dropped by who sent it: client-address.ts decides. What is
 * neither letter nor digit counts as a hyphen, because CGI-like servers do not distinguish the two.
 */
import type { Fields } from '../message/fields.ts'

/** No forwarding field. */
export const NOT_FORWARDING = 0
/** States the client's address, scheme, host or port: written anew by the gateway, so it is never passed on. */
export const RESTATED = 1
/**
 * Any other report of a proxy (`X-Forwarded-User`, `X-Forwarded-Prefix`, `X-Original-URL`): only a trusted proxy's is
 * passed on.
 */
export const PROXY_ONLY = 2
/**
 * States who the client is by the certificate of its handshake: the gateway's own word, which is taken from nobody, not
 * from a trusted proxy either.
 */
export const IDENTITY = 3

export type ForwardingKind = typeof NOT_FORWARDING | typeof RESTATED | typeof PROXY_ONLY | typeof IDENTITY

/** Whatever begins with one of these and is not in the list. */
const FAMILIES = [
  ['x-forwarded-', PROXY_ONLY],
  ['x-original-', PROXY_ONLY],
  ['x-client-cert-', IDENTITY],
] as const

const KINDS: ReadonlyMap<string, ForwardingKind> = new Map([
  ['forwarded', RESTATED],
  ['x-forwarded', RESTATED],
  ['x-forwarded-for', RESTATED],
  ['x-forwarded-proto', RESTATED],
  ['x-forwarded-protocol', RESTATED],
  ['x-forwarded-scheme', RESTATED],
  ['x-forwarded-ssl', RESTATED],
  ['x-forwarded-host', RESTATED],
  ['x-forwarded-port', RESTATED],
  ['x-real-ip', RESTATED],
  ['x-client-ip', RESTATED],
  ['x-cluster-client-ip', RESTATED],
  ['x-scheme', RESTATED],
  ['x-url-scheme', RESTATED],
  ['front-end-https', RESTATED],
  ['x-rewrite-url', PROXY_ONLY],
  ['x-client-cert', IDENTITY],
  // RFC 9440.
  ['client-cert', IDENTITY],
  ['client-cert-chain', IDENTITY],
])

const NAMES_BY_LENGTH: readonly (readonly string[] | undefined)[] = (() => {
  const table: string[][] = []
  for (const name of KINDS.keys()) (table[name.length] ??= []).push(name)
  return table
})()

/** What kind the name of parsed field `index` is of. No string is made of it. */
export function forwardingKindAt(fields: Fields, index: number): ForwardingKind {
  const first = fields.initialAt(index)
  if (first !== 0x78 && first !== 0x66 && first !== 0x63) return NOT_FORWARDING
  const names = NAMES_BY_LENGTH[fields.nameLength(index)]
  if (names !== undefined) for (const name of names) if (fields.nameIsLoosely(index, name)) return KINDS.get(name)!
  for (const [family, kind] of FAMILIES) if (fields.nameBeginsLoosely(index, family)) return kind
  return NOT_FORWARDING
}
