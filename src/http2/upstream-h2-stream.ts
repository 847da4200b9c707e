/** One request on an HTTP/2 connection to an endpoint, and its response (RFC 9113 §5, §8). */
import { ErrorCode, errorName } from '../http/frames.ts'
import type { HeaderSection } from '../http/header-section.ts'
import { judgeResponse, type ResponseRules } from '../http/section-rules.ts'
import { dropForbiddenTrailers } from '../http/trailer-fields.ts'
import { GatewayError } from '../lib/error.ts'
import type { Reason } from '../lib/reason.ts'
import { UNKNOWN_LENGTH } from '../message/body.ts'
import type { Fields } from '../message/fields.ts'
import type { UpstreamHandler, UpstreamRequest, UpstreamStream } from '../transport/upstream.ts'
import { type BodyReader, ReceivingBody } from './receiving-body.ts'
import type { SendSchedule } from './send-schedule.ts'
import { SendingStream } from './sending-stream.ts'
import { StreamTunnel } from './upstream-h2-tunnel.ts'

/** How many interim responses one request may get: more is an upstream gone mad. */
const MAX_INFORMATIONAL = 100

/** The connection, as its streams use it. */
export interface StreamCarrier {
  readonly schedule: SendSchedule
  windowUpdate(stream: number, increment: number): void
  /** Sends RST_STREAM. */
  reset(stream: SessionStream, code: ErrorCode): void
  /** Nothing more is sent or expected on the stream. */
  closed(stream: SessionStream): void
  /** The handler is to hear when the bytes of this read have been delivered. */
  batched(stream: SessionStream, handler: UpstreamHandler): void
  /** What was kept has been delivered: handlers hear of it now. */
  endBatch(): void
}

/** Filled in for each head. */
const RULES: ResponseRules = { bodyLength: 0, fault: '' }

export class SessionStream extends SendingStream implements UpstreamStream, BodyReader {
  readonly #carrier: StreamCarrier
  /** Null once it hears no more. */
  #handler: UpstreamHandler | null
  readonly #method: string
  /** Asked for by extended CONNECT. */
  readonly #upgrade: string | null
  #tunnel: StreamTunnel | null = null
  /** The head of the response has come. */
  #begun = false
  #informational = 0
  #body: ReceivingBody | null = null
  #paused = false
  /** The peer has ended the response, and whether the handler knows. */
  #remoteEnded = false
  #responseDone = false
  /** In the list of those whose handlers hear of the end of this read. */
  inBatch = false

  /** @param window bytes of DATA that the peer takes on a new stream */
  constructor(
    carrier: StreamCarrier,
    id: number,
    window: number,
    handler: UpstreamHandler,
    { method, upgrade, peer }: UpstreamRequest,
  ) {
    super(id, window, peer ?? null)
    this.#carrier = carrier
    this.#handler = handler
    this.#method = method
    this.#upgrade = upgrade
  }

  // ---- the request ----

  write(chunk: Uint8Array): boolean {
    if (this.#handler === null || this.finished || chunk.length === 0) return true
    const bytes = Buffer.isBuffer(chunk) ? chunk : Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength)
    this.#carrier.schedule.send(this, bytes, 0, bytes.length)
    return this.waiting === 0
  }

