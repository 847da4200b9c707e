/**
 * A client's HTTP/1.1 connection: reads requests one after the other, hands each to the request handler and writes its
 * response. Pipelined requests wait in the buffer until the response before them is complete (RFC 9112 §9.3.2).
 */
import type { Socket } from 'node:net'
import type { ChunkedSink } from '../http/chunked.ts'
import { GatewayError } from '../lib/error.ts'
import type { Duplex } from '../message/duplex.ts'
import type { Fields } from '../message/fields.ts'
import type { ResponseHead } from '../message/head.ts'
import type { CompleteResponse } from '../message/local-response.ts'
import { abortSocket } from '../socket/abort-socket.ts'
import { LingeringClose } from '../socket/lingering-close.ts'
import type { OpenConnection, ServerContext } from '../socket/server-context.ts'
import { SocketDuplex } from '../socket/socket-duplex.ts'
import { takeWriteBuffer } from '../socket/write-buffers.ts'
import type { Downstream, DownstreamHandler, IncomingRequest, RequestRest } from '../transport/downstream.ts'
import type { Peer } from '../transport/peer.ts'
import { TimerEntry } from '../transport/timers.ts'
import { ClientBody, DISCARD } from './client-body.ts'
import { CLOSED, DISCARDING, EXCHANGE, LINGERING, READING, TUNNEL } from './connection-state.ts'
import { HeadReader } from './head-reader.ts'
import { ResponseWriter } from './response-writer.ts'

export class H1Connection extends TimerEntry implements Downstream, OpenConnection, ChunkedSink {
  readonly peer: Peer
  readonly progress: ResponseWriter
  readonly #socket: Socket
  readonly #server: ServerContext
  readonly #writer: ResponseWriter
  #state = READING
  #handler: DownstreamHandler | null = null
  readonly #reader = new HeadReader()
  readonly #body = new ClientBody()
  #ended = false
  /** The response is complete; the rest of the request's body is still arriving. */
  #answered = false
  /** When the head that has begun to arrive must be complete; 0 between heads. */
  #headDue = 0
  #closing: LingeringClose | null = null
  #tunnel: SocketDuplex | null = null
  /** The client has sent FIN: the current exchange is completed, and nothing more is read. */
  #halfClosed = false

