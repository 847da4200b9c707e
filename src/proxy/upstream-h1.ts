/** One connection to an endpoint over HTTP/1.1: sends one request at a time and reads its response. */
import { connect, type NetConnectOpts, type Socket } from 'node:net'
import type { Endpoint } from '../balance/endpoint.ts'
import { BodyReader } from '../http/body-reader.ts'
import { type ChunkedSink, lastChunk } from '../http/chunked.ts'
import { CHUNKED, frameResponse, type ResponseFraming } from '../http/framing.ts'
import { type HeadLimits, INCOMPLETE, StatusHead } from '../http/head.ts'
import { fieldsText } from '../http/write-head.ts'
import { GatewayError } from '../lib/error.ts'
import type { Reason } from '../lib/reason.ts'
import type { Fields } from '../message/fields.ts'
import type { ResponseHead } from '../message/head.ts'
import type { UpstreamHandler, UpstreamRequest, UpstreamStream } from '../transport/upstream.ts'

/** What becomes of a connection is its pool's business. */
export interface ConnectionOwner {
  readonly limits: HeadLimits
  connected(connection: UpstreamConnection): void
  connectFailed(connection: UpstreamConnection, error: Error): void
  /** The response is complete and the connection may carry another request. */
  released(connection: UpstreamConnection): void
  /** It is gone for good; called exactly once for each connection. */
  closed(connection: UpstreamConnection): void
}

const IDLE = 0
const HEAD = 1
const BODY = 2
/** The response is complete and the request is not. */
const SENDING = 3
/** How many interim responses one request may get: more is an upstream gone mad. */
const MAX_INFORMATIONAL = 100
/** Bytes an upstream connection may hold unsent before the client is asked to wait. */
const HIGH_WATER = 128 * 1024
/** Milliseconds that an upstream may take over the last bytes of a request that it has answered before. */
const LAST_BYTES = 10_000

export class UpstreamConnection implements UpstreamStream, ChunkedSink {
  readonly endpoint: Endpoint
  readonly socket: Socket
  readonly #owner: ConnectionOwner
  /** Monotonic milliseconds: since when it is open, and since when it lies idle. */
  openedAt = 0
  idleSince = 0
  /** How long the upstream keeps an idle connection, by its own word; 0 = not said. Milliseconds. */
  idleTimeout = 0
  /** Requests it has carried, the running one included. */
  requests = 0
  #handler: UpstreamHandler | null = null
  #state = IDLE
  #method = ''
  #upgrade: string | null = null
  #requestDone = true
  #requestChunked = false
  #head: StatusHead = new StatusHead()
  #framing: ResponseFraming = { bodyLength: 0, keepAlive: true, upgrade: null, idleTimeout: 0 }
  #held: Buffer | null = null
  readonly #body = new BodyReader()
  #informational = 0
  #tunnel: ((bytes: Buffer) => void) | null = null
  #closed = false
  #connected = false
  /** Why nothing more can be sent; empty while it can. */
  #broken = ''

