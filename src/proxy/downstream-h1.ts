/**
 * A client's HTTP/1.1 connection: reads requests one after the other, hands each to the gate as an exchange and writes its response.
 * Pipelined requests wait in the buffer until the response before them is complete (RFC 9112 §9.3.2).
 */
import type { Socket } from 'node:net'
import type { Answer, ResponseHead } from '../filter/exchange.ts'
import { BodyReader } from '../http/body-reader.ts'
import type { ChunkedSink } from '../http/chunked.ts'
import type { Fields } from '../http/fields.ts'
import { frameRequest, requestFraming } from '../http/framing.ts'
import { INCOMPLETE, RequestHead } from '../http/head.ts'
import { GatewayError } from '../lib/error.ts'
import type { Downstream, DownstreamHandler, Peer, Takeover } from './downstream.ts'
import { requestTarget } from './request-target.ts'
import { ResponseWriter } from './response-writer.ts'
import type { OpenConnection, ServerContext } from './server-context.ts'
import type { Timed } from './timers.ts'

/** An unread rest of a request body up to this size is read and dropped to keep the connection; beyond, it is closed. */
const DISCARD_BYTES = 64 * 1024
/** How long, and how many bytes, a closing connection is still read, so that a reset does not destroy the response (RFC 9112 §9.6). */
const LINGER = 2_000
const LINGER_BYTES = 1024 * 1024

const READING = 0
const EXCHANGE = 1
const DISCARDING = 2
const LINGERING = 3
const CLOSED = 4
const TUNNEL = 5

export class H1Connection implements Downstream, OpenConnection, ChunkedSink, Timed {
  due = 0
  slot = -1
  earlier: Timed | null = null
  later: Timed | null = null
  readonly peer: Peer
  readonly #socket: Socket
  readonly #server: ServerContext
  readonly #writer: ResponseWriter
  #state = READING
  #handler: DownstreamHandler | null = null
  #head = new RequestHead()
  readonly #framing = requestFraming()
  /** Bytes read and not yet consumed. */
  #held: Buffer | null = null
  #parsing = false
  readonly #body = new BodyReader()
  #continuePending = false
  #ended = false
  /** When the head that has begun to arrive must be complete; 0 between heads. */
  #headDue = 0
  #lingered = 0
  /** Bytes of the last response that the client had not taken when this was last looked at. */
  #unsent = 0
  #cutTunnel: (() => void) | null = null
  /** The client has sent FIN: what runs is finished, nothing more is read. */
  #halfClosed = false

