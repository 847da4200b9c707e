/** The client's side of an exchange, whatever the protocol: one HTTP/1.1 connection at a time, or one HTTP/2 stream. */
import type { GatewayError } from '../lib/error.ts'
import type { Duplex } from '../message/duplex.ts'
import type { Fields } from '../message/fields.ts'
import type { ResponseHead } from '../message/head.ts'
import type { CompleteResponse } from '../message/local-response.ts'
import type { Peer, PeerListener } from './peer.ts'

export interface IncomingRequest {
  /** TLS: a connection that is not ended here, and has nothing of a request but a host. */
  readonly protocol: 'HTTP/1.0' | 'HTTP/1.1' | 'HTTP/2' | 'TLS'
  readonly method: string
  /** `host[:port]` as sent; '' when HTTP/1.0 sent none. */
  readonly authority: string
  /** True when the authority did not come from the Host field (absolute form): Host must be written anew. */
  readonly authorityMoved: boolean
  /** Path and query as sent; `*` for OPTIONS alone. */
  readonly target: string
  readonly fields: Fields
  /** Bytes, or `UNKNOWN_LENGTH`; 0 = none. */
  readonly bodyLength: number
  readonly expectContinue: boolean
  readonly acceptsTrailers: boolean
  readonly upgrade: string | null
  /** There is a CDN-Loop field among `fields`. */
  readonly cdnLoop: boolean
}

/**
 * What becomes of the part of a request's body that has not arrived when the response is complete: somebody takes it to
 * its end, or nobody, or the connection cannot be trusted any more. A codec that gives the whole connection to one
 * request closes it unless the rest is read, and announces that in the head.
 */
export type RequestRest = 'taken' | 'dropped' | 'untrusted'

/** Progress of a response towards the client. */
export interface ResponseProgress {
  /**
   * Takes the response back, so that another can be sent in its place.
   * @returns false: some of it has left
   */
  retract(): boolean
  /** Bytes of its body that were sent, or that will be sent without further calls. */
  readonly bodySent: number
  /** Bytes of it that were unsent when the connection broke. */
  readonly lost: number
}

/** The client's side of an exchange. Calls after the end of the exchange have no effect. */
export interface Downstream {
  readonly peer: Peer
  /** 1xx; nothing is sent to an HTTP/1.0 client. */
  sendInformational(status: number, fields: Fields | null): void
  /** Once. `head.bodyLength` decides how the codec frames the body. */
  sendHead(head: ResponseHead, rest: RequestRest): void
  /** Sends `start` to `end` of the bytes, which may be overwritten after the return. */
  sendBody(bytes: Buffer, start: number, end: number): void
  /** False: the sender should wait for `onClientDrain`. */
  readonly room: boolean
  /** The response is complete; ends the exchange on this side. */
  sendEnd(trailers: Fields | null): void
  /**
   * The response is complete, while the rest of the request's body still goes to the handler, until `endRest`.
   * @returns false: the client will send none; `sendEnd` is to be called
   */
  sendEarlyEnd(trailers: Fields | null): boolean
  /** After `sendEarlyEnd`: the rest is complete or dropped. Ends the exchange on this side. */
  endRest(): void
  /** Head and body at once. @param close the connection cannot be trusted any more */
  sendComplete(response: CompleteResponse, close: boolean): void
  readonly progress: ResponseProgress
  /** Flushes gathered bytes. */
  flush(): void
  resumeBody(): void
  /** The response cannot be completed: the client must notice (connection closed, stream reset). */
  abort(): void
  /**
   * Agrees to the upgrade that was asked for: bytes both ways from here, instead of a response. Ends the exchange on
   * this side.
   *
   * @param head of status 101, whatever the codec makes of it
   * @param protocol as the request named it
   */
  upgrade(head: ResponseHead, protocol: string): Duplex
}

/** Events of the client's side. `onClientGone` is the last one. */
export interface DownstreamHandler {
  /** @returns false: hold further bytes back until `resumeBody` */
  onRequestBody(chunk: Buffer): boolean
  onRequestEnd(trailers: Fields | null): void
  /** The body broke the protocol or did not arrive in time. */
  onRequestFailed(error: GatewayError): void
  onClientDrain(): void
  /**
   * The client has ended its direction behind a complete request: perhaps because no other follows.
   * @returns false: it has gone, and the response is of no use
   */
  onClientEnd(): boolean
  onClientGone(detail: string): void
}

/** The parts that a codec has parsed of a request it refuses. */
export interface RefusedRequest {
  readonly protocol: IncomingRequest['protocol']
  /** '' when none was parsed. */
  readonly method: string
  readonly target: string
}

export type TakeBuffer = (bytes: number) => Buffer

/** Bytes to be sent. One object is used again and again: it must be read before anything else is asked for. */
export interface RepeatedBytes {
  /** All that was taken. */
  readonly buffer: Buffer
  readonly start: number
  readonly end: number
}

/** Handles the requests of a listener's connections. */
export interface RequestHandler {
  begin(downstream: Downstream, request: IncomingRequest): DownstreamHandler
  /**
   * Answers a request that is not read, since one that is the same in all that was read of it was answered before, and
   * nothing has changed that led to its response. It is logged and counted. For codecs of HTTP/1.1.
   *
   * @param bytes of which the first `length` are all that came behind the request before
   * @param take gives memory of so many bytes or more for the response, which is the caller's again with it
   * @returns head and body, a character for each byte or as bytes, on a connection that goes on; null: it is to be read
   */
  repeat?(peer: Peer, bytes: Buffer, length: number, take: TakeBuffer): RepeatedBytes | string | null
  /** A request that never became an exchange is logged and counted. @returns the response to send */
  refused(peer: Peer, error: GatewayError, request: RefusedRequest): CompleteResponse
  connectionOpened(listener: PeerListener): void
  connectionClosed(listener: PeerListener): void
}