  end(trailers: Fields | null): void {
    if (this.#handler !== null && !this.finished) this.#carrier.schedule.finish(this, trailers)
  }

  override drained(): void {
    this.#handler?.onDrain()
  }

  override ended(): void {
    if (!this.#responseDone) return
    this.#handler = null
    this.#carrier.closed(this)
    this.#tunnel?.over()
  }

  override lose(): void {}

  override relieve(): void {
    this.violate(ErrorCode.CANCEL, 'MemoryLimit', 'bodies of this client hold too much memory')
  }

  // ---- the response, from the connection ----

  /** Whether a field block that comes now is a head, and not trailers. */
  get awaitsHead(): boolean {
    return !this.#begun
  }

  get remoteEnded(): boolean {
    return this.#remoteEnded
  }

  head(section: HeaderSection, ended: boolean): void {
    const handler = this.#handler
    if (handler === null) return
    judgeResponse(section, this.#method, ended, RULES)
    if (RULES.fault !== '') return this.malformed(RULES.fault)
    this.#carrier.batched(this, handler)
    const { status, fields } = section
    if (status < 200) {
      if (++this.#informational > MAX_INFORMATIONAL) return this.malformed('too many interim responses')
      return handler.onInformational(status, fields)
    }
    this.#begun = true
    if (this.#upgrade !== null && status < 300 && !ended) return this.#open(handler, fields)
    const { bodyLength } = RULES
    if (!ended) {
      this.#body = new ReceivingBody(this, bodyLength)
      if (this.#paused) this.#body.pause()
    }
    handler.onHead({ status, fields, bodyLength: bodyLength === UNKNOWN_LENGTH ? undefined : bodyLength })
    if (ended) this.endResponse(null)
  }

  /** The peer has agreed to the upgrade (RFC 8441 §5). */
  #open(handler: UpstreamHandler, fields: Fields): void {
    this.#body = new ReceivingBody(this, UNKNOWN_LENGTH)
    this.pause()
    this.#tunnel = new StreamTunnel(this)
    this.#handler = this.#tunnel
    handler.onUpgrade({ status: 101, fields, bodyLength: 0 }, this.#tunnel.duplex)
  }

  /** A DATA frame begins. @returns false: over the window of the stream */
  receiveFrame(length: number, padding: number): boolean {
    return this.#body?.begin(length, padding) ?? true
  }

  receive(bytes: Buffer, start: number, end: number): void {
    if (this.#handler === null) return
    const body = this.#body
    if (body === null) return this.malformed('DATA before a head')
    const error = body.receive(bytes, start, end)
    if (error === null) return
    if (error.reason === 'MemoryLimit') this.violate(ErrorCode.CANCEL, error.reason, error.detail)
    else this.malformed(error.detail)
  }

  /** END_STREAM has come. */
  endResponse(trailers: Fields | null): void {
    if (this.#handler === null) return
    if (!this.#begun) return this.malformed('the end of the stream before a head')
    this.#remoteEnded = true
    if (trailers !== null) dropForbiddenTrailers(trailers)
    const error = this.#body?.end(trailers !== null && trailers.count > 0 ? trailers : null) ?? null
    if (error !== null) this.malformed(error.detail)
    else if (this.#body === null) this.takeEnd(null)
  }

  // ---- the response, to the handler ----

  takeBody(chunk: Buffer): boolean {
    const handler = this.#handler
    if (handler === null) return true
    this.#carrier.batched(this, handler)
    handler.onData(chunk, 0, chunk.length)
    return !this.#paused
  }

  windowUpdate(increment: number): void {
    if (!this.#remoteEnded && this.#handler !== null) this.#carrier.windowUpdate(this.id, increment)
  }

  takeEnd(trailers: Fields | null): void {
    const handler = this.#handler
    if (handler === null) return
    this.#responseDone = true
    this.#carrier.batched(this, handler)
    if (this.sentEnd) {
      this.#handler = null
      this.#carrier.closed(this)
    }
    handler.onEnd(trailers)
    if (this.sentEnd) this.#tunnel?.over()
  }

  /** RST_STREAM of the peer. */
  remoteReset(code: number): void {
    // All of the response is here: the peer wants no more of the request (RFC 9113 §8.1).
    if (this.#remoteEnded && !this.#responseDone) this.#stopSending()
    else if (code === ErrorCode.REFUSED_STREAM && !this.#begun) this.refuse(errorName(code))
    else this.#fail(this.#cutReason, errorName(code))
  }

  #stopSending(): void {
    this.#carrier.schedule.drop(this)
    this.finished = true
    this.sentEnd = true
  }

  /** The peer has not processed the request (RFC 9113 §8.7). */
  refuse(detail: string): void {
    this.#fail('StreamRefused', detail)
  }

  malformed(detail: string): void {
    this.violate(ErrorCode.PROTOCOL_ERROR, 'UpstreamProtocolError', detail)
  }

  /** The peer has broken a rule on this stream, and on no other. */
  violate(code: ErrorCode, reason: Reason, detail: string): void {
    if (this.#handler === null) return
    this.#carrier.reset(this, code)
    this.#fail(reason, detail)
  }

  /** The connection is gone. @param reason null where it just ended */
  lost(reason: Reason | null, detail: string): void {
    // All of the response is here, and waits for the client.
    if (this.#remoteEnded && !this.#responseDone) this.#stopSending()
    else this.#detach()?.onError(new GatewayError(reason ?? this.#cutReason, detail))
  }

  get #cutReason(): Reason {
    return this.#begun || this.#informational > 0 ? 'UpstreamTruncated' : 'ResetBeforeResponse'
  }

  #fail(reason: Reason, detail: string): void {
    const handler = this.#detach()
    if (handler === null) return
    this.#carrier.closed(this)
    handler.onError(new GatewayError(reason, detail))
  }

  #detach(): UpstreamHandler | null {
    const handler = this.#handler
    this.#handler = null
    this.finished = true
    this.#carrier.schedule.drop(this)
    this.#body?.close()
    return handler
  }

  // ---- for who has dispatched it ----

  pause(): void {
    this.#paused = true
    this.#body?.pause()
  }

  resume(): void {
    if (!this.#paused) return
    this.#paused = false
    this.#body?.resume()
    this.#carrier.endBatch()
  }

  get takesRest(): boolean {
    return this.#handler !== null
  }

  get sending(): boolean {
    return this.#responseDone && !this.sentEnd && this.#handler !== null
  }

  get unsent(): number {
    return this.waiting
  }

  abort(): void {
    if (this.#detach() === null) return
    this.#carrier.reset(this, ErrorCode.CANCEL)
    this.#carrier.closed(this)
  }
}
