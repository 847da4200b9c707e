/**
 * Reader of HTTP/2 frames (RFC 9113 §4, §6) over bytes cut anywhere. It judges what a frame alone can tell: sizes,
 * where stream 0 belongs, padding, the order of field blocks. What depends on the state of a stream is its sink's.
 *
 * Payloads of DATA go on as they come and are never held. Of other frames at most one payload is held, and of a field
 * block that is spread over frames its fragments, up to the bounds.
 */
import { misplaced, uint31, uint32, wrongSize } from './frame-rules.ts'
import type { FrameSink } from './frame-sink.ts'
import { DEFAULT_FRAME_SIZE, ErrorCode, Flag, FRAME_HEADER, FrameType, PREFACE, type Role } from './frames.ts'

export interface FrameReaderOptions {
  /** Ours: a server expects the preface first. */
  readonly role: Role
  /** SETTINGS_MAX_FRAME_SIZE that we announce. */
  readonly maxFrameSize: number
  /** Bytes of one field block as it is sent. */
  readonly maxFieldBlock: number
}

/**
 * CONTINUATION frames of one field block beyond those that full frames need: many small ones cost more to take than
 * to send (CVE-2024-27316).
 */
const SPARE_CONTINUATIONS = 8

/** `HTTP` as a frame's header: its length, and its type. */
const HTTP_1_LENGTH = 0x485454
const HTTP_1_TYPE = 0x50

const AT_PREFACE = 0
const AT_HEADER = 1
const AT_PADDING = 2
const IN_DATA = 3
const IN_PAYLOAD = 4
const IN_SKIPPED = 5
const STOPPED = 6

export class FrameReader {
  readonly #sink: FrameSink
  readonly #role: Role
  readonly #maxFrameSize: number
  readonly #maxFieldBlock: number
  readonly #maxContinuations: number
  #state: number
  /** Of the preface, or of a frame's header. */
  #head: Buffer | null = null
  #headLength = 0
  // The frame under way
  #length = 0
  #type = 0
  #flags = 0
  #stream = 0
  /** Bytes of its payload that have not come, padding left out. */
  #owed = 0
  /** Padding behind its data. */
  #padding = 0
  #payload: Buffer | null = null
  #payloadLength = 0
  // The field block under way
  /** Whose CONTINUATION must come next; 0 = none. */
  #blockStream = 0
  #blockEnds = false
  #blockFault = ''
  #block: Buffer | null = null
  #blockLength = 0
  #continuations = 0
  #suspended = false
  /** SETTINGS must be the first frame (RFC 9113 §3.4). */
  #first = true

  constructor(sink: FrameSink, { role, maxFrameSize, maxFieldBlock }: FrameReaderOptions) {
    this.#sink = sink
    this.#role = role
    this.#maxFrameSize = maxFrameSize
    this.#maxFieldBlock = maxFieldBlock
    this.#maxContinuations = SPARE_CONTINUATIONS + Math.ceil(maxFieldBlock / DEFAULT_FRAME_SIZE)
    this.#state = role === 'server' ? AT_PREFACE : AT_HEADER
  }

