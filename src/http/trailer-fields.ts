/** Which fields may not stand in the trailers of a message, whatever carries it. */
import { CDN_LOOP_FIELD } from '../message/cdn-loop.ts'
import { type Fields, looseName } from '../message/fields.ts'
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
  'if-match',
  'if-none-match',
  'if-modified-since',
  'if-unmodified-since',
  'if-range',
  'pragma',
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
  // A request that comes back is known by it; a server that joins trailers to the head would see another.
  CDN_LOOP_FIELD,
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
    if (FORBIDDEN_TRAILERS.has(looseName(fields.nameAt(i))) || forwardingKindAt(fields, i) !== NOT_FORWARDING)
      fields.removeAt(i)
}
