/** Writes requests to an HTTP/1.1 upstream: the head as one string, the body by length or in chunks (RFC 9112 §6). */
import { randomBytes } from 'node:crypto'
import type { Socket } from 'node:net'
import { lastChunk } from '../http/chunked.ts'
import { BLOCK_LINES, fieldsText } from '../http/field-lines.ts'
import { UNKNOWN_LENGTH } from '../message/body.ts'
import type { Fields } from '../message/fields.ts'
import { isWebSocketKey, KEY_FIELD, WEBSOCKET } from '../message/websocket-handshake.ts'
import type { UpstreamRequest } from '../transport/upstream.ts'

/** The key that a handshake was sent with. */
export interface SentKey {
  readonly key: string
  /** The client sent none. */
  readonly own: boolean
}

export class RequestWriter {
  readonly #socket: Socket
  #chunked = false
  /** Of the WebSocket handshake that the request is. */
  webSocket: SentKey | null = null
  /** The request is complete or aborted. */
  done = true

  constructor(socket: Socket) {
    this.#socket = socket
  }

  begin(request: UpstreamRequest): void {
    this.#chunked = request.bodyLength === UNKNOWN_LENGTH
    this.done = request.bodyLength === 0
    this.webSocket = request.upgrade === WEBSOCKET ? keyOf(request.fields) : null
    this.#socket.write(requestHead(request, this.webSocket), 'latin1')
  }

  /** @returns false under back-pressure */
  write(chunk: Uint8Array): boolean {
    if (this.done) return true
    if (!this.#chunked) return this.#socket.write(chunk)
    if (chunk.length === 0) return true
    this.#socket.cork()
    this.#socket.write(`${chunk.length.toString(16)}\r\n`, 'latin1')
    this.#socket.write(chunk)
    const room = this.#socket.write('\r\n', 'latin1')
    this.#socket.uncork()
    return room
  }

  end(trailers: Fields | null): void {
    if (this.done) return
    this.done = true
    if (this.#chunked) this.#socket.write(lastChunk(trailers), 'latin1')
  }

  /** The rest of it cannot be sent. */
  giveUp(): void {
    this.done = true
  }
}

/** The client's key; one of the gateway where it sent none, as over HTTP/2 (RFC 8441 §5). */
function keyOf(fields: Fields): SentKey {
  const key = fields.get(KEY_FIELD)
  if (isWebSocketKey(key)) return { key, own: false }
  fields.remove(KEY_FIELD)
  return { key: randomBytes(16).toString('base64'), own: true }
}

/** Request line, Host, the client's fields, then ours: one string, one write. */
function requestHead(request: UpstreamRequest, webSocket: SentKey | null): string {
  const { host } = request
  let text = `${request.method} ${request.target} HTTP/1.1\r\n`
  if (host !== undefined) text += `host: ${host}\r\n`
  text += `${fieldsText(request.fields)}${request.forwarding.image(BLOCK_LINES)}`
  text += `${request.passed.image(BLOCK_LINES)}x-request-id: ${request.id}\r\n`
  if (request.bodyLength === UNKNOWN_LENGTH) text += 'transfer-encoding: chunked\r\n'
  if (webSocket?.own === true) text += `${KEY_FIELD}: ${webSocket.key}\r\n`
  if (request.upgrade !== null) text += `connection: upgrade\r\nupgrade: ${request.upgrade}\r\n`
  else if (request.acceptsTrailers) text += 'te: trailers\r\nconnection: te\r\n'
  return `${text}\r\n`
}
