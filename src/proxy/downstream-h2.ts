/**
 * A client's HTTP/2 connection (RFC 9113): reads frames, opens a stream for each request, and ends with GOAWAY. Streams
 * are in downstream-h2-stream.ts; what they send is ordered by the schedule and leaves once in a turn of the loop.
 */
import type { Socket } from 'node:net'
import { DEFAULT_WINDOW, ReceiveWindow } from '../http/flow-control.ts'
import { FrameReader } from '../http/frame-reader.ts'
import type { FrameSink } from '../http/frame-sink.ts'
import { DEFAULT_FRAME_SIZE, ErrorCode, errorName, LAST_STREAM_ID, Setting } from '../http/frames.ts'
import { HeaderSection, REQUEST_SECTION, TRAILER_SECTION } from '../http/header-section.ts'
import { HpackDecoder } from '../http/hpack-decoder.ts'
import { DECODED, UNDECODABLE } from '../http/section-builder.ts'
import { PeerSettings } from '../http/settings.ts'
import { dropForbiddenTrailers } from '../http/trailer-fields.ts'
import { GatewayError } from '../lib/error.ts'
import type { Fields } from '../message/fields.ts'
import type { Peer } from '../transport/peer.ts'
import { TimerEntry } from '../transport/timers.ts'
import { ControlOutput } from './control-output.ts'
import { H2Stream, type StreamCarrier } from './downstream-h2-stream.ts'
import { FloodGuard } from './flood-guard.ts'
import { FrameOutput } from './frame-output.ts'
import { H2Deadlines } from './h2-deadlines.ts'
import { HeaderOutput } from './header-output.ts'
import { LingeringClose } from './lingering-close.ts'
import { PriorityUpdates } from './priority-updates.ts'
import { type ScheduleOwner, SendSchedule } from './send-schedule.ts'
import type { SendingStream } from './sending-stream.ts'
import type { OpenConnection, ServerContext } from './server-context.ts'
import { MalformedRequest, sectionError, streamRequest } from './stream-request.ts'
import { IDLE, RESET, StreamTable, UNKNOWN } from './stream-table.ts'

/** Requests of one connection at a time. */
export const MAX_STREAMS = 128
/** Bytes of request bodies that may be on their way over all streams; what each may hold its own window bounds. */
const CONNECTION_WINDOW = 1024 * 1024
/** So many settings in a frame cost a client as much as one more frame. */
const SETTINGS_FOR_FRAME = 8

const SECTION = new HeaderSection()

export class H2Connection extends TimerEntry implements FrameSink, StreamCarrier, ScheduleOwner, OpenConnection {
  readonly peer: Peer
  readonly output: FrameOutput
  readonly headers: HeaderOutput
  readonly schedule: SendSchedule
  readonly #socket: Socket
  readonly #server: ServerContext
  readonly #reader: FrameReader
  readonly #decoder = new HpackDecoder()
  readonly #control: ControlOutput
  readonly #settings = new PeerSettings()
  readonly #guard: FloodGuard
  readonly #streams = new StreamTable()
  readonly #priorities = new PriorityUpdates()
  readonly #window = new ReceiveWindow(CONNECTION_WINDOW)
  readonly #deadlines: H2Deadlines
  /** Of the SETTINGS frame that is being read: its settings, and the initial window before it. */
  #settingsCount = 0
  #initialWindow = DEFAULT_WINDOW
  /** Whose DATA frame is being read; null where nobody wants it. */
  #data: H2Stream | null = null
  #dataLength = 0
  /** The last stream that the final GOAWAY names; -1 before it. */
  #lastServed = -1
  #halfClosed = false
  #closing: LingeringClose | null = null
  #gone = false

