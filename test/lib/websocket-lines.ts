/** The two sides of a WebSocket handshake over HTTP/1.1, as lines of heads, with the example of RFC 6455 §1.3. */
export const KEY = 'dGhlIHNhbXBsZSBub25jZQ=='
export const ACCEPT = 's3pPLMBiTxaQ9kYGzzhZRbK+xOo='

/** Of a request. */
export const ASKING = `connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: ${KEY}\r\n`
/** Of the response. */
export const AGREEING = `connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-accept: ${ACCEPT}\r\n`
/** The response, with nothing else in its head. */
export const SWITCHES = `HTTP/1.1 101 Switching Protocols\r\n${AGREEING}\r\n`
