/** One connection to an endpoint over HTTP/1.1: sends one request at a time and reads its response. */
import type { Socket } from 'node:net'
import { BodyReader } from '../http/body-reader.ts'
import type { ChunkedSink } from '../http/chunked.ts'
import { frameResponse, type ResponseFraming } from '../http/framing.ts'
import { INCOMPLETE, StatusHead } from '../http/head.ts'
import { GatewayError } from '../lib/error.ts'
import type { Reason } from '../lib/reason.ts'
import type { Fields } from '../message/fields.ts'
import type { ResponseHead } from '../message/head.ts'
import { ACCEPT_FIELD, acceptOf } from '../message/websocket-handshake.ts'
import type { OutgoingSocket } from '../socket/outgoing-socket.ts'
import { SocketDuplex } from '../socket/socket-duplex.ts'
import type { SessionOwner, UpstreamSession } from '../transport/connector.ts'
import type { UpstreamHandler, UpstreamRequest, UpstreamStream } from '../transport/upstream.ts'
import { RequestWriter } from './request-writer.ts'

const IDLE = 0
const HEAD = 1
const BODY = 2
/** The response is complete and the request is not. */
const SENDING = 3
/** How many interim responses one request may get: more is an upstream gone mad. */
const MAX_INFORMATIONAL = 100
/** Milliseconds that an upstream may take over the last bytes of a request that it has answered before. */
const LAST_BYTES = 10_000

export class H1Session implements UpstreamSession, UpstreamStream, ChunkedSink {
  readonly #connection: OutgoingSocket
  readonly #socket: Socket
  readonly #owner: SessionOwner
  readonly #writer: RequestWriter
  idleTimeout = 0
  #handler: UpstreamHandler | null = null
  #state = IDLE
  #method = ''
  #upgrade: string | null = null
  #head: StatusHead = new StatusHead()
  #framing: ResponseFraming = { bodyLength: 0, keepAlive: true, upgrade: null, idleTimeout: 0 }
  #held: Buffer | null = null
  readonly #body = new BodyReader()
  #informational = 0
  #tunnel: SocketDuplex | null = null
  #closed = false
  /** Why nothing more can be sent; empty while it can. */
  #broken = ''

