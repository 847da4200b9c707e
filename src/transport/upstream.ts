/**
 * The one contract for sending a request to an endpoint, after undici's `dispatch(request, handler)`: HTTP/1.1 now,
 * HTTP/2 beside it later. Callbacks instead of promises and streams: a plain request allocates nothing for them.
 */
import type { Socket } from 'node:net'
import type { GatewayError } from '../lib/error.ts'
import type { Fields } from '../message/fields.ts'
import type { ResponseHead } from '../message/head.ts'

export interface UpstreamRequest {
  readonly method: string
  /** Origin form: path and query, or `*`. */
  readonly target: string
  /** Sent instead of the Host among `fields`; undefined keeps that one. */
  readonly host: string | undefined
  readonly fields: Fields
  /** Bytes; -1 = chunked; 0 = none. */
  readonly bodyLength: number
  /** Tells the upstream where the request came from; lines of an HTTP/1.1 head. */
  readonly forwarding: { readonly block: string }
  /** Line of the head that counts this pass (CDN-Loop), with its line end. */
  readonly passed: string
  /** Sent as x-request-id. */
  readonly id: string
  readonly acceptsTrailers: boolean
  /** Token to ask an upgrade for, or null. */
  readonly upgrade: string | null
}

/** What the dispatcher of a request may do with its connection. */
export interface UpstreamStream {
  /** @returns false when the caller should wait for `onDrain` */
  write(chunk: Uint8Array): boolean
  end(trailers: Fields | null): void
  pause(): void
  resume(): void
  /**
   * The upstream keeps the connection open behind the response of which the head has come, and so takes the rest of the
   * request (RFC 9112 §9.6).
   */
  readonly takesRest: boolean
  /** The response is complete and the request is not: it may go on, until `onError`. */
  readonly sending: boolean
  /** Gives the request up: the connection is closed, no callback comes any more. */
  abort(): void
}

/**
 * Callbacks of one try. After `onError` or `onEnd` no other comes, but `onDrain` and `onError` while the request is
 * still being sent.
 */
export interface UpstreamHandler {
  /** 1xx other than 101. */
  onInformational(status: number, fields: Fields): void
  /** The fields point into the same buffer: who needs them after the return calls `detach` on them. */
  onHead(head: ResponseHead): void
  /**
   * Bytes `start` to `end` of the body. They lie in a buffer that every connection of the thread reads into again after
   * the return: what must stay is copied.
   */
  onData(bytes: Buffer, start: number, end: number): void
  onEnd(trailers: Fields | null): void
  onError(error: GatewayError): void
  /** The upstream takes body bytes again. */
  onDrain(): void
  /** What arrived in one read has been handed over: a good moment to write what was gathered. */
  onBatchEnd(): void
  /** The upstream agreed to the upgrade: the connection is bytes both ways from here; `early` came behind the head. */
  onUpgrade(head: ResponseHead, tunnel: UpstreamTunnel, early: Buffer | null): void
}

/** The upstream's side of a tunnel. */
export interface UpstreamTunnel {
  /** For writing, pausing and its end; bytes that arrive come through {@link onBytes} alone. */
  readonly socket: Socket
  onBytes(listener: (bytes: Buffer) => void): void
}
