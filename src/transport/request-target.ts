/** The four forms of a request target (RFC 9112 §3.2), reduced to authority and path. */
import type { RequestFraming } from '../http/framing.ts'
import type { RequestHead } from '../http/head.ts'
import { GatewayError } from '../lib/error.ts'
import { normalizeHost } from '../pattern/host.ts'
import type { IncomingRequest } from './downstream.ts'

export function requestTarget(
  head: RequestHead,
  framing: RequestFraming,
  host: string,
): IncomingRequest | GatewayError {
  const { method } = head
  let { target } = head
  let authority = host
  let authorityMoved = false
  if (method === 'CONNECT') return new GatewayError('ConnectNotAllowed')
  if (target.charCodeAt(0) !== 0x2f) {
    if (target === '*') {
      if (method !== 'OPTIONS') return new GatewayError('BadRequest', 'the target * is for OPTIONS alone')
    } else {
      const form = /^http(s?):\/\/([^/?#]+)([/?].*)?$/i.exec(target)
      if (form === null) return new GatewayError('BadRequest', 'a target in no known form')
      authority = form[2]!
      const rest = form[3] ?? ''
      // RFC 9112 §3.2.4: without path and query, the target is the whole server.
      if (rest === '' && method === 'OPTIONS') target = '*'
      else target = rest.startsWith('/') ? rest : `/${rest}`
      // RFC 9112 §3.2.2 lets the target win over Host; two different answers to "which host" are how caches get
      // poisoned, so they are refused.
      if (host !== '' && !sameAuthority(host, authority, form[1] === '' ? 80 : 443))
        return new GatewayError('BadHost', 'the Host differs from the host of the target')
      authorityMoved = true
      if (framing.host >= 0) head.fields.removeAt(framing.host)
    }
  }
  // RFC 9110 §4.2.1: an http URI without a host is none. HTTP/1.0 may leave it out.
  if (authority === '' && head.minor === 1) return new GatewayError('BadHost', 'an empty Host field')
  return {
    protocol: head.minor === 0 ? 'HTTP/1.0' : 'HTTP/1.1',
    method,
    authority,
    authorityMoved,
    target,
    fields: head.fields,
    bodyLength: framing.bodyLength,
    expectContinue: framing.expectContinue,
    acceptsTrailers: framing.acceptsTrailers,
    upgrade: framing.upgrade,
    cdnLoop: framing.cdnLoop,
  }
}

/** Whether two authorities name the same host and port; one without a port means the scheme's (RFC 9110 §4.2.3). */
export function sameAuthority(one: string, other: string, defaultPort: number): boolean {
  const a = normalizeHost(one)
  const b = normalizeHost(other)
  if (a === undefined || b === undefined) return false
  return a.host === b.host && (a.port || defaultPort) === (b.port || defaultPort)
}
