/**
 * Field names that a user's edits may not touch: the codec and the forwarding step own them, and a second opinion about
 * framing or about who the client is would be request smuggling or spoofing (RFC 9112 §11.2, RFC 7239 §8.1).
 */
import { looseName } from '../../message/fields.ts'

const PROTECTED: ReadonlySet<string> = new Set([
  // Framing and routing of the message (RFC 9112 §6, RFC 9110 §7.2, §10.1.1).
  'content-length',
  'transfer-encoding',
  'trailer',
  'host',
  'expect',
  // Hop by hop (RFC 9110 §7.6.1), and what older lists count among it.
  'connection',
  'keep-alive',
  'proxy-connection',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-authentication-info',
  'te',
  'upgrade',
  'http2-settings',
  'via',
  // How often a request has been here (RFC 8586 §3: it must not be removed or changed).
  'cdn-loop',
  // Forwarding: written anew by the gateway, never by hand.
  'forwarded',
  'x-real-ip',
  // The client's certificate, likewise (RFC 9440).
  'client-cert',
  'client-cert-chain',
])

/**
 * Members of the `X-Forwarded` family that nobody else writes; `X-Forwarded-User` and the like are a Route's to set and
 * to remove.
 */
const PROTECTED_FORWARDING = /^x-(?:forwarded(?:-(?:for|host|port|proto))?|client-cert(?:-.*)?)$/

/** A token (RFC 9110 §5.6.2) in lower case. */
const FIELD_NAME = /^[!#$%&'*+\-.^_`|~0-9a-z]+$/

/**
 * Whether a name belongs to framing, to one hop, or to forwarding, and can be neither set, added nor removed by an
 * edit. An underscore counts as a hyphen, because CGI-like servers cannot tell the two apart.
 *
 * @param name in any case
 */
export function isProtectedField(name: string): boolean {
  const plain = looseName(name)
  return PROTECTED.has(plain) || PROTECTED_FORWARDING.test(plain)
}

/**
 * What is wrong with a name in `requestHeaders` or `responseHeaders`, as one sentence; undefined when nothing is.
 *
 * @param name in lower case
 */
export function checkFieldName(name: string): string | undefined {
  if (!FIELD_NAME.test(name)) return `${JSON.stringify(name)} is not a field name in lower case (RFC 9110 §5.1)`
  if (isProtectedField(name))
    return `${name} belongs to framing, to one hop or to forwarding and cannot be changed; leave it out`
  return undefined
}