  constructor(endpoint: Endpoint, owner: ConnectionOwner) {
    this.endpoint = endpoint
    this.#owner = owner
    const socket = connect({
      host: endpoint.address,
      port: endpoint.port,
      noDelay: true,
      keepAlive: true,
      keepAliveInitialDelay: 15_000,
      allowHalfOpen: false,
      highWaterMark: HIGH_WATER,
      // One buffer for all connections of the thread instead of one for each read, and none of a stream's work on the
      // way to us.
      onread: {
        buffer: READING,
        callback: (length: number) => {
          this.#onData(READING, length)
          return true
        },
      },
    } as NetConnectOpts)
    this.socket = socket
    socket.on('connect', () => {
      this.#connected = true
      this.#owner.connected(this)
    })
    const destroy = socket.destroy.bind(socket)
    // A stream destroys itself when a write fails, and with it what lies unread: an upstream that answers early and
    // closes would never be heard.
    socket.destroy = (error?: NodeJS.ErrnoException) =>
      error?.syscall === 'write' && this.#unsendable(error) ? socket : destroy(error)
    socket.on('end', () => this.#onEnd())
    socket.on('drain', () => this.#handler?.onDrain())
    socket.on('error', (error) => this.#onError(error))
    socket.on('close', () => this.#onClose())
  }

  get idle(): boolean {
    return this.#state === IDLE && !this.#closed
  }

  get usable(): boolean {
    return !this.#closed && this.#state === IDLE && this.#requestDone && this.socket.writable
  }

  /** Whether any byte of a response to the running request has arrived. */
  get answered(): boolean {
    return this.#state === BODY || this.#held !== null || this.#informational > 0
  }

  dispatch(request: UpstreamRequest, handler: UpstreamHandler): void {
    this.requests++
    this.#handler = handler
    this.#state = HEAD
    this.#method = request.method
    this.#upgrade = request.upgrade
    this.#informational = 0
    this.#requestChunked = request.bodyLength === CHUNKED
    this.#requestDone = request.bodyLength === 0
    this.socket.write(requestHead(request), 'latin1')
  }

  write(chunk: Uint8Array): boolean {
    if (this.#closed || this.#requestDone) return true
    if (!this.#requestChunked) return this.socket.write(chunk)
    if (chunk.length === 0) return true
    this.socket.cork()
    this.socket.write(`${chunk.length.toString(16)}\r\n`, 'latin1')
    this.socket.write(chunk)
    const room = this.socket.write('\r\n', 'latin1')
    this.socket.uncork()
    return room
  }

  end(trailers: Fields | null): void {
    if (this.#closed || this.#requestDone) return
    this.#requestDone = true
    if (this.#requestChunked) this.socket.write(lastChunk(trailers), 'latin1')
    if (this.#state !== SENDING) return
    // Not used again: an upstream that answered without having read the request may take what it finds of it for the
    // next one.
    this.#handler = null
    this.#state = IDLE
    this.socket.setTimeout(LAST_BYTES, () => this.destroy())
    this.socket.destroySoon()
  }

  get takesRest(): boolean {
    return this.#framing.keepAlive && this.#broken === ''
  }

  get sending(): boolean {
    return this.#state === SENDING
  }

  pause(): void {
    this.socket.pause()
  }

  resume(): void {
    this.socket.resume()
    if (this.#broken !== '') this.#readOut(0)
  }

  abort(): void {
    this.#handler = null
    // A reset and not a FIN: an upstream that is still working on the answer learns at once that nobody waits for it.
    if (!this.socket.destroyed) this.socket.resetAndDestroy()
    this.#onClose()
  }

  destroy(): void {
    if (!this.socket.destroyed) this.socket.destroy()
    this.#onClose()
  }

  chunkData(bytes: Buffer, start: number, end: number): void {
    this.#handler?.onData(bytes, start, end)
  }

  #onData(read: Buffer, length: number): void {
    if (this.#tunnel !== null) {
      this.#tunnel(Buffer.from(read.subarray(0, length)))
      return
    }
    const handler = this.#handler
    if (handler === null || this.#state === IDLE) {
      // Bytes nobody asked for: the answer to no request, or to one that was given up (RFC 9112 §9.2).
      this.destroy()
      return
    }
    if (this.#state === SENDING) return this.#lost('bytes behind a response')
    let bytes = read
    let end = length
    let at = 0
    if (this.#held !== null) {
      bytes = Buffer.concat([this.#held, read.subarray(0, length)])
      end = bytes.length
      this.#held = null
      // Only a line end can complete a head: a dripping upstream must not make us parse all again for every byte.
      if (bytes.indexOf(0x0a, end - length) < 0 && end <= this.#owner.limits.head) {
        this.#held = bytes
        return
      }
    }
    if (this.#state === HEAD) {
      at = this.#parseHeads(bytes, end)
      if (at < 0) return
    }
    this.#feedBody(bytes, at, end)
    if (this.#handler === handler || this.#handler === null) handler.onBatchEnd()
  }

  /** @returns the offset behind the final head, or -1: nothing more to do with these bytes */
  #parseHeads(bytes: Buffer, end: number): number {
    let at = 0
    for (;;) {
      const head = this.#head
      const next = head.parse(bytes, at, end, this.#owner.limits)
      if (next === INCOMPLETE) {
        this.#held = Buffer.from(bytes.subarray(at, end))
        return -1
      }
      if (next < 0) return this.#fail(head.fault!.reason, head.fault!.detail)
      const fault = frameResponse(head, this.#method, this.#framing)
      if (fault !== null) return this.#fail(fault.reason, fault.detail)
      at = next
      if (head.status >= 200) {
        this.#finalHead(head)
        return this.#handler === null ? -1 : at
      }
      if (head.status === 101) return this.#switch(head, bytes, at, end)
      if (++this.#informational > MAX_INFORMATIONAL)
        return this.#fail('UpstreamProtocolError', 'too many interim responses')
      this.#handler?.onInformational(head.status, head.fields)
      if (this.#handler === null) return -1
      this.#head = new StatusHead()
      if (at === end) return -1
    }
  }

  #finalHead(head: StatusHead): void {
    const framing = this.#framing
    this.#state = BODY
    this.#head = new StatusHead()
    this.#body.begin(framing.bodyLength, this.#owner.limits)
    if (framing.idleTimeout > 0) this.idleTimeout = framing.idleTimeout * 1000
    const response: ResponseHead = {
      status: head.status,
      fields: head.fields,
      bodyLength: framing.bodyLength < 0 ? undefined : framing.bodyLength,
    }
    this.#handler?.onHead(response)
  }

  #switch(head: StatusHead, bytes: Buffer, at: number, end: number): -1 {
    const wanted = this.#upgrade
    if (wanted === null || this.#framing.upgrade !== wanted)
      return this.#fail('UpstreamProtocolError', 'a switch of protocols that was not asked for')
    const handler = this.#handler!
    this.#handler = null
    const socket = this.socket
    socket.removeAllListeners('end')
    socket.removeAllListeners('drain')
    handler.onUpgrade(
      { status: 101, fields: head.fields, bodyLength: 0 },
      { socket, onBytes: (listener) => (this.#tunnel = listener) },
      at < end ? Buffer.from(bytes.subarray(at, end)) : null,
    )
    return -1
  }

  #feedBody(bytes: Buffer, from: number, end: number): void {
    const body = this.#body
    const at = body.read(bytes, from, end, this)
    if (body.fault !== '') this.#fail('UpstreamProtocolError', body.fault)
    else if (body.done) this.#complete(body.trailers, at < end)
  }

  /**
   * @param surplus bytes came behind the response: the two sides disagree about its end, so nothing more is believed
   */
  #complete(trailers: Fields | null, surplus: boolean): void {
    const handler = this.#handler
    if (handler === null) return
    const reusable = this.takesRest && !surplus && !this.#closed
    if (reusable && !this.#requestDone) {
      this.#state = SENDING
      // A paused socket would not notice that the upstream has closed it.
      this.socket.resume()
      handler.onEnd(trailers)
      return
    }
    this.#handler = null
    this.#state = IDLE
    if (reusable) this.#owner.released(this)
    handler.onEnd(trailers)
    if (!reusable) this.destroy()
  }

  #onEnd(): void {
    if (this.#state === BODY && this.#body.untilClose) this.#complete(null, false)
    else this.#lost('closed')
  }

  #onError(error: Error): void {
    if (!this.#connected) {
      this.#connectFailed(error)
      return
    }
    this.#lost((error as NodeJS.ErrnoException).code ?? error.message)
  }

  #connectFailed(error: Error): void {
    if (this.#closed) return
    this.#closed = true
    // First its place is given back: whoever is told may need it to try again.
    this.#owner.closed(this)
    this.#owner.connectFailed(this, error)
  }

  /**
   * The upstream closed while the request was being sent. All it said before, perhaps a whole answer, is here already.
   * @returns whether that is still to be read
   */
  #unsendable(error: NodeJS.ErrnoException): boolean {
    if (this.#handler === null || (this.#state !== HEAD && this.#state !== BODY) || this.#broken !== '') return false
    this.#requestDone = true
    this.#broken = error.code ?? error.message
    this.#readOut(0)
    return true
  }

  /** Reads on until a whole turn of the loop has brought nothing. */
  #readOut(quiet: number): void {
    const before = this.socket.bytesRead
    setImmediate(() => {
      if (this.#closed || this.#handler === null || this.socket.isPaused()) return
      if (this.socket.bytesRead > before) this.#readOut(0)
      else if (quiet === 0) this.#readOut(1)
      else this.#lost(this.#broken)
    })
  }

  /** The connection broke. What that means depends on how far the response had come. */
  #lost(how: string): void {
    const handler = this.#handler
    this.#handler = null
    const reason: Reason = this.#state === BODY ? 'UpstreamTruncated' : 'ResetBeforeResponse'
    const begun = this.#held !== null || this.#informational > 0
    this.destroy()
    if (handler !== null)
      handler.onError(new GatewayError(begun && reason === 'ResetBeforeResponse' ? 'UpstreamTruncated' : reason, how))
  }

  #fail(reason: Reason, detail: string): -1 {
    const handler = this.#handler
    this.#handler = null
    this.destroy()
    handler?.onError(new GatewayError(reason, detail))
    return -1
  }

  #onClose(): void {
    if (this.#closed) return
    this.#closed = true
    this.#owner.closed(this)
    const handler = this.#handler
    this.#handler = null
    handler?.onError(new GatewayError(this.#state === BODY ? 'UpstreamTruncated' : 'ResetBeforeResponse', 'closed'))
  }
}

/** Request line, Host, the client's fields, then ours: one string, one write. */
function requestHead(request: UpstreamRequest): string {
  const { host } = request
  let text = `${request.method} ${request.target} HTTP/1.1\r\n`
  if (host !== undefined) text += `host: ${host}\r\n`
  text += `${fieldsText(request.fields)}${request.forwarding.block}${request.passed}x-request-id: ${request.id}\r\n`
  if (request.bodyLength === CHUNKED) text += 'transfer-encoding: chunked\r\n'
  if (request.upgrade !== null) text += `connection: upgrade\r\nupgrade: ${request.upgrade}\r\n`
  else if (request.acceptsTrailers) text += 'te: trailers\r\nconnection: te\r\n'
  return `${text}\r\n`
}

/** Bytes of one read. */
const READ_BYTES = 64 * 1024
/**
 * What every read of the thread goes into. It cannot be given away and replaced: Node binds a buffer to a connection at
 * the end of the read before, so the others would go on reading into the one that was given away.
 */
const READING = Buffer.allocUnsafeSlow(READ_BYTES)
