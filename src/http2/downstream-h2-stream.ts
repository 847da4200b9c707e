/** One request and its response on a client's HTTP/2 connection (RFC 9113 §5, §8). */
import { ErrorCode } from '../http/frames.ts'
import { readPriority } from '../http/priority.ts'
import { GatewayError } from '../lib/error.ts'
import { UNKNOWN_LENGTH } from '../message/body.ts'
import type { Duplex } from '../message/duplex.ts'
import type { Fields } from '../message/fields.ts'
import type { ResponseHead } from '../message/head.ts'
import type { CompleteResponse } from '../message/local-response.ts'
import { bulkTurns } from '../socket/bulk-turns.ts'
import { StreamDuplex, type TunnelStream } from '../socket/stream-duplex.ts'
import type {
  Downstream,
  DownstreamHandler,
  IncomingRequest,
  RequestHandler,
  ResponseProgress,
} from '../transport/downstream.ts'
import type { Peer } from '../transport/peer.ts'
import type { FrameOutput } from './frame-output.ts'
import type { HeaderOutput } from './header-output.ts'
import { type BodyReader, ReceivingBody } from './receiving-body.ts'
import { frameResponseHead, responseFraming } from './response-head.ts'
import type { SendSchedule } from './send-schedule.ts'
import { SendingStream } from './sending-stream.ts'

/** Bytes that a client takes of a response at least between two looks at it. */
const LEAST_PROGRESS = 1_024

const FRAMING = responseFraming()

/** The connection, as its streams use it. */
export interface StreamCarrier {
  readonly peer: Peer
  readonly output: FrameOutput
  readonly headers: HeaderOutput
  readonly schedule: SendSchedule
  readonly wall: () => number
  windowUpdate(stream: number, increment: number): void
  /** Sends RST_STREAM and forgets the stream. */
  reset(stream: H2Stream, code: ErrorCode): void
  /** Both directions have ended. */
  closed(stream: H2Stream): void
  /** A response has been sent completely. */
  answered(stream: H2Stream): void
}

export class H2Stream extends SendingStream implements Downstream, ResponseProgress, BodyReader, TunnelStream {
  readonly #carrier: StreamCarrier
  #handler: DownstreamHandler | null = null
  #asksTunnel = false
  /** The client has ended its direction before the tunnel was open. */
  #endedEarly = false
  #tunnel: StreamDuplex | null = null
  #body: ReceivingBody | null = null
  /** Of the request's head, decoded. */
  headBytes = 0
  /** END_STREAM has come. */
  remoteEnded: boolean
  #expectsContinue = false
  readonly #headOnly: boolean
  /** The exchange, or the tunnel, is over on this side. */
  #over = false
  /** The error that the request was; null where it is none. */
  #error: ErrorCode | null = null
  /** The stream is closed. */
  gone = false
  // The response
  #bodyless = false
  /** Bytes still owed to the Content-Length; -1 = it states none. */
  #owed = -1
  #taken = 0
  lost = 0
  /** Where the head ends among all that the connection wrote. */
  #headEnd = -1
  /** What was waiting when that was asked the last time. */
  #waitedFor = 0

  constructor(carrier: StreamCarrier, id: number, window: number, remoteEnded: boolean, method = '') {
    super(id, window, carrier.peer)
    this.#carrier = carrier
    this.remoteEnded = remoteEnded
    this.#headOnly = method === 'HEAD'
  }

  get peer(): Peer {
    return this.#carrier.peer
  }

