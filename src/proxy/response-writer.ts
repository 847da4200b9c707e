/**
 * Writes responses to an HTTP/1.1 client: framing by length, by chunks or by closing, as the version and the response allow
 * (RFC 9112 §6.3). The head waits for the first body bytes, so that a small response is one write.
 */
import type { Socket } from 'node:net'
import type { Answer, ResponseHead } from '../filter/exchange.ts'
import { CRLF, chunkHead, LAST_CHUNK, lastChunk } from '../http/chunked.ts'
import type { Fields } from '../http/fields.ts'
import { DateField, fieldsBytes, statusLine, writeFields } from '../http/write-head.ts'

/** A body up to this size is copied behind the head; a larger one is written by itself. */
const JOIN_BYTES = 16 * 1024
/** What is gathered is written at the latest when it has grown to this. */
const GATHER_BYTES = 32 * 1024

/** Room behind the head of a chunked response for a first small chunk. */
const CHUNKED_ROOM = 2048

const BY_LENGTH = 0
const BY_CHUNKS = 1
const BY_CLOSE = 2
const NO_BODY = 3

const dates = new DateField()

export class ResponseWriter {
  readonly #socket: Socket
  readonly #wall: () => number
  #http10 = false
  #headOnly = false
  #framing = NO_BODY
  /** Head, and perhaps body, not yet written; `#used` bytes of it count. */
  #out: Buffer | null = null
  #used = 0
  /** Bytes of the body still owed to the Content-Length. */
  #owed = 0
  keepAlive = true
  /** Bytes of response heads and bodies of the running exchange. */
  bytesOut = 0

  constructor(socket: Socket, wall: () => number) {
    this.#socket = socket
    this.#wall = wall
  }

  begin(method: string, minor: number, keepAlive: boolean): void {
    this.#http10 = minor === 0
    this.#headOnly = method === 'HEAD'
    this.keepAlive = keepAlive
    this.#framing = NO_BODY
    this.bytesOut = 0
  }

  informational(status: number, fields: Fields | null): void {
    if (this.#http10) return
    const line = statusLine(status)
    const out = Buffer.allocUnsafe(line.length + (fields === null ? 0 : fieldsBytes(fields)) + 2)
    let at = line.copy(out, 0)
    if (fields !== null) at = writeFields(fields, out, at)
    out[at++] = 0x0d
    out[at++] = 0x0a
    this.#write(out.subarray(0, at))
  }

  head(head: ResponseHead): void {
    const { status, fields, bodyLength } = head
    const bodyless = status === 204 || status === 304 || status < 200
    let lengthField = -1
    let dated = false
    for (let i = 0; i < fields.count; i++) {
      const length = fields.nameLength(i)
      if (length === 14 && fields.nameIs(i, 'content-length')) lengthField = i
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
    this.#serialize(status, fields, ours, dated, this.#framing === BY_LENGTH ? this.#owed : 0)
  }

  #serialize(status: number, fields: Fields, ours: string, dated: boolean, bodyLength: number): void {
    const line = statusLine(status)
    const room = this.#framing === BY_CHUNKS ? CHUNKED_ROOM : bodyLength <= JOIN_BYTES ? bodyLength : 0
    const out = Buffer.allocUnsafe(line.length + fieldsBytes(fields) + ours.length + 48 + room)
    let at = line.copy(out, 0)
    at = writeFields(fields, out, at)
    if (!dated) at += dates.line(this.#wall()).copy(out, at)
    if (ours !== '') at += out.latin1Write(ours, at)
    out[at++] = 0x0d
    out[at++] = 0x0a
    this.#out = out
    this.#used = at
  }

  /** @returns false when the client does not keep up: wait for the socket's drain */
  body(chunk: Uint8Array): boolean {
    const length = chunk.length
    if (length === 0 || this.#framing === NO_BODY) return true
    if (this.#framing === BY_CHUNKS) {
      const size = chunkHead(length)
      if (length <= JOIN_BYTES) {
        this.#gather(size, length + CRLF.length + LAST_CHUNK.length)
        this.#gather(chunk, 0)
        this.#gather(CRLF, 0)
        return !this.#socket.writableNeedDrain
      }
      this.#socket.cork()
      this.flush()
      this.#write(size)
      this.#write(chunk)
      this.#write(CRLF)
      this.#socket.uncork()
    } else {
      this.#owed -= length
      if (length <= JOIN_BYTES) this.#gather(chunk, 0)
      else {
        this.flush()
        this.#write(chunk)
      }
    }
    return !this.#socket.writableNeedDrain
  }

  /** Puts bytes behind what waits for the next flush. @param more bytes that are known to follow */
  #gather(bytes: Uint8Array, more: number): void {
    const used = this.#used
    const out = this.#out
    if (out === null || used + bytes.length > out.length) {
      if (out !== null && used + bytes.length > GATHER_BYTES) this.flush()
      const kept = this.#out === null ? 0 : used
      const grown = Buffer.allocUnsafe(kept + bytes.length + more)
      if (kept > 0) out!.copy(grown, 0, 0, kept)
      this.#out = grown
      this.#used = kept
    }
    this.#out!.set(bytes, this.#used)
    this.#used += bytes.length
  }

  end(trailers: Fields | null): void {
    if (this.#framing === BY_CHUNKS) {
      this.#gather(lastChunk(trailers), 0)
    } else if (this.#framing === BY_LENGTH && this.#owed !== 0) {
      // Fewer (or more) bytes than promised: only a cut connection tells the client.
      this.keepAlive = false
    }
    this.flush()
  }

  answer(answer: Answer): void {
    const body = answer.body
    this.head({ status: answer.status, fields: answer.fields, bodyLength: body?.length ?? 0 })
    if (body !== null) this.body(body)
    this.end(null)
  }

  switchProtocols(head: ResponseHead): void {
    const added = head.fields
    this.#serialize(101, added, '', true, 0)
    this.flush()
  }

  flush(): void {
    const out = this.#out
    if (out === null) return
    this.#out = null
    this.#write(this.#used === out.length ? out : out.subarray(0, this.#used))
  }

  #write(bytes: Uint8Array): boolean {
    this.bytesOut += bytes.length
    return this.#socket.write(bytes)
  }
}
