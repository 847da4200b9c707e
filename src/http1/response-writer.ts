/**
 * Writes responses to an HTTP/1.1 client: framing by length, by chunks or by closing, as the version and the response
 * allow (RFC 9112 §6.3). The head waits for the first body bytes, so that a small response is one write.
 */
import type { Socket } from 'node:net'
import { lastChunk } from '../http/chunked.ts'
import { fieldsText } from '../http/field-lines.ts'
import { DateField, statusLine } from '../http/write-head.ts'
import type { Fields } from '../message/fields.ts'
import type { ResponseHead } from '../message/head.ts'
import type { CompleteResponse } from '../message/local-response.ts'
import { ACCEPT_FIELD, acceptOf, WEBSOCKET } from '../message/websocket-handshake.ts'
import { bulkTurns } from '../socket/bulk-turns.ts'
import { unsentBytes } from '../socket/unsent-bytes.ts'
import { returnWriteBuffer, writeCopy } from '../socket/write-buffers.ts'
import type { RepeatedBytes, ResponseProgress } from '../transport/downstream.ts'

/**
 * Body bytes up to this many become part of the text behind the head; measured, beyond it a copy into a buffer is
 * cheaper.
 */
const TEXT_BYTES = 4 * 1024
/** Gathered bytes are written at the latest at this size. */
const GATHER_BYTES = 32 * 1024

const BY_LENGTH = 0
const BY_CHUNKS = 1
const BY_CLOSE = 2
const NO_BODY = 3

const dates = new DateField()

export class ResponseWriter implements ResponseProgress {
  readonly #socket: Socket
  readonly #wall: () => number
  #http10 = false
  #headOnly = false
  #framing = NO_BODY
  /** Head, and perhaps body, not yet written; each character is a byte. */
  #text = ''
  /** The head lies in the text with all that came behind it: nothing of this response has been written. */
  #headHeld = false
  /** Bytes of the body that were taken, and those of them that lie in the text. */
  #taken = 0
  #gathered = 0
  /** Bytes written to the socket for this response, and those that it still held when it was cut. */
  #written = 0
  #lost = 0
  /** Bytes of the body still owed to the Content-Length. */
  #owed = 0
  keepAlive = true

  constructor(socket: Socket, wall: () => number) {
    this.#socket = socket
    this.#wall = wall
    const destroy = socket.destroy.bind(socket)
    // Whoever destroys it: what it still holds never leaves, and only before can it be asked how much that is.
    socket.destroy = (error?: Error) => {
      if (!socket.destroyed) this.#cut()
      return destroy(error)
    }
  }

  begin(method: string, minor: number, keepAlive: boolean): void {
    this.#http10 = minor === 0
    this.#headOnly = method === 'HEAD'
    this.keepAlive = keepAlive
    this.#framing = NO_BODY
    this.#text = ''
    this.#headHeld = false
    this.#taken = 0
    this.#gathered = 0
    this.#written = 0
    this.#lost = 0
  }

