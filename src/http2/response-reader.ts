/** Reads what the peer of an HTTP/2 connection to an endpoint sends, and gives it to the streams. */
import { DEFAULT_WINDOW, ReceiveWindow } from '../http/flow-control.ts'
import { FrameReader } from '../http/frame-reader.ts'
import type { FrameSink } from '../http/frame-sink.ts'
import { DEFAULT_FRAME_SIZE, ErrorCode, Setting } from '../http/frames.ts'
import { HeaderSection, RESPONSE_SECTION, TRAILER_SECTION } from '../http/header-section.ts'
import { HpackDecoder } from '../http/hpack-decoder.ts'
import { DECODED, type Decoding, MALFORMED, UNDECODABLE } from '../http/section-builder.ts'
import { PeerSettings } from '../http/settings.ts'
import type { HeadLimits } from '../message/head.ts'
import type { Timers } from '../transport/timers.ts'
import type { UpstreamHandler } from '../transport/upstream.ts'
import { FloodGuard } from './flood-guard.ts'
import type { SessionStream } from './upstream-h2-stream.ts'

/** Bytes that all streams together may receive ahead; each is held to its own window. */
export const CONNECTION_WINDOW = 16 * 1024 * 1024
/** Characters of the debug data of GOAWAY that go into a log. */
const MAX_DEBUG = 100
/** Filled in for each field block. */
const SECTION = new HeaderSection()

/** The connection, as its reader uses it. */
export interface ResponseOwner {
  stream(id: number): SessionStream | undefined
  /** Whether the stream was ever opened, and whether it was reset by us. */
  wasOpened(id: number): boolean
  wasReset(id: number): boolean
  /** RST_STREAM for a stream that is closed: the peer goes on with it, and wrongly. */
  resetClosed(id: number, code: ErrorCode): void
  /** SETTINGS_HEADER_TABLE_SIZE of the peer. */
  tableSize(size: number): void
  /** SETTINGS has come and is to be acknowledged. @param windowBy by how much new windows of streams differ */
  settings(first: boolean, windowBy: number): void
  pingAck(bytes: Buffer, at: number): void
  /** The peer takes more. @param stream 0 = the connection. @returns false: FLOW_CONTROL_ERROR */
  widen(stream: SessionStream | null, increment: number): boolean
  windowUpdate(stream: number, increment: number): void
  /** The peer resets the stream with REFUSED_STREAM; it has not been told yet. */
  refused(stream: SessionStream): void
  goaway(lastStream: number, code: number, debug: string): void
  /** The peer has broken a rule of the connection. */
  fault(code: ErrorCode, detail: string): void
}

export class ResponseReader implements FrameSink {
  readonly #owner: ResponseOwner
  readonly #limits: { readonly limits: HeadLimits }
  readonly #frames: FrameReader
  readonly #decoder = new HpackDecoder()
  readonly #guard: FloodGuard
  readonly #window = new ReceiveWindow(DEFAULT_WINDOW)
  readonly peer = new PeerSettings()
  #settled = false
  /** What new streams may send, before the SETTINGS that are being read. */
  #windowBefore = DEFAULT_WINDOW
  /** Whose DATA frame is being read; null where nobody wants it. */
  #dataStream: SessionStream | null = null
  #dataEmpty = false
  /** Handlers that have got something of this read, and their streams. */
  #batch: UpstreamHandler[] = []
  #batchStreams: SessionStream[] = []

