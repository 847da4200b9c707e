/**
 * One connection to an endpoint over HTTP/2 (RFC 9113): many requests at a time, up to what the peer allows. It counts
 * as connected once the peer has said what that is; so an endpoint that speaks something else is found out before any
 * request is sent to it.
 */
import type { Socket } from 'node:net'
import { DEFAULT_WINDOW } from '../http/flow-control.ts'
import { ErrorCode, errorName, LAST_STREAM_ID, Setting } from '../http/frames.ts'
import { GatewayError } from '../lib/error.ts'
import type { Reason } from '../lib/reason.ts'
import type { Fields } from '../message/fields.ts'
import { KEY_FIELD, WEBSOCKET } from '../message/websocket-handshake.ts'
import type { OutgoingSocket } from '../socket/outgoing-socket.ts'
import type { PendingConnection, SessionOwner, UpstreamSession } from '../transport/connector.ts'
import type { Timers } from '../transport/timers.ts'
import type { UpstreamHandler, UpstreamRequest } from '../transport/upstream.ts'
import { ControlOutput } from './control-output.ts'
import { FrameOutput } from './frame-output.ts'
import { RequestFrames } from './h2-request.ts'
import { Liveness, type Watched } from './liveness.ts'
import { type ResponseOwner, ResponseReader } from './response-reader.ts'
import { type ScheduleOwner, SendSchedule } from './send-schedule.ts'
import type { SendingStream } from './sending-stream.ts'
import { SessionStream, type StreamCarrier } from './upstream-h2-stream.ts'

export interface H2SessionOptions {
  readonly scheme: 'http' | 'https'
  readonly timers: Timers
  /** Of the endpoint, for messages. */
  readonly authority: string
}

/** Streams of one connection, whatever the peer allows. */
const MAX_STREAMS = 256
/** Nothing depends on what comes back. */
const PING_DATA = Buffer.from('headgate', 'latin1')
/** Bytes that may wait in the socket where a request is sent. */
const MAX_UNSENT = 512 * 1024
/** Milliseconds that an endpoint may take over the last bytes of a connection that is closed. */
const LAST_BYTES = 10_000
/** Streams that we have reset, whose frames may still be on their way. */
const MAX_RESET_KNOWN = 1_024

