/**
 * Fields of a response that are not stored with it (RFC 9111 §3.1), and those that an update leaves as they are (§3.2).
 */
import { withoutOws } from '../message/field-value.ts'
import type { Fields } from '../message/fields.ts'

/** In lower case. */
export const UNSTORED: ReadonlySet<string> = new Set([
  // RFC 9110 §7.6.1: they concern the connection, whether it names them or not.
  'connection',
  'keep-alive',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  // RFC 9111 §3.1: of the proxy that they come from.
  'proxy-authenticate',
  'proxy-authentication-info',
  'proxy-authorization',
  // Framing: the length of the stored body is known, whatever was announced.
  'content-length',
  // Generated anew each time (RFC 9111 §5.1).
  'age',
  // Never for anybody but the client that it was sent to. A response that has it is not stored, see `storing.ts`.
  'set-cookie',
  'set-cookie2',
])

/** Digests of the very bytes that a message carries (RFC 9530 §2, RFC 1864): false with any others. */
export const CONTENT_DIGESTS: readonly string[] = ['content-digest', 'content-md5']

/**
 * Those that a 304 or the response to a HEAD does not change. The stored body is in this coding and is this part of the
 * whole, whatever the origin says of another transfer (RFC 9111 §3.2, "ensure integrity of the stored response"); a
 * Content-Digest of a 304 or HEAD is one of no content (RFC 9530 §B.2).
 */
const NOT_UPDATED: ReadonlySet<string> = new Set(['content-encoding', 'content-range', 'content-digest'])

/** Names that the `Connection` fields of a response state: hop-by-hop fields of this connection, in lower case. */
export function connectionNames(fields: Fields): readonly string[] {
  const value = fields.joined('connection')
  return value === undefined ? [] : value.split(',').map((name) => withoutOws(name).toLowerCase())
}

/**
 * @param name in lower case
 * @param excluded besides them, in lower case: named by Connection, `private` or `no-cache`
 */
export function isStored(name: string, excluded: readonly string[]): boolean {
  return !UNSTORED.has(name) && !excluded.includes(name)
}

/** Whether the newer field of this name takes the place of the stored one (RFC 9111 §3.2). */
export function isUpdated(name: string, excluded: readonly string[]): boolean {
  return isStored(name, excluded) && !NOT_UPDATED.has(name)
}
