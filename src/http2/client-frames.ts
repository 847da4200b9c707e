/**
 * What a client's frames do to its HTTP/2 connection and to the streams on it (RFC 9113 §5.1, §6): requests begin and
 * end, windows open, settings change. Everything that is of no use by itself is counted against the client.
 */
import { DEFAULT_WINDOW, ReceiveWindow } from '../http/flow-control.ts'
import type { FrameSink } from '../http/frame-sink.ts'
import { ErrorCode, errorName, Setting } from '../http/frames.ts'
import { HeaderSection, REQUEST_SECTION, TRAILER_SECTION } from '../http/header-section.ts'
import { HpackDecoder } from '../http/hpack-decoder.ts'
import { DECODED, type Decoding, UNDECODABLE } from '../http/section-builder.ts'
import { PeerSettings } from '../http/settings.ts'
import { dropForbiddenTrailers } from '../http/trailer-fields.ts'
import { GatewayError } from '../lib/error.ts'
import type { Fields } from '../message/fields.ts'
import type { ServerContext } from '../socket/server-context.ts'
import type { IncomingRequest } from '../transport/downstream.ts'
import type { ControlOutput } from './control-output.ts'
import { H2Stream, type StreamCarrier } from './downstream-h2-stream.ts'
import type { FloodGuard } from './flood-guard.ts'
import { PriorityUpdates } from './priority-updates.ts'
import { MalformedRequest, sectionError, streamRequest } from './stream-request.ts'
import { IDLE, RESET, type StreamTable, UNKNOWN } from './stream-table.ts'

/**
 * Requests of one connection at a time. Libraries of gRPC put all calls of a process on one, where those over the limit
 * wait for others to end: for ever, if these wait for them.
 */
export const MAX_STREAMS = 1_024
/** Bytes of request bodies that may be on their way over all streams; what each may hold its own window bounds. */
export const CONNECTION_WINDOW = 1024 * 1024
/** So many settings in a frame cost a client as much as one more frame. */
const SETTINGS_FOR_FRAME = 8

/** The connection, as its client's frames change it. */
export interface FramedConnection extends StreamCarrier {
  readonly server: ServerContext
  readonly control: ControlOutput
  readonly guard: FloodGuard
  readonly streams: StreamTable
  /** Streams above this one are not served any more; -1: all are. */
  readonly lastServed: number
  /** A request has come. */
  open(stream: H2Stream): void
  /** A stream ends without a frame of ours. */
  closed(stream: H2Stream): void
  /** The first SETTINGS of the client have come. */
  settled(): void
  /** Ours are in force. */
  settingsAcknowledged(): void
  pingAcknowledged(): void
  /** Some frames that cost a client nothing. */
  charge(cost: number): void
  /** WINDOW_UPDATE, which is of use where DATA was sent. */
  chargeUpdate(): void
  /** The connection ends with GOAWAY. */
  fail(code: ErrorCode, detail: string): void
}

const SECTION = new HeaderSection()

export class ClientFrames implements FrameSink {
  readonly #connection: FramedConnection
  readonly #decoder = new HpackDecoder()
  readonly #settings = new PeerSettings()
  readonly #priorities = new PriorityUpdates()
  readonly #window = new ReceiveWindow(CONNECTION_WINDOW)
  /** Of the SETTINGS frame that is being read: how many there are, and the initial window before it. */
  #settingsCount = 0
  #initialWindow = DEFAULT_WINDOW
  /** Whose DATA frame is being read; null where nobody wants it. */
  #data: H2Stream | null = null
  #dataLength = 0

  constructor(connection: FramedConnection) {
    this.#connection = connection
  }

  // ---- requests ----

  onFieldBlock(id: number, endStream: boolean, bytes: Buffer, start: number, end: number, fault: string): void {
    const { streams, server, lastServed } = this.#connection
    const open = streams.get(id)
    const kind = open === undefined ? REQUEST_SECTION : TRAILER_SECTION
    const result = this.#decoder.decode(bytes, start, end, kind, server.options.limits, SECTION)
    if (result === UNDECODABLE) return this.#undecodable()
    if (open !== undefined) return this.#trailers(open, endStream, result, fault)
    const state = streams.stateOf(id)
    if (state !== IDLE) return this.#lateRequest(state)
    streams.last = id
    if (lastServed >= 0) {
      // It crossed the last GOAWAY, by which the client knows that it was not served (RFC 9113 §6.8).
      streams.remember(id, true)
      this.#connection.charge(1)
    } else if (streams.size >= MAX_STREAMS || streams.headsExceed(SECTION.fields.end, server.heldLimit))
      this.#refuse(id)
    else this.#request(id, endStream, result, fault)
  }