  constructor(owner: ResponseOwner, limits: { readonly limits: HeadLimits }, timers: Timers) {
    this.#owner = owner
    this.#limits = limits
    this.#guard = new FloodGuard(timers)
    this.#frames = new FrameReader(this, {
      role: 'client',
      maxFrameSize: DEFAULT_FRAME_SIZE,
      // What is somewhat too large costs its stream, what is far too large the connection.
      maxFieldBlock: 2 * limits.limits.head,
    })
  }

  /** @returns the increment that our connection window begins with, besides the default */
  open(): number {
    return this.#window.grow(CONNECTION_WINDOW)
  }

  push(bytes: Buffer, length: number): void {
    this.#frames.push(bytes, 0, length)
    this.endBatch()
  }

  stop(): void {
    this.#frames.stop()
  }

  // ---- batches ----

  batched(stream: SessionStream, handler: UpstreamHandler): void {
    if (stream.inBatch) return
    stream.inBatch = true
    this.#batch.push(handler)
    this.#batchStreams.push(stream)
  }

  /** The bytes of this read have been delivered. */
  endBatch(): void {
    const handlers = this.#batch
    const streams = this.#batchStreams
    if (handlers.length === 0) return
    // A handler may cause another batch.
    this.#batch = []
    this.#batchStreams = []
    for (const stream of streams) stream.inBatch = false
    for (const handler of handlers) handler.onBatchEnd()
  }

  /** @param cramped cut short by a tiny window of the peer */
  sentData(length: number, cramped: boolean): void {
    if (!this.#guard.sentData(length, cramped)) this.#flooded()
  }

  /** A frame that is of no use by itself. */
  #idleFrame(): void {
    if (!this.#guard.idleFrame(1)) this.#flooded()
  }

  #flooded(): void {
    this.#owner.fault(ErrorCode.ENHANCE_YOUR_CALM, 'too many frames without use')
  }

  // ---- DATA ----

  onDataFrame(id: number, length: number, padding: number): void {
    const owner = this.#owner
    this.#dataStream = null
    this.#dataEmpty = length === padding
    if (!this.#window.receive(length)) return owner.fault(ErrorCode.FLOW_CONTROL_ERROR, 'over the window')
    // Each stream is held to a window of its own, and one that is not read must not stop the others.
    const increment = this.#window.consume(length)
    if (increment > 0) owner.windowUpdate(0, increment)
    const stream = this.#expect(id, 'DATA')
    if (stream === undefined) return
    if (stream.receiveFrame(length, padding)) this.#dataStream = stream
    else stream.violate(ErrorCode.FLOW_CONTROL_ERROR, 'UpstreamProtocolError', 'over the window of the stream')
  }

  onData(bytes: Buffer, start: number, end: number): void {
    this.#dataStream?.receive(bytes, start, end)
  }

  onDataEnd(endStream: boolean): void {
    if (!this.#dataEmpty) this.#guard.data()
    else if (!endStream) this.#idleFrame()
    const stream = this.#dataStream
    this.#dataStream = null
    if (endStream) stream?.endResponse(null)
  }

  /** The stream of a frame with content; undefined where nobody wants it. */
  #expect(id: number, what: string): SessionStream | undefined {
    const owner = this.#owner
    const stream = owner.stream(id)
    if (stream !== undefined && !stream.remoteEnded) return stream
    if (stream !== undefined) stream.violate(ErrorCode.STREAM_CLOSED, 'UpstreamProtocolError', `${what} behind its end`)
    else if (!owner.wasOpened(id)) owner.fault(ErrorCode.PROTOCOL_ERROR, `${what} on stream ${id}, which is idle`)
    else if (!owner.wasReset(id)) owner.fault(ErrorCode.STREAM_CLOSED, `${what} on stream ${id}, which is closed`)
    return undefined
  }

  // ---- field blocks ----

  onFieldBlock(id: number, ended: boolean, bytes: Buffer, start: number, end: number, fault: string): void {
    const stream = this.#owner.stream(id)
    const kind = stream === undefined || stream.awaitsHead ? RESPONSE_SECTION : TRAILER_SECTION
    const section = SECTION
    const result = this.#decoder.decode(bytes, start, end, kind, this.#limits.limits, section)
    if (result === UNDECODABLE) {
      const code = section.excessive ? ErrorCode.ENHANCE_YOUR_CALM : ErrorCode.COMPRESSION_ERROR
      return this.#owner.fault(code, section.fault)
    }
    const expected = this.#expect(id, 'HEADERS')
    if (expected === undefined) return
    if (result !== DECODED) this.#refuse(expected, result, section.fault)
    else if (fault !== '') expected.malformed(fault)
    else if (kind === RESPONSE_SECTION) {
      expected.head(section, ended)
      if (ended) this.#guard.answered()
    } else if (ended) {
      expected.endResponse(section.fields)
      this.#guard.answered()
    } else expected.malformed('trailers that do not end the stream')
  }

  #refuse(stream: SessionStream, result: Decoding, fault: string): void {
    if (result === MALFORMED) stream.malformed(fault)
    else
      stream.violate(
        ErrorCode.CANCEL,
        'UpstreamHeadTooLarge',
        `over ${this.#limits.limits.head} bytes or too many fields`,
      )
  }

  // ---- of a stream ----

  onReset(id: number, code: number): void {
    const stream = this.#owner.stream(id)
    if (stream === undefined) {
      if (!this.#owner.wasOpened(id))
        this.#owner.fault(ErrorCode.PROTOCOL_ERROR, `RST_STREAM of stream ${id}, which is idle`)
      else this.#idleFrame()
      return
    }
    if (code === ErrorCode.REFUSED_STREAM) this.#owner.refused(stream)
    stream.remoteReset(code)
  }

  onWindowUpdate(id: number, increment: number): void {
    if (!this.#guard.windowUpdate()) this.#flooded()
    const owner = this.#owner
    const stream = id === 0 ? null : owner.stream(id)
    if (stream === undefined) {
      if (!owner.wasOpened(id)) owner.fault(ErrorCode.PROTOCOL_ERROR, `WINDOW_UPDATE of stream ${id}, which is idle`)
    } else if (owner.widen(stream, increment)) return
    else if (stream === null) owner.fault(ErrorCode.FLOW_CONTROL_ERROR, 'a window above 2^31-1')
    else stream.violate(ErrorCode.FLOW_CONTROL_ERROR, 'UpstreamProtocolError', 'a window above 2^31-1')
  }

  onStreamError(id: number, code: ErrorCode, detail: string): void {
    const stream = this.#owner.stream(id)
    if (stream !== undefined) stream.violate(code, 'UpstreamProtocolError', detail)
    else if (!this.#owner.wasOpened(id))
      this.#owner.fault(ErrorCode.PROTOCOL_ERROR, `a frame of stream ${id}, which is idle`)
    else {
      if (!this.#owner.wasReset(id)) this.#owner.resetClosed(id, code)
      this.#idleFrame()
    }
  }

  onPriority(): void {
    this.#idleFrame()
  }

  onPriorityUpdate(): void {
    this.#idleFrame()
  }

  onUnknownFrame(): void {
    this.#idleFrame()
  }

  // ---- of the connection ----

  onSetting(id: number, value: number): void {
    const fault = this.peer.apply(id, value, 'client')
    if (fault !== null) this.#owner.fault(fault.code, fault.detail)
    // Each value, since the smallest must be announced (RFC 7541 §4.2).
    else if (id === Setting.HEADER_TABLE_SIZE) this.#owner.tableSize(value)
  }

  onSettingsEnd(): void {
    this.#idleFrame()
    const first = !this.#settled
    this.#settled = true
    const before = this.#windowBefore
    this.#windowBefore = this.peer.initialWindowSize
    this.#owner.settings(first, this.#windowBefore - before)
  }

  onSettingsAck(): void {
    this.#idleFrame()
  }

  onPing(bytes: Buffer, at: number): void {
    this.#idleFrame()
    this.#owner.pingAck(bytes, at)
  }

  onPingAck(): void {
    this.#idleFrame()
  }

  onGoaway(lastStream: number, code: number, bytes: Buffer, start: number, end: number): void {
    this.#idleFrame()
    // For a log, where it must not look like anything else.
    const debug = bytes.latin1Slice(start, Math.min(end, start + MAX_DEBUG)).replace(/[^\x20-\x7e]/g, '?')
    this.#owner.goaway(lastStream, code, debug)
  }

  onConnectionError(code: ErrorCode, detail: string): void {
    this.#owner.fault(code, detail)
  }
}