  /** @param connection open; its bytes come here from now on */
  constructor(connection: OutgoingSocket, owner: SessionOwner) {
    const { socket } = connection
    this.#connection = connection
    this.#owner = owner
    this.#socket = socket
    this.#writer = new RequestWriter(socket)
    connection.receive = (bytes, length) => this.#onData(bytes, length)
    const destroy = socket.destroy.bind(socket)
    // A stream destroys itself when a write fails, and with it what lies unread: an upstream that answers early and
    // closes would not be noticed.
    socket.destroy = (error?: NodeJS.ErrnoException) =>
      error?.syscall === 'write' && this.#unsendable(error) ? socket : destroy(error)
    socket.on('end', () => this.#onEnd())
    socket.on('drain', () => this.#handler?.onDrain())
    socket.on('error', (error) => this.#lost((error as NodeJS.ErrnoException).code ?? error.message))
    socket.on('close', () => this.#onClose())
  }

  get capacity(): number {
    return 1
  }

  get active(): number {
    return this.#state === IDLE ? 0 : 1
  }

  get usable(): boolean {
    return !this.#closed && this.#state === IDLE && this.#writer.done && this.#socket.writable
  }

  dispatch(request: UpstreamRequest, handler: UpstreamHandler, reused: boolean): void {
    this.#handler = handler
    this.#state = HEAD
    this.#method = request.method
    this.#upgrade = request.upgrade
    this.#informational = 0
    this.#writer.begin(request)
    handler.onStream(this, reused)
  }

  write(chunk: Uint8Array): boolean {
    return this.#closed || this.#writer.write(chunk)
  }

  end(trailers: Fields | null): void {
    if (this.#closed || this.#writer.done) return
    this.#writer.end(trailers)
    if (this.#state !== SENDING) return
    // Not used again: an upstream that answered without having read the request may take what it finds of it for the
    // next one.
    this.#handler = null
    this.#state = IDLE
    this.#socket.setTimeout(LAST_BYTES, () => this.destroy())
    this.#socket.destroySoon()
  }

  get takesRest(): boolean {
    return this.#framing.keepAlive && this.#broken === ''
  }

  get sending(): boolean {
    return this.#state === SENDING
  }

  pause(): void {
    this.#socket.pause()
  }

  resume(): void {
    this.#socket.resume()
    if (this.#broken !== '') this.#readOut(0)
  }

  abort(): void {
    this.#handler = null
    // RST rather than FIN, so that an upstream that is still working on the response can stop at once.
    this.#connection.reset()
    this.#onClose()
  }

  destroy(): void {
    if (!this.#socket.destroyed) this.#socket.destroy()
    this.#onClose()
  }

  chunkData(bytes: Buffer, start: number, end: number): void {
    this.#handler?.onData(bytes, start, end)
  }

  #onData(read: Buffer, length: number): void {
    if (this.#tunnel !== null) {
      this.#tunnel.receive(Buffer.from(read.subarray(0, length)))
      return
    }
    const handler = this.#handler
    if (handler === null || this.#state === IDLE) {
      // Unsolicited bytes: a response without a request, or to an aborted one (RFC 9112 §9.2).
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
    if (!this.#writer.done) return this.#fail('UpstreamProtocolError', 'a switch of protocols within the request')
    if (!this.#proved(head.fields))
      return this.#fail('UpstreamProtocolError', 'not the Sec-WebSocket-Accept of the key')
    const handler = this.#handler!
    this.#handler = null
    const early = at < end ? Buffer.from(bytes.subarray(at, end)) : null
    this.#tunnel = new SocketDuplex(this.#socket, early, false)
    handler.onUpgrade({ status: 101, fields: head.fields, bodyLength: 0 }, this.#tunnel)
    return -1
  }

  /**
   * Whether the upstream has read the handshake: one that was made to say 101 by something else in the request, a
   * parameter perhaps, would take for requests what the client sends into the tunnel.
   */
  #proved(fields: Fields): boolean {
    const handshake = this.#writer.webSocket
    if (handshake === null) return true
    if (fields.joined(ACCEPT_FIELD) !== acceptOf(handshake.key)) return false
    // It would not be that of the client's key.
    if (handshake.own) fields.remove(ACCEPT_FIELD)
    return true
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
    if (reusable && !this.#writer.done) {
      this.#state = SENDING
      // A paused socket would not notice that the upstream has closed it.
      this.#socket.resume()
      handler.onEnd(trailers)
      return
    }
    this.#handler = null
    this.#state = IDLE
    if (reusable) {
      // The last bytes may have filled the client's buffers and stopped the reading; a paused socket would neither
      // notice that the upstream has closed it.
      this.#socket.resume()
      this.#owner.available()
    }
    handler.onEnd(trailers)
    if (!reusable) this.destroy()
  }

  #onEnd(): void {
    if (this.#state !== BODY || !this.#body.untilClose) this.#lost('closed')
    else if (this.#connection.endIsAuthentic) this.#complete(null, false)
    else this.#lost('TLS ended without close_notify')
  }

  /**
   * The upstream closed while the request was being sent. What it sent before, perhaps a whole response, has arrived.
   * @returns whether that is still to be read
   */
  #unsendable(error: NodeJS.ErrnoException): boolean {
    if (this.#handler === null || (this.#state !== HEAD && this.#state !== BODY) || this.#broken !== '') return false
    this.#writer.giveUp()
    this.#broken = error.code ?? error.message
    this.#readOut(0)
    return true
  }

  /** Reads on until a whole turn of the loop has brought nothing. */
  #readOut(quiet: number): void {
    const before = this.#socket.bytesRead
    setImmediate(() => {
      if (this.#closed || this.#handler === null || this.#socket.isPaused()) return
      if (this.#connection.waits || this.#socket.bytesRead > before) this.#readOut(0)
      else if (quiet === 0) this.#readOut(1)
      else this.#lost(this.#broken)
    })
  }

  /** The connection broke. What that means depends on how far the response had come. */
  #lost(how: string): void {
    const handler = this.#handler
    this.#handler = null
    const broken: Reason = this.#state === BODY ? 'UpstreamTruncated' : 'ResetBeforeResponse'
    const refused = this.#state === HEAD && this.#connection.refused(how)
    const reason = refused ? 'UpstreamTlsFailure' : broken
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
    this.#owner.closed()
    const handler = this.#handler
    this.#handler = null
    handler?.onError(new GatewayError(this.#state === BODY ? 'UpstreamTruncated' : 'ResetBeforeResponse', 'closed'))
  }
}
