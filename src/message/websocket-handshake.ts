/**
 * The opening handshake of the WebSocket Protocol as HTTP/1.1 has it (RFC 6455 §4): the client's key, and the proof
 * that the server has read it. HTTP/2 has neither (RFC 8441 §5), so a codec of HTTP/1.1 makes them up for a peer that
 * sent none.
 */
import { createHash } from 'node:crypto'

/** Token of Upgrade, value of `:protocol`. */
export const WEBSOCKET = 'websocket'
export const KEY_FIELD = 'sec-websocket-key'
export const ACCEPT_FIELD = 'sec-websocket-accept'

/** RFC 6455 §1.3. */
const GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11'
/** Sixteen bytes in base64. */
const KEY = /^[+/0-9A-Za-z]{22}==$/

export function isWebSocketKey(value: string | undefined): value is string {
  return value !== undefined && KEY.test(value)
}

/** What Sec-WebSocket-Accept must say to a key. */
export function acceptOf(key: string): string {
  return createHash('sha1').update(key, 'latin1').update(GUID, 'latin1').digest('base64')
}