  /** @param open makes the socket whose bytes go to the given function */
  constructor(open: (receive: (bytes: Buffer) => void) => Socket, peer: Peer, server: ServerContext) {
    super()
    const socket = open((bytes) => this.receive(bytes))
    this.#socket = socket
    this.#server = server
    this.peer = peer
    this.#writer = new ResponseWriter(socket, server.wall)
    this.progress = this.#writer
    socket.on('end', () => this.#onEnd())
    socket.on('drain', () => this.#onDrain())
    socket.on('error', (error) => this.#gone((error as NodeJS.ErrnoException).code ?? error.message))
    socket.on('close', () => this.#gone('closed'))
    server.connections.add(this)
    server.requests.connectionOpened(peer.listener)
    server.timers.arm(this, server.timers.touch() + server.options.requestHead)
  }

  get idle(): boolean {
    return this.#state === READING && this.#reader.quiet
  }

  drain(): void {
    if (this.idle) this.#close()
  }

  destroy(): void {
    if (this.#state === TUNNEL) return this.#tunnel!.cut(new GatewayError('ShuttingDown'))
    // Only the shutdown of the process reaches this with an exchange in flight.
    this.#handler?.onRequestFailed(new GatewayError('ShuttingDown'))
    this.#socket.destroy()
    this.#gone('cut')
  }

  /** Another protocol takes the socket over, of which nothing was read here. */
  release(): void {
    this.#state = CLOSED
    this.#leave()
  }

  /** See {@link RequestHandler.repeat}. @returns true: it was answered */
  repeat(bytes: Buffer, length: number): boolean {
    if (this.#state !== READING || this.#reader.held !== null || this.#halfClosed) return false
    const { requests, timers, draining, options } = this.#server
    if (requests.repeat === undefined || draining || this.peer.listener.leaving || !this.#writer.room) return false
    // What it is compared with came within the limits, values that are not compared aside.
    if (length > options.limits.head) return false
    if (!this.#writer.repeat(requests.repeat(this.peer, bytes, length, takeWriteBuffer))) return false
    timers.arm(this, timers.now + options.keepAlive)
    return true
  }

  /** @param bytes the connection's own */
  receive(bytes: Buffer): void {
    this.#server.timers.touch()
    switch (this.#state) {
      case READING:
        this.#reader.append(bytes)
        this.#next(bytes)
        break
      case EXCHANGE:
      case DISCARDING:
        if (!this.#body.done) this.#feedBody(bytes, 0)
        else this.#hold(bytes)
        break
      case LINGERING:
        this.#closing!.drop(bytes.length)
        break
      case TUNNEL:
        this.#tunnel!.receive(bytes)
    }
  }

  /** Pipelined bytes wait and reading stops; without memory for them the connection ends instead. */
  #hold(bytes: Buffer): void {
    if (!this.#reader.hold(bytes, this.#server.heldLimit)) this.#writer.keepAlive = false
    this.#socket.pause()
  }

  /** Begins the request that is here; where it is answered at once, the one behind it waits for its turn. */
  #next(latest: Buffer | null): void {
    if (this.#state !== READING || this.#reader.held === null) return
    // A client that pipelines requests without reading responses must wait: its responses would exhaust the memory.
    if (!this.#writer.room) return void this.#socket.pause()
    const found = this.#reader.read(latest, this.#server.options.limits, this.#server.heldLimit)
    if (found === null) this.#incomplete()
    else if (found instanceof GatewayError) this.#refuse(found)
    else this.#begin(found)
  }

  /** Hundreds of clients may pipeline thousands of requests each: others have their turn between any two. */
  #nextInTurn(): void {
    this.#socket.pause()
    setImmediate(() => {
      if (this.#state !== READING) return
      this.#socket.resume()
      this.#next(null)
    })
  }

  #incomplete(): void {
    const { timers, options } = this.#server
    if (this.#halfClosed && this.#reader.quiet) this.#close()
    else if (this.#halfClosed)
      this.#refuse(new GatewayError('BadRequest', 'the connection ended within a request head'))
    else if (!this.#reader.quiet) {
      if (this.#headDue === 0) this.#headDue = timers.now + options.requestHead
      timers.arm(this, this.#headDue)
    }
  }

  #begin(request: IncomingRequest): void {
    const { framing } = this.#reader
    this.#server.timers.disarm(this)
    this.#headDue = 0
    this.#state = EXCHANGE
    this.#ended = false
    this.#answered = false
    this.#body.expect(framing.bodyLength, framing.expectContinue, this.#server.options.limits)
    const last = this.#halfClosed && this.#reader.held === null
    const keepAlive = framing.keepAlive && !this.peer.listener.leaving && !last
    this.#writer.begin(request.method, request.protocol === 'HTTP/1.0' ? 0 : 1, keepAlive)
    const handler = this.#server.requests.begin(this, request)
    if (this.#ended) {
      // Answered before its body was read: what has come of it is dropped; behind it is the next request.
      if (this.#state === DISCARDING) this.#feedHeld()
      return
    }
    this.#handler = handler
    if (this.#body.done) {
      handler.onRequestEnd(null)
      if (this.#reader.held !== null) this.#socket.pause()
    } else this.#feedHeld()
    if (this.#halfClosed && this.#state === EXCHANGE && !this.#body.done)
      this.#gone('the client ended the connection within the request body')
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
      this.#reader.held = rest
      this.#nextInTurn()
    } else if (this.#state === EXCHANGE) this.#hold(rest)
  }

  chunkData(bytes: Buffer, start: number, end: number): void {
    this.#body.continuePending = false
    const handler = this.#handler
    if (handler === null) return
    const chunk = start === 0 && end === bytes.length ? bytes : bytes.subarray(start, end)
    if (!handler.onRequestBody(chunk)) this.#socket.pause()
  }

  #endBody(trailers: Fields | null): void {
    if (this.#state === DISCARDING) return this.#ready()
    this.#handler?.onRequestEnd(trailers)
    // Read on, to notice when the client goes away; what comes instead is the next request and waits.
    if (this.#state === EXCHANGE && this.#reader.held === null && this.#socket.isPaused()) this.#socket.resume()
  }

  #bodyFailed(error: GatewayError): void {
    this.#writer.keepAlive = false
    // Where it is answered already, a close here could reset the response on its way.
    if (this.#handler !== null) this.#handler.onRequestFailed(error)
    else if (this.#state === DISCARDING) this.#linger()
  }

  #onEnd(): void {
    this.#halfClosed = true
    // Requests pipelined before are still served.
    if (this.#reader.held === null) this.#writer.keepAlive = false
    switch (this.#state) {
      case READING:
        if (this.#reader.held === null) this.#close()
        else this.#next(null)
        break
      case EXCHANGE:
        // Of no use any more, unlike a response: nothing could be sent in it, a close frame neither.
        if (this.#reader.webSocketKey !== '')
          return this.#gone('the client ended the connection before its WebSocket was open')
        if (this.#body.done && this.#handler?.onClientEnd() !== false) break
        // Behind a complete response the client may lose interest, and what it has not read of it still comes.
        if (this.#answered) this.#handler?.onRequestFailed(new GatewayError('ClientGone'))
        else this.#gone(`the client ended the connection within ${this.#body.done ? 'its call' : 'the request body'}`)
        break
      case DISCARDING:
      case LINGERING:
        this.#close()
    }
  }

  #onDrain(): void {
    if (this.#handler !== null) this.#handler.onClientDrain()
    else if (this.#state === READING && this.#reader.held !== null) {
      this.#socket.resume()
      this.#next(null)
    }
  }

  sendInformational(status: number, fields: Fields | null): void {
    if (status === 100) this.#body.continuePending = false
    if (this.#state === EXCHANGE && !this.#ended) this.#writer.informational(status, fields)
  }

  sendHead(head: ResponseHead, rest: RequestRest): void {
    if (this.#ended) return
    if (!this.#body.keepsConnection(rest) || this.peer.listener.leaving) this.#writer.keepAlive = false
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

  sendEarlyEnd(trailers: Fields | null): boolean {
    if (this.#ended || this.#body.continuePending) return false
    this.#answered = true
    this.#writer.end(trailers)
    // Only the end of this direction marks the end of the response; the client's own stays open.
    if (this.#writer.endsByClose) this.#socket.end()
    return true
  }

  endRest(): void {
    if (!this.#ended) this.#finish()
  }

  sendComplete(response: CompleteResponse, close: boolean): void {
    if (this.#ended) return
    if (!this.#body.keepsConnection(close ? 'untrusted' : 'dropped') || this.peer.listener.leaving)
      this.#writer.keepAlive = false
    this.#writer.complete(response)
    this.#finish()
  }

  flush(): void {
    if (!this.#ended) this.#writer.flush()
  }

  resumeBody(): void {
    if (!this.#ended && !this.#body.done) this.#socket.resume()
  }

  abort(): void {
    if (this.#ended) return
    this.#handler = null
    // A plain close could look like the end of a response that has no length.
    abortSocket(this.#socket)
    this.#gone('aborted')
  }

  upgrade(head: ResponseHead, protocol: string): Duplex {
    this.#writer.switchProtocols(head, protocol, this.#reader.webSocketKey)
    this.#handler = null
    this.#ended = true
    this.#state = TUNNEL
    this.#server.timers.disarm(this)
    this.#tunnel = new SocketDuplex(this.#socket, this.#reader.take(), this.#halfClosed)
    return this.#tunnel
  }

  /** The response is complete: continues with the next request, or closes. */
  #finish(): void {
    this.#ended = true
    this.#handler = null
    if (this.#state !== EXCHANGE) return
    const { keepAlive } = this.#writer
    if (keepAlive && this.#body.done) this.#ready()
    else if (keepAlive && this.#body.smallRest) {
      this.#state = DISCARDING
      this.#server.timers.arm(this, this.#server.timers.now + DISCARD)
      this.#socket.resume()
    } else this.#linger()
  }

  #feedHeld(): void {
    const rest = this.#reader.take()
    if (rest !== null) this.#feedBody(rest, 0)
  }

  /** Ready for the next request; one that is already here begins in the next turn of the loop. */
  #ready(): void {
    this.#state = READING
    const { timers, options, draining } = this.#server
    if (draining || (this.#halfClosed && this.#reader.held === null)) return this.#close()
    timers.arm(this, timers.now + options.keepAlive)
    if (this.#socket.isPaused()) this.#socket.resume()
    if (this.#reader.held !== null) this.#nextInTurn()
  }

  #refuse(error: GatewayError): void {
    const response = this.#server.requests.refused(this.peer, error, this.#reader)
    // Nothing that the client could read.
    if (error.status === 0) return this.#linger()
    this.#writer.begin(this.#reader.method, 1, false)
    this.#writer.complete(response)
    this.#linger()
  }

  #linger(): void {
    this.#reader.held = null
    this.#close()
    if (!this.#halfClosed) this.#socket.resume()
  }

  #close(): void {
    this.#state = LINGERING
    const { timers, options } = this.#server
    timers.disarm(this)
    this.#closing ??= new LingeringClose(this.#socket, timers, options.keepAlive, () => this.destroy())
  }

  expired(): void {
    if (this.#state !== READING) this.destroy()
    else if (this.#reader.quiet || !this.#writer.room) this.#close()
    else this.#refuse(new GatewayError('RequestHeadTimeout'))
  }

  #leave(): void {
    this.#server.timers.disarm(this)
    this.#server.connections.delete(this)
    this.#server.requests.connectionClosed(this.peer.listener)
  }

  #gone(detail: string): void {
    if (this.#state === CLOSED) return
    this.#state = CLOSED
    this.#ended = true
    this.#reader.held = null
    this.#closing?.done()
    this.#leave()
    const handler = this.#handler
    this.#handler = null
    handler?.onClientGone(detail)
    if (!this.#socket.destroyed) this.#socket.destroy()
  }
}