  constructor(socket: Socket, peer: Peer, server: ServerContext) {
    this.#socket = socket
    this.#server = server
    this.peer = peer
    this.#writer = new ResponseWriter(socket, server.wall)
    socket.on('data', (bytes: Buffer) => this.#onData(bytes))
    socket.on('end', () => this.#onEnd())
    socket.on('drain', () => this.#onDrain())
    socket.on('error', (error) => this.#gone((error as NodeJS.ErrnoException).code ?? error.message))
    socket.on('close', () => this.#gone('closed'))
    server.connections.add(this)
    server.gate.connectionOpened(peer.listener)
    server.timers.arm(this, server.timers.touch() + server.options.requestHead)
  }

  /** Between requests, nothing half-read. */
  get idle(): boolean {
    return this.#state === READING && this.#quiet
  }

  /** Nothing of a request is there: an empty line after a body is a habit of old clients (RFC 9112 §2.2). */
  get #quiet(): boolean {
    return this.#held === null || (this.#held[0] === 0x0d && this.#held.length <= 2)
  }

  /** Ends the connection as soon as that costs no request. */
  drain(): void {
    if (this.idle) this.#close()
  }

  destroy(): void {
    if (this.#state === TUNNEL) {
      this.#cutTunnel?.()
      return
    }
    // Only the end of the process comes here with an exchange under way.
    this.#handler?.onRequestFailed(new GatewayError('ShuttingDown'))
    this.#socket.destroy()
    this.#gone('cut')
  }

  #onData(bytes: Buffer): void {
    this.#server.timers.touch()
    switch (this.#state) {
      case READING:
        this.#held = this.#held === null ? bytes : Buffer.concat([this.#held, bytes])
        if (this.#held !== null) this.#next(bytes)
        break
      case EXCHANGE:
      case DISCARDING:
        if (!this.#body.done) this.#feedBody(bytes, 0)
        else this.#hold(bytes)
        break
      case LINGERING:
        this.#lingered += bytes.length
        if (this.#lingered > LINGER_BYTES) this.destroy()
        break
    }
  }

  /** Pipelined bytes wait; reading stops, so that at most one read more than asked for is kept. */
  #hold(bytes: Buffer): void {
    this.#held = this.#held === null ? bytes : Buffer.concat([this.#held, bytes])
    this.#socket.pause()
  }

  /** Parses and begins requests until one is under way or more bytes are needed. */
  #next(latest: Buffer | null): void {
    if (this.#parsing) return
    this.#parsing = true
    try {
      while (this.#state === READING && this.#held !== null) {
        // A client that asks and asks and reads no answer: it waits, or its answers would fill the memory.
        if (!this.#writer.room) {
          this.#socket.pause()
          break
        }
        const held = this.#held
        const { limits } = this.#server.options
        // Without a line end in the new bytes no parse can get further: a dripping sender must not make us parse all again.
        if (latest !== null && latest !== held && latest.indexOf(0x0a) < 0 && held.length <= limits.head) break
        latest = null
        const end = this.#head.parse(held, 0, held.length, limits)
        if (end === INCOMPLETE) {
          if (this.#halfClosed && this.#quiet) this.#close()
          else if (this.#halfClosed)
            this.#refuse(new GatewayError('BadRequest', 'the connection ended within a request head'))
          else if (!this.#quiet) {
            if (this.#headDue === 0) this.#headDue = this.#server.timers.now + this.#server.options.requestHead
            this.#server.timers.arm(this, this.#headDue)
          }
          break
        }
        if (end < 0) {
          const { reason, detail } = this.#head.fault!
          this.#refuse(new GatewayError(reason, detail))
          break
        }
        this.#begin(held, end)
      }
    } finally {
      this.#parsing = false
    }
  }

  #begin(held: Buffer, end: number): void {
    const head = this.#head
    const framing = this.#framing
    const fault = frameRequest(head, framing)
    if (fault !== null) {
      this.#refuse(new GatewayError(fault.reason, fault.detail))
      return
    }
    const host = framing.host >= 0 ? head.fields.valueAt(framing.host) : ''
    const request = requestTarget(head, framing, host)
    if (request instanceof GatewayError) {
      this.#refuse(request)
      return
    }
    this.#server.timers.disarm(this)
    this.#headDue = 0
    this.#head = new RequestHead()
    this.#held = end === held.length ? null : held.subarray(end)
    this.#state = EXCHANGE
    this.#ended = false
    this.#body.begin(framing.bodyLength, this.#server.options.limits)
    this.#continuePending = framing.expectContinue
    const last = this.#halfClosed && this.#held === null
    const keepAlive = framing.keepAlive && !this.#server.draining && !last
    this.#writer.begin(head.method, head.minor, keepAlive)
    const handler = this.#server.gate.begin(this, request)
    if (this.#ended) {
      this.#discardHeld()
      return
    }
    this.#handler = handler
    if (this.#body.done) {
      handler.onRequestEnd(null)
      if (this.#held !== null) this.#socket.pause()
    } else if (this.#held !== null) {
      const rest = this.#held
      this.#held = null
      this.#feedBody(rest, 0)
    }
    if (this.#halfClosed && this.#state === EXCHANGE && !this.#body.done) this.#cutBody()
  }

  #feedBody(bytes: Buffer, from: number): void {
    const body = this.#body
    const at = body.read(bytes, from, bytes.length, this)
    if (body.fault !== '') {
      this.#bodyFailed(new GatewayError('BadRequest', `in the body: ${body.fault}`))
      return
    }
    if (!body.done) return
    this.#endBody(body.trailers)
    if (at === bytes.length) return
    const rest = bytes.subarray(at)
    if (this.#state === READING) {
      this.#held = rest
      this.#next(null)
    } else if (this.#state === EXCHANGE) this.#hold(rest)
  }

  chunkData(bytes: Buffer, start: number, end: number): void {
    this.#continuePending = false
    const handler = this.#handler
    if (handler === null) return
    const chunk = start === 0 && end === bytes.length ? bytes : bytes.subarray(start, end)
    if (!handler.onRequestBody(chunk)) this.#socket.pause()
  }

  #endBody(trailers: Fields | null): void {
    if (this.#state === DISCARDING) this.#ready()
    else {
      this.#handler?.onRequestEnd(trailers)
      // Read on, to notice when the client goes away; what comes instead is the next request and waits.
      if (this.#state === EXCHANGE && this.#held === null && this.#socket.isPaused()) this.#socket.resume()
    }
  }

  #bodyFailed(error: GatewayError): void {
    this.#writer.keepAlive = false
    const handler = this.#handler
    if (handler !== null) handler.onRequestFailed(error)
    else this.destroy()
  }

  #onEnd(): void {
    this.#halfClosed = true
    // What was pipelined before is still answered.
    if (this.#held === null) this.#writer.keepAlive = false
    switch (this.#state) {
      case READING:
        if (this.#held === null) this.#close()
        else this.#next(null)
        break
      case EXCHANGE:
        if (!this.#body.done) this.#cutBody()
        break
      case DISCARDING:
      case LINGERING:
        this.#close()
        break
    }
  }

  #cutBody(): void {
    this.#gone('the client ended the connection within the request body')
    this.#socket.destroy()
  }

  #onDrain(): void {
    if (this.#handler !== null) this.#handler.onClientDrain()
    else if (this.#state === READING && this.#held !== null) {
      this.#socket.resume()
      this.#next(null)
    }
  }

  // ---- the response ----

  sendInformational(status: number, fields: Fields | null): void {
    if (status === 100) this.#continuePending = false
    if (this.#state === EXCHANGE && !this.#ended) this.#writer.informational(status, fields)
  }

  sendHead(head: ResponseHead): void {
    if (this.#ended) return
    // A final response instead of 100: the client may or may not send its body, so the connection cannot be kept (RFC 9110 §10.1.1).
    if (this.#continuePending || this.#server.draining) this.#writer.keepAlive = false
    this.#writer.head(head)
  }

  sendBody(bytes: Buffer, start: number, end: number): void {
    if (!this.#ended) this.#writer.body(bytes, start, end)
  }

  get room(): boolean {
    return this.#ended || this.#writer.room
  }

  sendEnd(trailers: Fields | null): void {
    if (this.#ended) return
    this.#writer.end(trailers)
    this.#finish()
  }

  sendAnswer(answer: Answer, close: boolean): void {
    if (this.#ended) return
    if (close || this.#server.draining || (!this.#body.done && !this.#smallRest())) this.#writer.keepAlive = false
    this.#writer.answer(answer)
    this.#finish()
  }

  flush(): void {
    if (!this.#ended) this.#writer.flush()
  }

  pauseBody(): void {
    if (!this.#body.done) this.#socket.pause()
  }

  resumeBody(): void {
    if (!this.#ended && !this.#body.done) this.#socket.resume()
  }

  abort(): void {
    if (this.#ended) return
    this.#ended = true
    this.#handler = null
    this.#state = CLOSED
    // A plain close could look like the end of a response that has no length.
    if (this.#socket.destroyed === false) this.#socket.resetAndDestroy()
    this.#gone('aborted')
  }

  takeOver(head: ResponseHead, cut: () => void): Takeover {
    this.#writer.switchProtocols(head)
    const early = this.#held
    this.#held = null
    this.#handler = null
    this.#ended = true
    this.#state = TUNNEL
    this.#cutTunnel = cut
    this.#server.timers.disarm(this)
    this.#socket.removeAllListeners('data')
    this.#socket.removeAllListeners('end')
    this.#socket.removeAllListeners('drain')
    // It stays among the open connections: it counts for their limit, and a drain must end it too.
    const release = (): void => {
      this.#server.connections.delete(this)
      this.#server.gate.connectionClosed(this.peer.listener)
    }
    return { socket: this.#socket, early, halfClosed: this.#halfClosed, release }
  }

  /** The response is complete: go on with the next request, or close. */
  #finish(): void {
    this.#ended = true
    this.#handler = null
    if (this.#state !== EXCHANGE) return
    if (!this.#writer.keepAlive) this.#linger()
    else if (this.#body.done) this.#ready()
    else if (this.#smallRest()) {
      this.#state = DISCARDING
      this.#server.timers.arm(this, this.#server.timers.now + LINGER)
      this.#socket.resume()
    } else this.#linger()
  }

  /** Answered before its body was looked at: what has come of the body is dropped, what is behind it is the next request. */
  #discardHeld(): void {
    if (this.#state !== DISCARDING || this.#held === null) return
    const rest = this.#held
    this.#held = null
    this.#feedBody(rest, 0)
  }

  #smallRest(): boolean {
    return !this.#continuePending && this.#body.remaining <= DISCARD_BYTES
  }

  /** Ready for the next request; one that is already here begins when the current call has unwound. */
  #ready(): void {
    this.#state = READING
    if (this.#halfClosed || this.#server.draining) {
      if (this.#held === null || this.#server.draining) {
        this.#close()
        return
      }
    }
    const { timers, options } = this.#server
    timers.arm(this, timers.now + options.keepAlive)
    if (this.#socket.isPaused()) this.#socket.resume()
    if (this.#held !== null && !this.#parsing) setImmediate(() => this.#state === READING && this.#next(null))
  }

  #refuse(error: GatewayError): void {
    this.#held = null
    const { method, target } = this.#head
    const answer = this.#server.gate.refused(this.peer, error, method, target)
    this.#writer.begin(method, 1, false)
    this.#writer.answer(answer)
    this.#head = new RequestHead()
    this.#linger()
  }

  /** Sends FIN behind the response and reads on for a while. */
  #linger(): void {
    this.#held = null
    this.#close()
    if (!this.#halfClosed) this.#socket.resume()
  }

  #close(): void {
    this.#state = LINGERING
    this.#socket.end()
    this.#unsent = this.#socket.writableLength
    this.#watchEnd()
  }

  /** A slow client may take its time for what is still unsent, as long as it takes something. */
  #watchEnd(): void {
    const { timers, options } = this.#server
    timers.arm(this, timers.now + (this.#unsent > 0 ? Math.max(options.keepAlive, LINGER) : LINGER))
  }

  expired(): void {
    switch (this.#state) {
      case READING:
        if (this.#quiet || !this.#writer.room) this.#close()
        else this.#refuse(new GatewayError('RequestHeadTimeout'))
        break
      case LINGERING: {
        const before = this.#unsent
        this.#unsent = this.#socket.writableLength
        if (this.#unsent < before) this.#watchEnd()
        else this.destroy()
        break
      }
      default:
        this.destroy()
    }
  }

  #gone(detail: string): void {
    if (this.#state === TUNNEL || this.#counted) return
    this.#counted = true
    this.#state = CLOSED
    this.#ended = true
    this.#held = null
    this.#server.timers.disarm(this)
    this.#server.connections.delete(this)
    this.#server.gate.connectionClosed(this.peer.listener)
    const handler = this.#handler
    this.#handler = null
    handler?.onClientGone(detail)
    if (!this.#socket.destroyed) this.#socket.destroy()
  }

  #counted = false
}