  informational(status: number, fields: Fields | null): void {
    if (this.#http10) return
    this.#text += `${statusLine(status)}${fields === null ? '' : fieldsText(fields)}\r\n`
    this.flush()
  }

  head(head: ResponseHead): void {
    const { status, fields, bodyLength } = head
    const bodyless = status === 204 || status === 304 || status < 200
    let lengthField = -1
    let dated = hasAdded(fields, 'date')
    for (let i = 0; i < fields.count; i++) {
      const length = fields.nameLength(i)
      if (length === 14 && fields.nameIs(i, 'content-length') && !fields.isRemoved(i)) lengthField = i
      else if (length === 4 && fields.nameIs(i, 'date') && !fields.isRemoved(i)) dated = true
    }
    let ours = ''
    if (bodyless || this.#headOnly) {
      this.#framing = NO_BODY
      if (lengthField < 0 && this.#headOnly && !bodyless && bodyLength !== undefined && bodyLength > 0)
        ours = `content-length: ${bodyLength}\r\n`
      if (status === 204 && lengthField >= 0) fields.removeAt(lengthField)
    } else if (bodyLength !== undefined) {
      this.#framing = BY_LENGTH
      this.#owed = bodyLength
      if (lengthField < 0) ours = `content-length: ${bodyLength}\r\n`
    } else {
      if (lengthField >= 0) fields.removeAt(lengthField)
      if (this.#http10) {
        this.#framing = BY_CLOSE
        this.keepAlive = false
      } else {
        this.#framing = BY_CHUNKS
        ours = 'transfer-encoding: chunked\r\n'
      }
    }
    if (!this.keepAlive) ours += 'connection: close\r\n'
    else if (this.#http10) ours += 'connection: keep-alive\r\n'
    const date = dated ? '' : dates.line(this.#wall())
    this.#text += `${statusLine(status)}${fieldsText(fields)}${date}${ours}\r\n`
    this.#headHeld = true
  }

  /** @param bytes of which `start` to `end` count; always copied, so they may be overwritten after the return */
  body(bytes: Buffer, start: number, end: number): void {
    const length = end - start
    if (length === 0 || this.#framing === NO_BODY) return
    const chunked = this.#framing === BY_CHUNKS
    if (this.#framing === BY_LENGTH) {
      // Bytes beyond the Content-Length would be read as the beginning of the next response.
      if (length > this.#owed) return this.#overrun(bytes, start)
      this.#owed -= length
    }
    this.#taken += length
    if (length <= TEXT_BYTES) {
      this.#gathered += length
      const part = bytes.latin1Slice(start, end)
      this.#text += chunked ? `${length.toString(16)}\r\n${part}\r\n` : part
      if (this.#text.length > GATHER_BYTES) this.flush()
      return
    }
    const before = chunked ? `${this.#text}${length.toString(16)}\r\n` : this.#text
    this.#text = ''
    this.#gathered = 0
    this.#headHeld = false
    this.#written += before.length + length
    writeCopy(this.#socket, before, bytes, start, end, chunked ? '\r\n' : '')
  }

  #overrun(bytes: Buffer, start: number): void {
    this.keepAlive = false
    const owed = this.#owed
    if (owed > 0) this.body(bytes, start, start + owed)
  }

  /** Only the close of the connection marks the end of the response. */
  get endsByClose(): boolean {
    return this.#framing === BY_CLOSE
  }

  /** False under back-pressure: wait for the socket's drain. */
  get room(): boolean {
    return !this.#socket.writableNeedDrain
  }

  end(trailers: Fields | null): void {
    if (this.#framing === BY_CHUNKS) this.#text += lastChunk(trailers)
    // Fewer bytes than announced: the client detects that only by a closed connection.
    else if (this.#framing === BY_LENGTH && this.#owed !== 0) this.keepAlive = false
    this.flush()
    bulkTurns.ended(this.#taken)
  }

  complete(response: CompleteResponse): void {
    const { body, text, sent } = response
    const length = text === undefined ? (body?.length ?? 0) : text.length
    this.head({ status: response.status, fields: response.fields, bodyLength: length })
    if (sent !== undefined && this.keepAlive && (this.#framing === BY_LENGTH || response.status === 304))
      sent.sent(this.#text, text)
    if (text !== undefined) this.#append(text)
    else if (body !== null) this.body(asBuffer(body), 0, length)
    this.end(null)
  }

  /** The whole body, of a known length. */
  #append(text: string): void {
    if (this.#framing !== BY_LENGTH) return
    this.#owed -= text.length
    this.#taken += text.length
    this.#gathered += text.length
    this.#text += text
  }

  /** All of a response that was sent before: see `SentText`. @returns false: there is none */
  repeat(response: RepeatedBytes | string | null): boolean {
    if (response === null) return false
    if (typeof response === 'string') this.#socket.write(response, 'latin1')
    else {
      const { buffer, start, end } = response
      this.#socket.write(buffer.subarray(start, end), () => returnWriteBuffer(buffer))
    }
    bulkTurns.ended(0)
    return true
  }

  retract(): boolean {
    if (!this.#headHeld) return false
    this.#headHeld = false
    this.#text = ''
    this.#framing = NO_BODY
    this.#taken = 0
    this.#gathered = 0
    return true
  }

  /** Neither what waits to be written nor what was lost with the connection. */
  get bodySent(): number {
    return Math.max(0, this.#taken - this.#gathered - this.#lost)
  }

  get lost(): number {
    return this.#lost
  }

  #cut(): void {
    this.#lost = unsentBytes(this.#socket)
    // No byte of the head was sent.
    if (this.#written > 0 && this.#lost >= this.#written) this.#headHeld = true
  }

  /** @param webSocketKey of the request, where the protocol is WebSocket */
  switchProtocols(head: ResponseHead, protocol: string, webSocketKey: string): void {
    const { fields } = head
    // An upstream over HTTP/2 has sent no proof of the handshake.
    if (protocol === WEBSOCKET && !fields.has(ACCEPT_FIELD)) fields.add(ACCEPT_FIELD, acceptOf(webSocketKey))
    this.#text += `${statusLine(101)}${fieldsText(fields)}connection: upgrade\r\nupgrade: ${protocol}\r\n\r\n`
    this.flush()
  }

  flush(): void {
    const text = this.#text
    if (text === '') return
    this.#text = ''
    this.#gathered = 0
    this.#headHeld = false
    this.#written += text.length
    this.#socket.write(text, 'latin1')
  }
}

function hasAdded(fields: Fields, name: string): boolean {
  const { added } = fields
  if (added !== null) for (let i = 0; i < added.length; i += 2) if (added[i] === name) return true
  return false
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}