export class H2Session
  implements UpstreamSession, PendingConnection, StreamCarrier, ScheduleOwner, ResponseOwner, Watched
{
  readonly #connection: OutgoingSocket
  readonly #socket: Socket
  readonly #owner: SessionOwner
  readonly #options: H2SessionOptions
  readonly #output: FrameOutput
  readonly #frames: ControlOutput
  readonly #requests: RequestFrames
  readonly #reader: ResponseReader
  readonly #liveness: Liveness
  readonly schedule: SendSchedule
  readonly #streams = new Map<number, SessionStream>()
  /** Ids of streams that we reset, the oldest first. */
  readonly #reset = new Set<number>()
  #nextId = 1
  /** The owner knows it as connected. */
  #connected = false
  /** No more requests are sent: the peer has said GOAWAY, or there are no ids left. */
  #leaving = false
  /** The peer has refused a stream: it takes no more than are active, until one of them ends. */
  #refusing = false
  #refusedStream: SessionStream | null = null
  #closed = false
  /** Why nothing more can be sent; empty while it can. */
  #broken = ''
  readonly idleTimeout = 0

  /** Begins to speak. The owner is called once the peer has sent its settings. */
  static begin(connection: OutgoingSocket, owner: SessionOwner, options: H2SessionOptions): PendingConnection {
    return new H2Session(connection, owner, options)
  }

  private constructor(connection: OutgoingSocket, owner: SessionOwner, options: H2SessionOptions) {
    const { socket } = connection
    this.#connection = connection
    this.#socket = socket
    this.#owner = owner
    this.#options = options
    this.#output = new FrameOutput(socket)
    this.#frames = new ControlOutput(this.#output)
    this.#requests = new RequestFrames(this.#output, options.scheme)
    this.schedule = new SendSchedule(this.#output, DEFAULT_WINDOW, this)
    this.#liveness = new Liveness(this, options.timers)
    this.#reader = new ResponseReader(this, owner, options.timers)
    connection.receive = (bytes, length) => this.#onData(bytes, length)
    const destroy = socket.destroy.bind(socket)
    // A stream destroys itself when a write fails, and with it what lies unread: responses, and the GOAWAY that says
    // which requests were not processed.
    socket.destroy = (error?: NodeJS.ErrnoException) =>
      error?.syscall === 'write' && this.#unsendable(error) ? socket : destroy(error)
    socket.on('end', () => this.#lost(null, 'closed'))
    socket.on('drain', () => this.#drained())
    socket.on('error', (error) => this.#lost(null, (error as NodeJS.ErrnoException).code ?? error.message))
    socket.on('close', () => this.#lost(null, 'closed'))
    const limits = [Setting.ENABLE_PUSH, 0, Setting.MAX_HEADER_LIST_SIZE, owner.limits.head]
    this.#frames.preface()
    this.#frames.settings(limits)
    this.#frames.windowUpdate(0, this.#reader.open())
  }

  // ---- for the pool ----

  cancel(): void {
    this.#closed = true
    this.#end()
    this.#socket.destroy()
  }

  get capacity(): number {
    return Math.min(MAX_STREAMS, this.#reader.peer.maxConcurrentStreams)
  }

  get active(): number {
    return this.#streams.size
  }

  get usable(): boolean {
    if (this.#closed || this.#leaving || this.#refusing || this.#streams.size >= this.capacity) return false
    // To an endpoint that does not read requests would wait here, and take memory.
    return this.#socket.writable && this.#socket.writableLength <= MAX_UNSENT
  }

  dispatch(request: UpstreamRequest, handler: UpstreamHandler, reused: boolean): void {
    const { upgrade } = request
    if (upgrade !== null && !this.#reader.peer.enableConnectProtocol) {
      const { authority } = this.#options
      // Not within the call: the pool would dispatch the next one in it, and that one the next.
      queueMicrotask(() => {
        if (!this.#closed) this.#owner.available()
      })
      handler.onError(new GatewayError('UpgradeNotSupported', `${authority}: ${upgrade} over HTTP/2 (RFC 8441)`))
      return
    }
    const id = this.#nextId
    this.#nextId += 2
    if (this.#nextId > LAST_STREAM_ID) this.#leaving = true
    const window = this.#reader.peer.initialWindowSize
    // Not used over HTTP/2 (RFC 8441 §5).
    if (upgrade === WEBSOCKET) request.fields.remove(KEY_FIELD)
    const stream = new SessionStream(this, id, window, handler, request)
    this.#streams.set(id, stream)
    const ended = request.bodyLength === 0 && upgrade === null
    this.#requests.request(id, request, ended)
    if (ended) {
      stream.finished = true
      stream.sentEnd = true
    }
    if (this.#streams.size === 1) this.#liveness.began()
    handler.onStream(stream, reused)
  }

  destroy(): void {
    if (this.#closed) return
    if (this.#streams.size > 0) {
      this.#lost(null, 'closed')
      this.#socket.destroy()
    } else this.#finish(ErrorCode.NO_ERROR, '')
  }

  /** Says GOAWAY and closes the connection behind it. */
  #finish(code: ErrorCode, detail: string): void {
    this.#frames.goaway(0, code, detail)
    this.#output.flush()
    const socket = this.#socket
    this.#lost(code === ErrorCode.NO_ERROR ? null : 'UpstreamProtocolError', detail)
    if (socket.destroyed) return
    socket.setTimeout(LAST_BYTES, () => socket.destroy())
    socket.destroySoon()
  }

  // ---- for its streams ----

  windowUpdate(stream: number, increment: number): void {
    if (!this.#closed) this.#frames.windowUpdate(stream, increment)
  }

  reset(stream: SessionStream, code: ErrorCode): void {
    this.resetClosed(stream.id, code)
  }

  resetClosed(id: number, code: ErrorCode): void {
    if (this.#closed) return
    this.#frames.reset(id, code)
    this.#remember(id)
  }

  #remember(id: number): void {
    this.#reset.add(id)
    if (this.#reset.size > MAX_RESET_KNOWN) this.#reset.delete(this.#reset.values().next().value!)
  }

  closed(stream: SessionStream): void {
    if (!this.#streams.delete(stream.id) || this.#closed) return
    if (stream === this.#refusedStream) this.#refusedStream = null
    else this.#refusing = false
    if (this.#leaving && this.#streams.size === 0) this.destroy()
    else this.#owner.available()
  }

  batched(stream: SessionStream, handler: UpstreamHandler): void {
    this.#reader.batched(stream, handler)
  }

  endBatch(): void {
    this.#reader.endBatch()
  }

  // ---- for the schedule ----

  writeTrailers(stream: SendingStream, trailers: Fields): void {
    this.#requests.trailers(stream.id, trailers)
  }

  sentData(length: number, cramped: boolean): void {
    this.#reader.sentData(length, cramped)
  }

  // ---- from the peer ----

  stream(id: number): SessionStream | undefined {
    return this.#streams.get(id)
  }

  wasOpened(id: number): boolean {
    return id < this.#nextId
  }

  wasReset(id: number): boolean {
    return this.#reset.has(id)
  }

  tableSize(size: number): void {
    this.#requests.allowTableSize(size)
  }

  settings(first: boolean, initialWindowBy: number): void {
    this.#frames.settingsAck()
    if (initialWindowBy !== 0)
      for (const stream of this.#streams.values())
        if (!this.schedule.widenStream(stream, initialWindowBy))
          return this.fault(ErrorCode.FLOW_CONTROL_ERROR, 'a window above 2^31-1 by INITIAL_WINDOW_SIZE')
    this.schedule.pump()
    if (!first) {
      if (this.usable) this.#owner.available()
    } else if (this.capacity === 0) this.#lost('ConnectFailure', 'it allows no streams')
    else {
      this.#connected = true
      this.#owner.connected(this)
    }
  }

  pingAck(bytes: Buffer, at: number): void {
    this.#frames.ping(true, bytes, at)
  }

  widen(stream: SessionStream | null, increment: number): boolean {
    const { schedule } = this
    const widened = stream === null ? schedule.widen(increment) : schedule.widenStream(stream, increment)
    if (widened) schedule.pump()
    return widened
  }

  refused(stream: SessionStream): void {
    this.#refusing = this.#streams.size > 1
    this.#refusedStream = stream
  }

  goaway(lastStream: number, code: number, debug: string): void {
    this.#leaving = true
    const detail = `GOAWAY ${errorName(code)}${debug === '' ? '' : ` ${debug}`}`
    if (!this.#connected) return this.#lost(null, detail)
    for (const [id, stream] of [...this.#streams])
      if (id > lastStream) {
        this.#remember(id)
        stream.refuse(detail)
      }
    if (this.#streams.size === 0) this.destroy()
  }

  fault(code: ErrorCode, detail: string): void {
    if (this.#closed) return
    this.#finish(code, detail)
  }

  #onData(bytes: Buffer, length: number): void {
    if (this.#closed) return
    this.#liveness.heard()
    this.#reader.push(bytes, length)
  }

  /** The socket takes bytes again. */
  #drained(): void {
    if (!this.#connected) return
    this.schedule.pump()
    if (this.usable) this.#owner.available()
  }

  // ---- the end ----

  get waiting(): boolean {
    return this.#streams.size > 0
  }

  sendPing(): void {
    this.#frames.ping(false, PING_DATA, 0)
  }

  dead(): void {
    this.#lost(null, 'it does not answer a PING')
    this.#socket.destroy()
  }

  /**
   * The peer closed while something was being sent. What it sent before, perhaps whole responses, has arrived.
   * @returns whether that is still to be read
   */
  #unsendable(error: NodeJS.ErrnoException): boolean {
    if (this.#closed || this.#streams.size === 0 || this.#broken !== '') return false
    this.#broken = error.code ?? error.message
    this.#leaving = true
    this.#readOut(0)
    return true
  }

  /** Reads on until a whole turn of the loop has brought nothing. */
  #readOut(quiet: number): void {
    const before = this.#socket.bytesRead
    setImmediate(() => {
      if (this.#closed) return
      if (this.#connection.waits || this.#socket.bytesRead > before) this.#readOut(0)
      else if (quiet === 0) this.#readOut(1)
      else {
        this.#lost(null, this.#broken)
        this.#socket.destroy()
      }
    })
  }

  /** Nothing more is sent or read. */
  #end(): void {
    this.#reader.stop()
    this.#liveness.stop()
  }

  /** The connection is over. @param reason null where it just ended */
  #lost(reason: Reason | null, detail: string): void {
    if (this.#closed) return
    this.#closed = true
    this.#end()
    if (!this.#connected) {
      this.#socket.destroy()
      const message = `${this.#options.authority}: no HTTP/2: ${detail}`
      this.#owner.connectFailed(new GatewayError('ConnectFailure', message))
      return
    }
    this.#owner.closed()
    const streams = [...this.#streams.values()]
    this.#streams.clear()
    for (const stream of streams) stream.lost(reason, detail)
    this.#reader.endBatch()
  }
}