  /** @param open makes the socket whose bytes go to the given function */
  constructor(open: (receive: (bytes: Buffer) => void) => Socket, peer: Peer, server: ServerContext) {
    super()
    const socket = open((bytes) => this.#receive(bytes))
    const { timers, options } = server
    timers.touch()
    this.peer = peer
    this.#socket = socket
    this.#server = server
    this.output = new FrameOutput(socket)
    this.headers = new HeaderOutput(this.output)
    this.schedule = new SendSchedule(this.output, DEFAULT_WINDOW, this)
    this.#control = new ControlOutput(this.output)
    this.#guard = new FloodGuard(timers)
    this.#deadlines = new H2Deadlines(timers, options)
    this.#reader = new FrameReader(this, {
      role: 'server',
      maxFrameSize: DEFAULT_FRAME_SIZE,
      // One that is somewhat too large can still be answered with 431.
      maxFieldBlock: 2 * options.limits.head,
    })
    socket.on('end', () => this.#onEnd())
    socket.on('drain', () => this.schedule.pump())
    socket.on('error', (error) => this.#lost((error as NodeJS.ErrnoException).code ?? error.message))
    socket.on('close', () => this.#lost('closed'))
    server.connections.add(this)
    server.requests.connectionOpened(peer.listener)
    this.#control.settings([
      Setting.MAX_CONCURRENT_STREAMS,
      MAX_STREAMS,
      Setting.MAX_HEADER_LIST_SIZE,
      options.limits.head,
      Setting.ENABLE_CONNECT_PROTOCOL,
      1,
      Setting.NO_RFC7540_PRIORITIES,
      1,
    ])
    this.#control.windowUpdate(0, CONNECTION_WINDOW - DEFAULT_WINDOW)
    this.#watch()
  }

