/** Strict-Transport-Security (RFC 6797): stated for a hostname, sent to clients that use https, whoever responds. */
import type { Fields } from '../message/fields.ts'
import type { ProxyExchange } from './exchange.ts'

/** In clear text it would mean nothing, and anybody on the way could have written it (RFC 6797 §7.2). */
export function addTransportSecurity(x: ProxyExchange, fields: Fields): void {
  const hsts = x.hostTls?.hsts
  if (hsts !== undefined && x.forwarding.origin.scheme === 'https') fields.set('strict-transport-security', hsts)
}
