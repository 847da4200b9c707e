/** Which fields may not stand in the trailers of a message, whatever carries it. */
import type { Fields } from '../message/fields.ts'
import { forwardingKindAt, NOT_FORWARDING } from '../message/forwarding-names.ts'

/**
 * RFC 9110 §6.5.1: framing, routing, authentication and request modifiers have no meaning in trailers and are a known
 * way to smuggle.
 */
const FORBIDDEN_TRAILERS = new Set([
  'transfer-encoding',
  'content-length',
  'host',
  'connection',
  'keep-alive',
  'proxy-connection',
  'upgrade',
  'te',
  'trailer',
  'expect',
  'max-forwards',
  'range',
  'cache-control',
  'authorization',
  'proxy-authorization',
  'proxy-authenticate',
  'www-authenticate',
  'cookie',
  'set-cookie',
  'content-encoding',
  'content-type',
  'content-range',
  'x-request-id',
  'location',
  'vary',
  'date',
  'age',
  'expires',
  'retry-after',
])

/**
 * These, and whatever says where a request came from; also where `_` stands for `-`: CGI-like servers cannot tell the
 * two apart.
 */
export function dropForbiddenTrailers(fields: Fields): void {
  for (let i = 0; i < fields.count; i++)
    if (FORBIDDEN_TRAILERS.has(fields.nameAt(i).replaceAll('_', '-')) || forwardingKindAt(fields, i) !== NOT_FORWARDING)
      fields.removeAt(i)
}