  #receive(bytes: Buffer): void {
    this.#server.timers.touch()
    if (this.#closing !== null) return this.#closing.drop(bytes.length)
    this.#deadlines.heard()
    this.#reader.push(bytes, 0, bytes.length)
    if (this.#deadlines.partial(this.#reader.partial)) this.#watch()
  }

  #watch(): void {
    if (this.#closing === null && !this.#gone)
      this.#server.timers.arm(this, this.#deadlines.next(this.#streams.size > 0))
  }

  get heldLimit(): number {
    return this.#server.heldLimit
  }

  get wall(): () => number {
    return this.#server.wall
  }

  // ---- requests ----

  onFieldBlock(id: number, endStream: boolean, bytes: Buffer, start: number, end: number, fault: string): void {
    const open = this.#streams.get(id)
    const section = SECTION
    const kind = open === undefined ? REQUEST_SECTION : TRAILER_SECTION
    const result = this.#decoder.decode(bytes, start, end, kind, this.#server.options.limits, section)
    if (result === UNDECODABLE) return this.#fail(ErrorCode.COMPRESSION_ERROR, section.fault)
    if (open !== undefined) {
      const wrong = result === DECODED ? fault : sectionError(result, section.fault).detail
      return this.#trailers(open, endStream, section.fields, wrong)
    }
    const state = this.#streams.stateOf(id)
    if (state === RESET) return this.#charge(1)
    if (state !== IDLE)
      return state === UNKNOWN
        ? this.#fail(ErrorCode.PROTOCOL_ERROR, 'a stream below the last one')
        : this.#fail(ErrorCode.STREAM_CLOSED, 'HEADERS on a closed stream')
    this.#streams.last = id
    if (this.#lastServed >= 0) {
      // It crossed the last GOAWAY, which tells the client that it was not served (RFC 9113 §6.8).
      this.#streams.remember(id, true)
      return this.#charge(1)
    }
    if (this.#streams.size >= MAX_STREAMS) return this.#refuse(id)
    const stream = new H2Stream(this, id, this.#settings.initialWindowSize, endStream, section.method)
    if (this.#streams.size === 0) this.#deadlines.busy()
    this.#streams.add(stream)
    if (this.#streams.size === 1) this.#watch()
    const request =
      fault !== ''
        ? new MalformedRequest(fault)
        : result === DECODED
          ? streamRequest(section, endStream, this.#server.options.limits, stream)
          : sectionError(result, section.fault)
    if (request instanceof GatewayError) return this.#answerRefusal(stream, request)
    this.#priorities.apply(id, stream)
    stream.begin(this.#server.requests, request)
    // The exchange goes on, and the next head is decoded into the same buffer.
    if (!stream.over && !section.lasting) request.fields.detach()
    if (this.peer.listener.leaving) this.drain()
  }

  /** Over the limit of streams: it has provably not been looked at. */
  #refuse(id: number): void {
    this.#streams.remember(id, true)
    this.#control.reset(id, ErrorCode.REFUSED_STREAM)
    if (!this.#guard.reset()) this.#calm('requests over the limit of streams')
  }

  #answerRefusal(stream: H2Stream, error: GatewayError): void {
    const { method = '', path = '' } = SECTION
    const response = this.#server.requests.refused(this.peer, error, { protocol: 'HTTP/2', method, target: path })
    stream.refuse(response, error instanceof MalformedRequest ? ErrorCode.PROTOCOL_ERROR : null)
  }

  #trailers(stream: H2Stream, endStream: boolean, fields: Fields, wrong: string): void {
    if (stream.remoteEnded) return this.#streamError(stream, ErrorCode.STREAM_CLOSED, 'HEADERS behind END_STREAM')
    if (wrong !== '') return this.#streamError(stream, ErrorCode.PROTOCOL_ERROR, `in the trailers: ${wrong}`)
    if (!endStream) return this.#streamError(stream, ErrorCode.PROTOCOL_ERROR, 'trailers without END_STREAM')
    dropForbiddenTrailers(fields)
    this.#endRequest(stream, hasFields(fields) ? fields : null)
  }

  #endRequest(stream: H2Stream, trailers: Fields | null): void {
    const error = stream.receiveEnd(trailers)
    if (error !== null) this.#streamFails(stream, ErrorCode.PROTOCOL_ERROR, error)
  }

  onDataFrame(id: number, length: number, padding: number): void {
    this.#data = null
    this.#dataLength = length - padding
    if (!this.#window.receive(length))
      return this.#fail(ErrorCode.FLOW_CONTROL_ERROR, 'more DATA than the window of the connection')
    const increment = this.#window.consume(length)
    if (increment > 0) this.#control.windowUpdate(0, increment)
    const stream = this.#streams.get(id)
    if (stream === undefined) return this.#closedStream(id, 'DATA')
    if (stream.remoteEnded) return this.#streamError(stream, ErrorCode.STREAM_CLOSED, 'DATA behind END_STREAM')
    if (!stream.receiveFrame(length, padding))
      return this.#streamError(stream, ErrorCode.FLOW_CONTROL_ERROR, 'more DATA than the window of the stream')
    this.#data = stream
  }

  onData(bytes: Buffer, start: number, end: number): void {
    const stream = this.#data
    if (stream === null || stream.gone) return
    const error = stream.receive(bytes, start, end)
    if (error === null) return
    const code = error.reason === 'MemoryLimit' ? ErrorCode.ENHANCE_YOUR_CALM : ErrorCode.PROTOCOL_ERROR
    this.#streamFails(stream, code, error)
  }

  onDataEnd(endStream: boolean): void {
    const stream = this.#data
    this.#data = null
    if (stream === null || stream.gone) return
    if (this.#dataLength > 0) this.#guard.data()
    else if (!endStream) this.#charge(1)
    if (endStream && !stream.gone) this.#endRequest(stream, null)
  }

  onReset(id: number, code: number): void {
    const stream = this.#streams.get(id)
    if (stream === undefined) {
      if (this.#streams.stateOf(id) === IDLE) this.#fail(ErrorCode.PROTOCOL_ERROR, 'RST_STREAM on an idle stream')
      else this.#charge(1)
      return
    }
    this.#forget(stream, false)
    stream.vanish(`the client reset the stream: ${errorName(code)}`, null)
    if (!stream.sentEnd && !this.#guard.reset()) this.#calm('too many requests were given up')
  }

  /** A frame on a stream that is not open. */
  #closedStream(id: number, type: string): void {
    const state = this.#streams.stateOf(id)
    if (state === IDLE) return this.#fail(ErrorCode.PROTOCOL_ERROR, `${type} on an idle stream`)
    if (state !== RESET) this.#control.reset(id, ErrorCode.STREAM_CLOSED)
    this.#charge(1)
  }

  // ---- flow control and settings ----

  onWindowUpdate(id: number, increment: number): void {
    this.#charge(1)
    if (id === 0) {
      if (!this.schedule.widen(increment))
        return this.#fail(ErrorCode.FLOW_CONTROL_ERROR, 'the window of the connection is too large')
    } else {
      const stream = this.#streams.get(id)
      if (stream === undefined) {
        if (this.#streams.stateOf(id) === IDLE) this.#fail(ErrorCode.PROTOCOL_ERROR, 'WINDOW_UPDATE on an idle stream')
        return
      }
      if (!this.schedule.widenStream(stream, increment))
        return this.#streamError(stream, ErrorCode.FLOW_CONTROL_ERROR, 'the window of the stream is too large')
    }
    this.schedule.pump()
  }

  onSetting(id: number, value: number): void {
    const fault = this.#settings.apply(id, value, 'server')
    if (fault !== null) return this.#fail(fault.code, fault.detail)
    if (id === Setting.HEADER_TABLE_SIZE) this.headers.allowTableSize(value)
    this.#settingsCount++
  }

  onSettingsEnd(): void {
    this.#deadlines.settled()
    this.#charge(1 + this.#settingsCount / SETTINGS_FOR_FRAME)
    this.#settingsCount = 0
    const { initialWindowSize } = this.#settings
    const by = initialWindowSize - this.#initialWindow
    this.#initialWindow = initialWindowSize
    if (by !== 0)
      for (const stream of this.#streams)
        if (!this.schedule.widenStream(stream, by))
          return this.#fail(ErrorCode.FLOW_CONTROL_ERROR, 'SETTINGS make the window of a stream too large')
    this.#control.settingsAck()
    if (by > 0) this.schedule.pump()
  }

  onSettingsAck(): void {
    this.#deadlines.acknowledged()
    this.#charge(1)
  }

  // ---- other frames ----

  onPing(bytes: Buffer, at: number): void {
    this.#control.ping(true, bytes, at)
    this.#charge(1)
  }

  onPingAck(): void {
    this.#charge(1)
    if (this.#deadlines.leaving) this.#leave()
  }

  onPriority(): void {
    this.#charge(1)
  }

  onPriorityUpdate(id: number, bytes: Buffer, start: number, end: number): void {
    this.#charge(1)
    if (id % 2 === 0) return this.#fail(ErrorCode.PROTOCOL_ERROR, 'PRIORITY_UPDATE of a stream that cannot be')
    const text = bytes.latin1Slice(start, end)
    const stream = this.#streams.get(id)
    if (stream !== undefined) stream.reprioritize(text)
    else if (this.#streams.stateOf(id) === IDLE) this.#priorities.keep(id, text)
  }

  onUnknownFrame(): void {
    this.#charge(1)
  }

  /** The client opens no more streams, and none are pushed. */
  onGoaway(): void {
    this.#charge(1)
  }

  sentData(cramped: boolean): void {
    if (cramped) this.#charge(1)
    else this.#guard.data()
  }

  writeTrailers(stream: SendingStream, trailers: Fields): void {
    this.headers.write(stream, 0, trailers, 0, -1, true)
  }

  windowUpdate(stream: number, increment: number): void {
    this.#control.windowUpdate(stream, increment)
  }

  // ---- the end of streams ----

  onStreamError(id: number, code: ErrorCode, detail: string): void {
    const stream = this.#streams.get(id)
    if (stream !== undefined) this.#streamError(stream, code, detail)
    else if (this.#streams.stateOf(id) === IDLE) this.#fail(code, detail)
    else this.#charge(1)
  }

  #streamError(stream: H2Stream, code: ErrorCode, detail: string): void {
    this.#streamFails(stream, code, new GatewayError('BadRequest', detail))
  }

  #streamFails(stream: H2Stream, code: ErrorCode, error: GatewayError): void {
    this.#data = null
    stream.fail(error, code)
    if (!this.#guard.reset()) this.#calm('too many requests that break the protocol')
  }

  reset(stream: H2Stream, code: ErrorCode): void {
    if (!this.#gone) this.#control.reset(stream.id, code)
    this.#forget(stream, true)
  }

  closed(stream: H2Stream): void {
    this.#forget(stream, false)
  }

  answered(): void {
    this.#guard.answered()
    if (this.peer.listener.leaving) this.drain()
  }

  #forget(stream: H2Stream, reset: boolean): void {
    if (!this.#streams.close(stream.id, reset)) return
    stream.close()
    if (this.#streams.size > 0) return
    this.#deadlines.idle()
    if (this.#lastServed >= 0 || this.#halfClosed) this.#linger()
    else this.#watch()
  }

  // ---- the end of the connection ----

  /** In two steps, so that a request that is on its way is served: all streams first, then the last that has come. */
  drain(): void {
    if (this.#closing !== null || this.#gone || this.#lastServed >= 0 || this.#deadlines.leaving) return
    this.#control.goaway(LAST_STREAM_ID, ErrorCode.NO_ERROR, '')
    this.#control.ping(false, PING_DATA, 0)
    this.#deadlines.goaway()
    this.#watch()
  }

  /** No further request is served. */
  #leave(): void {
    this.#deadlines.left()
    this.#lastServed = this.#streams.last
    this.#control.goaway(this.#lastServed, ErrorCode.NO_ERROR, '')
    if (this.#streams.size === 0) this.#linger()
    else this.#watch()
  }

  /** Some of the frames that cost a client nothing. */
  #charge(cost: number): void {
    if (!this.#guard.idleFrame(cost)) this.#calm('too many frames that carry nothing')
  }

  #calm(detail: string): void {
    this.#fail(ErrorCode.ENHANCE_YOUR_CALM, detail)
  }

  onConnectionError(code: ErrorCode, detail: string): void {
    this.#fail(code, detail)
  }

  #fail(code: ErrorCode, detail: string): void {
    if (this.#closing !== null || this.#gone) return
    this.#reader.stop()
    this.#control.goaway(this.#streams.last, code, detail)
    this.#linger()
    this.#vanish(`${errorName(code)}: ${detail}`, null)
  }

  /** All streams end with the connection. */
  #vanish(detail: string, error: GatewayError | null): void {
    for (const stream of this.#streams) {
      this.#streams.close(stream.id, true)
      stream.close()
      stream.vanish(detail, error)
    }
  }

  #linger(): void {
    if (this.#closing !== null || this.#gone) return
    const { timers, options } = this.#server
    this.output.end()
    timers.disarm(this)
    this.#closing = new LingeringClose(this.#socket, timers, options.keepAlive, () => this.#socket.destroy())
  }

  #onEnd(): void {
    this.#halfClosed = true
    for (const stream of this.#streams)
      if (!stream.remoteEnded) {
        this.#forget(stream, false)
        stream.vanish('the client ended the connection within the request', null)
      }
    if (this.#streams.size === 0) this.#linger()
  }

  destroy(): void {
    for (const stream of this.#streams) stream.shutDown()
    this.output.flush()
    this.#socket.destroy()
    this.#lost('cut')
  }

  #lost(detail: string): void {
    if (this.#gone) return
    this.#gone = true
    this.#reader.stop()
    const { timers, connections, requests } = this.#server
    this.#closing?.done()
    timers.disarm(this)
    connections.delete(this)
    requests.connectionClosed(this.peer.listener)
    if (!this.#socket.destroyed) this.#socket.destroy()
    this.#vanish(detail, null)
  }

  expired(): void {
    switch (this.#deadlines.overdue(this.#streams.size > 0)) {
      case 'settings':
        return this.#fail(ErrorCode.PROTOCOL_ERROR, 'no SETTINGS in time')
      case 'head':
        return this.#fail(ErrorCode.PROTOCOL_ERROR, 'a frame that did not arrive in time')
      case 'acknowledgement':
        return this.#fail(ErrorCode.SETTINGS_TIMEOUT, 'SETTINGS were not acknowledged')
      case 'ping':
        return this.#socket.destroy() && undefined
      case 'goaway':
      case 'idle':
        return this.#leave()
      case 'look':
        this.#look()
    }
    this.#watch()
  }

  /** Streams are open: does the client still live, and does it take what it has asked for? */
  #look(): void {
    this.#deadlines.busy()
    if (this.output.stuck) return void this.#socket.destroy()
    if (this.output.room)
      for (const stream of this.#streams) if (stream.stuck) this.reset(stream, ErrorCode.ENHANCE_YOUR_CALM)
    if (this.#deadlines.silent) {
      this.#control.ping(false, PING_DATA, 0)
      this.#deadlines.pinged()
    }
  }
}

const PING_DATA = Buffer.from('headgate', 'latin1')

function hasFields(fields: Fields): boolean {
  for (let i = 0; i < fields.count; i++) if (!fields.isRemoved(i)) return true
  return false
}