  #undecodable(): void {
    const code = SECTION.excessive ? ErrorCode.ENHANCE_YOUR_CALM : ErrorCode.COMPRESSION_ERROR
    this.#connection.fail(code, SECTION.fault)
  }

  #request(id: number, endStream: boolean, result: Decoding, fault: string): void {
    const connection = this.#connection
    const { requests, options } = connection.server
    const stream = new H2Stream(connection, id, this.#settings.initialWindowSize, endStream, SECTION.method)
    stream.headBytes = SECTION.fields.end
    connection.open(stream)
    let request: IncomingRequest | GatewayError
    if (fault !== '') request = new MalformedRequest(fault)
    else if (result !== DECODED) request = sectionError(result, SECTION.fault)
    else request = streamRequest(SECTION, endStream, options.limits, stream)
    if (request instanceof GatewayError) return this.#answerRefusal(stream, request)
    this.#priorities.apply(id, stream)
    stream.begin(requests, request)
    // Where the exchange goes on, the next head is decoded into the same buffer.
    if (!stream.over && !SECTION.lasting) request.fields.detach()
  }

  #answerRefusal(stream: H2Stream, error: GatewayError): void {
    const { peer, server } = this.#connection
    const { method = '', path = '' } = SECTION
    const response = server.requests.refused(peer, error, { protocol: 'HTTP/2', method, target: path })
    if (!(error instanceof MalformedRequest)) return stream.refuse(response, null)
    stream.refuse(response, ErrorCode.PROTOCOL_ERROR)
    this.#countReset('too many requests that break the protocol')
  }

  /** Over the limit of streams: it has provably not been looked at. */
  #refuse(id: number): void {
    this.#connection.streams.remember(id, true)
    this.#connection.control.reset(id, ErrorCode.REFUSED_STREAM)
    this.#countReset('too many requests over the limit of streams')
  }

  #lateRequest(state: number): void {
    const connection = this.#connection
    if (state === RESET) connection.charge(1)
    else if (state === UNKNOWN) connection.fail(ErrorCode.PROTOCOL_ERROR, 'HEADERS on a stream below the last one')
    else connection.fail(ErrorCode.STREAM_CLOSED, 'HEADERS on a closed stream')
  }

  #trailers(stream: H2Stream, endStream: boolean, result: Decoding, fault: string): void {
    const { fields } = SECTION
    const wrong = result === DECODED ? fault : sectionError(result, SECTION.fault).message
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
    const { streams, control } = this.#connection
    this.#data = null
    this.#dataLength = length - padding
    if (!this.#window.receive(length))
      return this.#connection.fail(ErrorCode.FLOW_CONTROL_ERROR, 'more DATA than the window of the connection')
    const increment = this.#window.consume(length)
    if (increment > 0) control.windowUpdate(0, increment)
    const stream = streams.get(id)
    if (stream === undefined) return this.#closedStream(id)
    if (stream.remoteEnded) return this.#streamError(stream, ErrorCode.STREAM_CLOSED, 'DATA behind END_STREAM')
    if (!stream.receiveFrame(length, padding))
      return this.#streamError(stream, ErrorCode.FLOW_CONTROL_ERROR, 'more DATA than the window of the stream')
    this.#data = stream
  }

  /** DATA on a stream that is not open. */
  #closedStream(id: number): void {
    const { streams, control } = this.#connection
    const state = streams.stateOf(id)
    if (state === IDLE) return this.#connection.fail(ErrorCode.PROTOCOL_ERROR, 'DATA on an idle stream')
    if (state !== RESET) control.reset(id, ErrorCode.STREAM_CLOSED)
    // Data that was on its way when we reset the stream is no fault of the client's.
    if (state !== RESET || this.#dataLength === 0) this.#connection.charge(1)
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
    if (stream === null) return
    if (this.#dataLength > 0) this.#connection.guard.data()
    else if (!endStream) this.#connection.charge(1)
    if (endStream && !stream.gone) this.#endRequest(stream, null)
  }

  onReset(id: number, code: number): void {
    const connection = this.#connection
    const stream = connection.streams.get(id)
    if (stream === undefined) {
      if (connection.streams.stateOf(id) === IDLE)
        connection.fail(ErrorCode.PROTOCOL_ERROR, 'RST_STREAM on an idle stream')
      else connection.charge(1)
      return
    }
    const { sentEnd } = stream
    connection.closed(stream)
    stream.vanish(`the client reset the stream: ${errorName(code)}`, null)
    if (!sentEnd) this.#countReset('too many requests were given up')
  }

  // ---- flow control and settings ----

  onWindowUpdate(id: number, increment: number): void {
    const connection = this.#connection
    const { schedule, streams } = connection
    connection.chargeUpdate()
    if (id === 0) {
      if (!schedule.widen(increment))
        return connection.fail(ErrorCode.FLOW_CONTROL_ERROR, 'the window of the connection is too large')
    } else {
      const stream = streams.get(id)
      if (stream === undefined) {
        if (streams.stateOf(id) === IDLE) connection.fail(ErrorCode.PROTOCOL_ERROR, 'WINDOW_UPDATE on an idle stream')
        return
      }
      if (!schedule.widenStream(stream, increment))
        return this.#streamError(stream, ErrorCode.FLOW_CONTROL_ERROR, 'the window of the stream is too large')
    }
    schedule.pump()
  }

  onSetting(id: number, value: number): void {
    const fault = this.#settings.apply(id, value, 'server')
    if (fault !== null) return this.#connection.fail(fault.code, fault.detail)
    if (id === Setting.HEADER_TABLE_SIZE) this.#connection.headers.allowTableSize(value)
    this.#settingsCount++
  }

  onSettingsEnd(): void {
    const connection = this.#connection
    connection.settled()
    connection.charge(1 + this.#settingsCount / SETTINGS_FOR_FRAME)
    this.#settingsCount = 0
    const by = this.#settings.initialWindowSize - this.#initialWindow
    this.#initialWindow += by
    if (by !== 0)
      for (const stream of connection.streams)
        if (!connection.schedule.widenStream(stream, by))
          return connection.fail(ErrorCode.FLOW_CONTROL_ERROR, 'SETTINGS make the window of a stream too large')
    connection.control.settingsAck()
    if (by > 0) connection.schedule.pump()
  }

  onSettingsAck(): void {
    this.#connection.settingsAcknowledged()
    this.#connection.charge(1)
  }

  // ---- other frames ----

  onPing(bytes: Buffer, at: number): void {
    this.#connection.control.ping(true, bytes, at)
    this.#connection.charge(1)
  }

  onPingAck(): void {
    this.#connection.pingAcknowledged()
    this.#connection.charge(1)
  }

  onPriority(): void {
    this.#connection.charge(1)
  }

  onPriorityUpdate(id: number, bytes: Buffer, start: number, end: number): void {
    const connection = this.#connection
    connection.charge(1)
    if (id % 2 === 0) return connection.fail(ErrorCode.PROTOCOL_ERROR, 'PRIORITY_UPDATE of a pushed stream')
    const text = bytes.latin1Slice(start, end)
    const stream = connection.streams.get(id)
    if (stream !== undefined) stream.reprioritize(text)
    else if (connection.streams.stateOf(id) === IDLE) this.#priorities.keep(id, text)
  }

  onUnknownFrame(): void {
    this.#connection.charge(1)
  }

  /** The client opens no more streams, and none are pushed. */
  onGoaway(): void {
    this.#connection.charge(1)
  }

  // ---- errors ----

  onStreamError(id: number, code: ErrorCode, detail: string): void {
    const connection = this.#connection
    const stream = connection.streams.get(id)
    if (stream !== undefined) return this.#streamError(stream, code, detail)
    const state = connection.streams.stateOf(id)
    // RST_STREAM must not be sent on a stream that the client never opened (RFC 9113 §6.4).
    if (state === IDLE || state === UNKNOWN) return connection.fail(code, detail)
    // The fault is the same whether our response, which closes the stream, is complete by now or not (RFC 9113 §6.3).
    if (state !== RESET) {
      connection.control.reset(id, code)
      connection.streams.remember(id, true)
    }
    connection.charge(1)
  }

  #streamError(stream: H2Stream, code: ErrorCode, detail: string): void {
    this.#streamFails(stream, code, new GatewayError('BadRequest', detail))
  }

  #streamFails(stream: H2Stream, code: ErrorCode, error: GatewayError): void {
    this.#data = null
    stream.fail(error, code)
    this.#countReset('too many requests that break the protocol')
  }

  /** Also those that end by an error of ours which the client provokes (CVE-2025-8671). */
  #countReset(detail: string): void {
    if (!this.#connection.guard.reset()) this.#connection.fail(ErrorCode.ENHANCE_YOUR_CALM, detail)
  }

  onConnectionError(code: ErrorCode, detail: string): void {
    this.#connection.fail(code, detail)
  }
}

function hasFields(fields: Fields): boolean {
  for (let i = 0; i < fields.count; i++) if (!fields.isRemoved(i)) return true
  return false
}