  /** Gives the request to the handler of its listener. */
  begin(requests: Pick<RequestHandler, 'begin'>, request: IncomingRequest): void {
    this.#expectsContinue = request.expectContinue
    this.#asksTunnel = request.upgrade !== null
    if (this.#asksTunnel) {
      // What comes before the tunnel is open waits for it.
      this.#body = new ReceivingBody(this, UNKNOWN_LENGTH)
      this.#body.pause()
      this.#endedEarly = this.remoteEnded
    } else if (!this.remoteEnded) this.#body = new ReceivingBody(this, request.bodyLength)
    const handler = requests.begin(this, request)
    if (this.#over) return
    this.#handler = handler
    if (request.bodyLength === 0) handler.onRequestEnd(null)
  }

  // ---- the request's body ----

  /** A DATA frame begins. @returns false: over the window of the stream */
  receiveFrame(length: number, padding: number): boolean {
    this.#body ??= new ReceivingBody(this, UNKNOWN_LENGTH)
    return this.#body.begin(length, padding)
  }

  /** @returns what is wrong with the bytes; null where nothing is */
  receive(bytes: Buffer, start: number, end: number): GatewayError | null {
    this.#expectsContinue = false
    return this.#body!.receive(bytes, start, end)
  }

  /** END_STREAM has come. @returns what is wrong with that; null where nothing is */
  receiveEnd(trailers: Fields | null): GatewayError | null {
    this.remoteEnded = true
    const error = this.#body === null ? null : this.#body.end(trailers)
    if (error === null && this.#over) this.#settle()
    return error
  }

  takeBody(chunk: Buffer): boolean {
    if (this.#tunnel !== null) return this.#tunnel.receive(chunk)
    // What comes for a tunnel that was refused is of no use.
    return this.#asksTunnel || this.#handler === null || this.#handler.onRequestBody(chunk)
  }

  takeEnd(trailers: Fields | null): void {
    if (this.#tunnel === null) {
      if (this.#asksTunnel) this.#endedEarly = true
      else this.#handler?.onRequestEnd(trailers)
      return
    }
    this.#tunnel.receiveEnd()
    if (this.sentEnd) this.#finish()
  }

  windowUpdate(increment: number): void {
    if (!this.remoteEnded && !this.gone) this.#carrier.windowUpdate(this.id, increment)
  }

  resumeBody(): void {
    if (this.gone) return
    this.#body?.resume()
    if (!this.#endedEarly || this.#tunnel === null) return
    this.#endedEarly = false
    this.takeEnd(null)
  }

  pauseBody(): void {
    this.#body?.pause()
  }

  // ---- the response ----

  sendInformational(status: number, fields: Fields | null): void {
    if (status === 100) this.#expectsContinue = false
    if (!this.#over && !this.gone) this.#carrier.headers.write(this, status, fields, 0, -1, false)
  }

  sendHead(head: ResponseHead): void {
    if (this.#over || this.gone) return
    const framing = FRAMING
    frameResponseHead(head, this.#headOnly, framing)
    this.#bodyless = framing.bodyless
    this.#owed = framing.owed
    if (framing.priority >= 0) this.reprioritize(head.fields.valueAt(framing.priority))
    const { headers, output, wall } = this.#carrier
    headers.write(this, head.status, head.fields, framing.dated ? 0 : wall(), framing.addedLength, false)
    this.#headEnd = output.position
  }

  /** PRIORITY_UPDATE; RFC 9218 §8: what the response states goes before what the request did. */
  reprioritize(text: string): void {
    readPriority(text, this)
    this.#carrier.schedule.reorder(this)
  }

  sendBody(bytes: Buffer, start: number, end: number): void {
    if (this.#over || this.gone || this.#bodyless || start === end) return
    let to = end
    if (this.#owed >= 0) {
      // Bytes beyond the content-length would make the response malformed.
      to = Math.min(end, start + this.#owed)
      this.#owed -= to - start
      if (to === start) return
    }
    this.#taken += to - start
    this.#carrier.schedule.send(this, bytes, start, to)
  }

  relieve(): void {
    const error = new GatewayError('MemoryLimit', 'bodies of this client hold too much memory')
    if (!this.gone) this.fail(error, ErrorCode.ENHANCE_YOUR_CALM)
  }

  get room(): boolean {
    return this.waiting === 0 || this.#over
  }

  sendEnd(trailers: Fields | null): void {
    if (this.#over) return
    this.#end(trailers)
    this.#finish()
  }

  sendEarlyEnd(trailers: Fields | null): boolean {
    if (this.#over || this.#expectsContinue || (this.#owed > 0 && !this.#bodyless)) return false
    this.#end(trailers)
    return true
  }

  endRest(): void {
    if (!this.#over) this.#finish()
  }

  #end(trailers: Fields | null): void {
    if (this.gone) return
    bulkTurns.ended(this.#taken)
    // Fewer bytes than announced: only a reset tells the client.
    if (this.#owed > 0 && !this.#bodyless) this.#carrier.reset(this, ErrorCode.INTERNAL_ERROR)
    else this.#carrier.schedule.finish(this, this.#bodyless ? null : trailers)
  }

  sendComplete(response: CompleteResponse): void {
    if (this.#over) return
    const { status, fields, text } = response
    const body = text === undefined ? response.body : Buffer.from(text, 'latin1')
    const length = body?.length ?? 0
    this.sendHead({ status, fields, bodyLength: length })
    if (body !== null) this.sendBody(asBuffer(body), 0, length)
    this.sendEnd(null)
  }

  /** The exchange is over on this side; what waits still goes out. */
  #finish(): void {
    this.#over = true
    this.#handler = null
    this.#body?.drop()
    this.#settle()
  }

  #settle(): void {
    if (this.gone || !this.sentEnd || !this.#over) return
    if (this.#error !== null) this.#carrier.reset(this, this.#error)
    else if (this.remoteEnded) this.#carrier.closed(this)
    // RFC 9113 §8.1: the response is complete, and nobody needs the rest of the request.
    else this.#carrier.reset(this, ErrorCode.NO_ERROR)
  }

  drained(): void {
    if (this.#tunnel !== null) this.#tunnel.drained()
    else this.#handler?.onClientDrain()
  }

  ended(): void {
    this.#carrier.answered(this)
    if (this.#tunnel === null) this.#settle()
    // Otherwise the client is waited for, as a socket that is closed waits for the other FIN; the tunnel bounds that.
    else if (this.remoteEnded) this.#finish()
  }

  flush(): void {}

  abort(): void {
    if (this.#over) return
    this.#over = true
    this.#handler = null
    this.#carrier.reset(this, this.#error ?? ErrorCode.INTERNAL_ERROR)
  }

  // ---- what became of it ----

  get progress(): ResponseProgress {
    return this
  }

  get bodySent(): number {
    return Math.max(0, this.#taken - this.lost)
  }

  lose(bytes: number): void {
    this.lost += bytes
  }

  /** What is encoded cannot be taken back; with the connection it may never have left. */
  retract(): boolean {
    return this.#headEnd >= 0 && !this.#carrier.output.hasLeft(this.#headEnd)
  }

  /** The stream is closed: nothing comes or goes on it any more. Called by its connection, once. */
  close(): void {
    this.gone = true
    this.lost += this.waiting
    this.#carrier.schedule.drop(this)
    this.#body?.close()
    this.#tunnel?.closed(null)
  }

  /** It was closed by the client, by an error, or with its connection: whoever uses it hears of that. */
  vanish(detail: string, error: GatewayError | null): void {
    const handler = this.#handler
    this.#over = true
    this.#handler = null
    handler?.onClientGone(detail)
    this.#tunnel?.closed(error)
  }

  /** Nothing is to be sent by the exchange any more. */
  get over(): boolean {
    return this.#over
  }

  /**
   * The exchange is over, and since this was asked the last time the client has taken next to nothing of what still
   * waits for its window.
   */
  get stuck(): boolean {
    const { waiting } = this
    const before = this.#waitedFor
    this.#waitedFor = waiting
    return this.#over && this.#tunnel === null && waiting > 0 && before > 0 && before - waiting < LEAST_PROGRESS
  }

  /** Answers a request that is none. @param code of the stream error that it is */
  refuse(response: CompleteResponse, code: ErrorCode | null): void {
    this.#error = code
    this.sendComplete(response)
    if (code !== null && !this.gone) this.#carrier.reset(this, code)
  }

  /** The grace period is over. */
  shutDown(): void {
    const error = new GatewayError('ShuttingDown')
    if (this.#tunnel === null) this.#handler?.onRequestFailed(error)
    else this.#tunnel.closed(error)
  }

  /** The request broke the protocol: it is answered where that is still possible, before its stream is reset. */
  fail(error: GatewayError, code: ErrorCode): void {
    this.#error = code
    this.#handler?.onRequestFailed(error)
    if (this.gone) return
    this.vanish(error.detail, error)
    this.#carrier.reset(this, code)
  }

  // ---- a tunnel ----

  upgrade(head: ResponseHead): Duplex {
    this.#handler = null
    this.#tunnel = new StreamDuplex(this)
    if (this.gone) this.#tunnel.closed(null)
    else this.#carrier.headers.write(this, 200, head.fields, 0, -1, false)
    return this.#tunnel
  }

  /** @returns false: wait for the drain */
  tunnelWrite(bytes: Uint8Array): boolean {
    if (this.gone || this.finished) return true
    this.#carrier.schedule.send(this, asBuffer(bytes), 0, bytes.length)
    return this.waiting === 0
  }

  tunnelEnd(): void {
    if (!this.gone && !this.finished) this.#carrier.schedule.finish(this, null)
  }

  tunnelCut(): void {
    if (!this.gone) this.#carrier.reset(this, ErrorCode.CANCEL)
  }

  get unsent(): number {
    return this.gone ? this.lost : this.waiting
  }
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}