  /** Bytes of memory that wait for the rest of a frame or of a field block. */
  get held(): number {
    return (this.#payload?.length ?? 0) + (this.#block?.length ?? 0)
  }

  /** Frames and field blocks that have begun. */
  begun = 0

  /** Whether the preface, a frame other than DATA or a field block has come in part. */
  get partial(): boolean {
    return this.#headLength > 0 || this.#blockStream !== 0 || this.#state === IN_PAYLOAD
  }

  /** Reads nothing more, whatever is pushed. May be called by the sink. */
  stop(): void {
    this.#state = STOPPED
    this.#payload = null
    this.#block = null
  }

  /** Ends the push that is under way behind the frame that is being reported. */
  suspend(): void {
    this.#suspended = true
  }

  /** Whether the sink has ended the latest push. */
  get suspended(): boolean {
    return this.#suspended
  }

  /**
   * @param most frames to read
   * @returns the offset behind what was read: all of it, unless the reader was suspended or there were more frames
   */
  push(bytes: Buffer, start: number, end: number, most = Number.POSITIVE_INFINITY): number {
    let at = start
    let left = most
    this.#suspended = false
    while ((at < end || this.#owed === 0) && !this.#suspended)
      switch (this.#state) {
        case AT_PREFACE:
          if (at === end) return at
          at = this.#readPreface(bytes, at, end)
          break
        case AT_HEADER:
          if (at === end || left-- === 0) return at
          at = this.#readHeader(bytes, at, end)
          break
        case AT_PADDING:
          if (at === end) return at
          this.#readPadding(bytes[at++]!)
          break
        case IN_DATA:
          at = this.#readData(bytes, at, end)
          break
        case IN_PAYLOAD:
          at = this.#readPayload(bytes, at, end)
          break
        case IN_SKIPPED: {
          const skipped = Math.min(this.#owed, end - at)
          at += skipped
          this.#owed -= skipped
          if (this.#owed === 0) this.#state = AT_HEADER
          break
        }
        default:
          return end
      }
    return at
  }

  #fail(code: ErrorCode, detail: string): void {
    this.stop()
    this.#sink.onConnectionError(code, detail)
  }

  #readPreface(bytes: Buffer, start: number, end: number): number {
    let at = start
    while (at < end && this.#headLength < PREFACE.length)
      if (bytes[at++] !== PREFACE[this.#headLength++]) {
        this.#fail(ErrorCode.PROTOCOL_ERROR, 'the connection preface is wrong')
        return end
      }
    if (this.#headLength === PREFACE.length) {
      this.#headLength = 0
      this.#state = AT_HEADER
    }
    return at
  }

  #readHeader(bytes: Buffer, start: number, end: number): number {
    if (this.#headLength === 0 && end - start >= FRAME_HEADER) {
      this.#begin(bytes, start)
      return start + FRAME_HEADER
    }
    this.#head ??= Buffer.allocUnsafeSlow(FRAME_HEADER)
    const taken = Math.min(FRAME_HEADER - this.#headLength, end - start)
    bytes.copy(this.#head, this.#headLength, start, start + taken)
    this.#headLength += taken
    if (this.#headLength === FRAME_HEADER) {
      this.#headLength = 0
      this.#begin(this.#head, 0)
    }
    return start + taken
  }

  #begin(bytes: Buffer, at: number): void {
    const length = (bytes[at]! << 16) | (bytes[at + 1]! << 8) | bytes[at + 2]!
    const type = bytes[at + 3]!
    const stream = uint31(bytes, at + 5)
    this.#length = length
    this.#type = type
    this.#flags = bytes[at + 4]!
    this.#stream = stream
    this.#owed = length
    this.#padding = 0
    if (this.#blockStream === 0) this.begun++
    if (this.#first && length === HTTP_1_LENGTH && type === HTTP_1_TYPE)
      return this.#fail(ErrorCode.PROTOCOL_ERROR, 'the peer speaks HTTP/1.1')
    if (length > this.#maxFrameSize) return this.#fail(ErrorCode.FRAME_SIZE_ERROR, `a frame of ${length} bytes`)
    if (this.#first) {
      if (type !== FrameType.SETTINGS || (this.#flags & Flag.ACK) !== 0)
        return this.#fail(ErrorCode.PROTOCOL_ERROR, 'the first frame is not SETTINGS')
      this.#first = false
    }
    if (this.#blockStream !== 0 && (type !== FrameType.CONTINUATION || stream !== this.#blockStream))
      return this.#fail(ErrorCode.PROTOCOL_ERROR, 'another frame within a field block')
    const fault = misplaced(type, stream, this.#role, this.#blockStream)
    if (fault !== '') return this.#fail(ErrorCode.PROTOCOL_ERROR, fault)
    if (type === FrameType.DATA) this.#beginData(length)
    else if (type <= FrameType.CONTINUATION || type === FrameType.PRIORITY_UPDATE) this.#beginWhole(type, length)
    else {
      this.#state = IN_SKIPPED
      this.#sink.onUnknownFrame(type)
    }
  }

  // ---- DATA ----

  #beginData(length: number): void {
    if ((this.#flags & Flag.PADDED) === 0) {
      this.#state = IN_DATA
      this.#sink.onDataFrame(this.#stream, length, 0)
    } else if (length === 0) this.#fail(ErrorCode.FRAME_SIZE_ERROR, 'a padded frame without a pad length')
    else this.#state = AT_PADDING
  }

  #readPadding(padding: number): void {
    if (padding >= this.#length) return this.#fail(ErrorCode.PROTOCOL_ERROR, 'more padding than payload')
    this.#owed = this.#length - 1 - padding
    this.#padding = padding
    this.#state = IN_DATA
    this.#sink.onDataFrame(this.#stream, this.#length, padding + 1)
  }

  #readData(bytes: Buffer, start: number, end: number): number {
    const at = start + Math.min(this.#owed, end - start)
    this.#owed -= at - start
    if (at > start) this.#sink.onData(bytes, start, at)
    if (this.#owed > 0 || this.#state === STOPPED) return at
    this.#owed = this.#padding
    this.#state = this.#padding === 0 ? AT_HEADER : IN_SKIPPED
    this.#sink.onDataEnd((this.#flags & Flag.END_STREAM) !== 0)
    return at
  }

  // ---- frames that are taken as a whole ----

  #beginWhole(type: number, length: number): void {
    const wrong = wrongSize(type, length, this.#flags)
    if (wrong && type !== FrameType.PRIORITY)
      return this.#fail(ErrorCode.FRAME_SIZE_ERROR, `a frame of type ${type} with ${length} bytes`)
    if (type === FrameType.CONTINUATION && ++this.#continuations > this.#maxContinuations)
      return this.#fail(ErrorCode.ENHANCE_YOUR_CALM, 'a field block in too many frames')
    if (this.#blockLength + length > this.#maxFieldBlock && (type === FrameType.HEADERS || this.#blockStream !== 0))
      return this.#fail(ErrorCode.ENHANCE_YOUR_CALM, `a field block of over ${this.#maxFieldBlock} bytes`)
    if (!wrong) this.#state = IN_PAYLOAD
    else {
      this.#state = IN_SKIPPED
      this.#sink.onStreamError(this.#stream, ErrorCode.FRAME_SIZE_ERROR, `PRIORITY with ${length} bytes`)
    }
  }

  #readPayload(bytes: Buffer, start: number, end: number): number {
    const taken = Math.min(this.#owed, end - start)
    this.#owed -= taken
    if (this.#owed === 0 && this.#payload === null) {
      this.#state = AT_HEADER
      this.#dispatch(bytes, start, start + taken)
      return start + taken
    }
    // As much as has come, not as much as is announced: a header of nine bytes must not cost 16 KiB.
    this.#payload = grown(this.#payload, this.#payloadLength, taken, this.#length)
    bytes.copy(this.#payload, this.#payloadLength, start, start + taken)
    this.#payloadLength += taken
    if (this.#owed === 0) {
      const payload = this.#payload
      this.#payload = null
      this.#payloadLength = 0
      this.#state = AT_HEADER
      this.#dispatch(payload, 0, this.#length)
    }
    return start + taken
  }

  #dispatch(bytes: Buffer, start: number, end: number): void {
    const sink = this.#sink
    const stream = this.#stream
    switch (this.#type) {
      case FrameType.HEADERS:
        return this.#headers(bytes, start, end)
      case FrameType.CONTINUATION:
        return this.#fragment(bytes, start, end)
      case FrameType.PRIORITY:
        if (uint31(bytes, start) === stream)
          return sink.onStreamError(stream, ErrorCode.PROTOCOL_ERROR, 'a stream that depends on itself')
        return sink.onPriority(stream)
      case FrameType.RST_STREAM:
        return sink.onReset(stream, uint32(bytes, start))
      case FrameType.SETTINGS:
        return this.#settings(bytes, start, end)
      case FrameType.PING:
        return (this.#flags & Flag.ACK) === 0 ? sink.onPing(bytes, start) : sink.onPingAck(bytes, start)
      case FrameType.GOAWAY:
        return sink.onGoaway(uint31(bytes, start), uint32(bytes, start + 4), bytes, start + 8, end)
      case FrameType.WINDOW_UPDATE:
        return this.#windowUpdate(stream, uint31(bytes, start))
      case FrameType.PRIORITY_UPDATE: {
        const prioritized = uint31(bytes, start)
        if (prioritized === 0) return this.#fail(ErrorCode.PROTOCOL_ERROR, 'PRIORITY_UPDATE of stream 0')
        return sink.onPriorityUpdate(prioritized, bytes, start + 4, end)
      }
    }
  }

  #settings(bytes: Buffer, start: number, end: number): void {
    const sink = this.#sink
    if ((this.#flags & Flag.ACK) !== 0) return sink.onSettingsAck()
    for (let at = start; at < end; at += 6) {
      sink.onSetting((bytes[at]! << 8) | bytes[at + 1]!, uint32(bytes, at + 2))
      if (this.#stopped) return
    }
    sink.onSettingsEnd()
  }

  get #stopped(): boolean {
    return this.#state === STOPPED
  }

  #windowUpdate(stream: number, increment: number): void {
    if (increment > 0) this.#sink.onWindowUpdate(stream, increment)
    else if (stream === 0) this.#fail(ErrorCode.PROTOCOL_ERROR, 'WINDOW_UPDATE by 0')
    else this.#sink.onStreamError(stream, ErrorCode.PROTOCOL_ERROR, 'WINDOW_UPDATE by 0')
  }

  // ---- field blocks ----

  #headers(bytes: Buffer, start: number, end: number): void {
    const flags = this.#flags
    let from = start
    let to = end
    if ((flags & Flag.PADDED) !== 0) {
      const padding = bytes[from++]!
      if (padding >= this.#length) return this.#fail(ErrorCode.PROTOCOL_ERROR, 'more padding than payload')
      to -= padding
    }
    this.#blockFault = ''
    if ((flags & Flag.PRIORITY) !== 0) {
      if (to - from < 5) return this.#fail(ErrorCode.PROTOCOL_ERROR, 'more padding than payload')
      if (uint31(bytes, from) === this.#stream) this.#blockFault = 'a stream that depends on itself'
      from += 5
    }
    this.#blockEnds = (flags & Flag.END_STREAM) !== 0
    if ((flags & Flag.END_HEADERS) !== 0)
      return this.#sink.onFieldBlock(this.#stream, this.#blockEnds, bytes, from, to, this.#blockFault)
    this.#blockStream = this.#stream
    this.#continuations = 0
    this.#keep(bytes, from, to)
  }

  #fragment(bytes: Buffer, start: number, end: number): void {
    this.#keep(bytes, start, end)
    if ((this.#flags & Flag.END_HEADERS) === 0) return
    const block = this.#block ?? bytes
    const length = this.#blockLength
    this.#block = null
    this.#blockLength = 0
    this.#blockStream = 0
    this.#sink.onFieldBlock(this.#stream, this.#blockEnds, block, 0, length, this.#blockFault)
  }

  #keep(bytes: Buffer, start: number, end: number): void {
    if (start === end) return
    this.#block = grown(this.#block, this.#blockLength, end - start, this.#maxFieldBlock)
    bytes.copy(this.#block, this.#blockLength, start, end)
    this.#blockLength += end - start
  }
}

/** Room for more bytes: twice what is needed, so that many small pieces are not copied each time. */
function grown(buffer: Buffer | null, used: number, more: number, limit: number): Buffer {
  const needed = used + more
  if (buffer !== null && needed <= buffer.length) return buffer
  const larger = Buffer.allocUnsafeSlow(Math.max(needed, Math.min(needed * 2, limit)))
  buffer?.copy(larger, 0, 0, used)
  return larger
}
