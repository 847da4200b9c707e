/**
 * The contract for sending a request to an endpoint, after undici's `dispatch(request, handler)`. Whoever dispatches
 * sees neither a connection nor its protocol. Callbacks instead of promises and streams: a plain request
 * allocates nothing for them.
 */
import type { GatewayError } from '../lib/error.ts'
import type { Duplex } from '../message/duplex.ts'
import type { FieldBlock } from '../message/field-block.ts'
import type { Fields } from '../message/fields.ts'
import type { ResponseHead } from '../message/head.ts'
import type { ProxiedConnection } from '../proxy-protocol/header.ts'
import type { HeldFor } from './held-memory.ts'

export interface UpstreamRequest {
  readonly method: string
  /** Origin form: path and query, or `*`. */
  readonly target: string
  /** Sent instead of the Host among `fields`; undefined keeps that one. */
  readonly host: string | undefined
  readonly fields: Fields
  /** Bytes, or `UNKNOWN_LENGTH`; 0 = none. */
  readonly bodyLength: number
  /** Sent besides `fields`: where the request came from. */
  readonly forwarding: FieldBlock
  /** Sent besides `fields`: counts this pass (CDN-Loop). */
  readonly passed: FieldBlock
  /** Sent as x-request-id. */
  readonly id: string
  readonly acceptsTrailers: boolean
  /** Token of the protocol to ask an upgrade for, or null. */
  readonly upgrade: string | null
  /** Whose request it is, where connections are announced by PROXY headers; null or absent: nobody's or not known. */
  readonly client?: ProxiedConnection | null
  /** The connection of the client, for which its bodies are held; absent: the gateway's own. */
  readonly peer?: HeldFor
}

/** Connections to one endpoint, as an attempt sees them. */
export interface UpstreamPool {
  /** When the upstream last ended a connection that lay idle, monotonic milliseconds; -Infinity: never. */
  readonly lostAt: number
  /**
   * Sends the request on a connection that lies ready, at once, or on the first that is there. The handler may be
   * called within the call: `onStream`, or `onError` where no connection may be made.
   *
   * @param fresh only a new connection will do: a second try after a reused one was dead
   */
  dispatch(request: UpstreamRequest, handler: UpstreamHandler, fresh: boolean): void
  /** Cancels a request without a stream: its handler is not called any more. Otherwise without effect. */
  cancel(handler: UpstreamHandler): void
}

/** One request on its connection: the whole HTTP/1.1 connection, or a stream of an HTTP/2 one. */
export interface UpstreamStream {
  /** @returns false when the caller should wait for `onDrain` */
  write(chunk: Uint8Array): boolean
  end(trailers: Fields | null): void
  pause(): void
  resume(): void
  /**
   * Once the head of the response has come: the upstream takes the rest of the request also behind the end of the
   * response. An upstream that ends its connection with the response does not (over HTTP/1.1, RFC 9112 §9.6).
   */
  readonly takesRest: boolean
  /** The response is complete and the request is not: it may go on, until `onError`. */
  readonly sending: boolean
  /** Aborts the request; no further callback follows. */
  abort(): void
}

/**
 * Callbacks of one try. After `onError` or `onEnd` no other comes, but `onDrain` and `onError` while the request is
 * still being sent.
 */
export interface UpstreamHandler {
  /**
   * The head is on its way and the body may be written. Once, before everything else but an `onError` that explains why
   * there is no connection.
   *
   * @param reused the connection had carried a request before
   */
  onStream(stream: UpstreamStream, reused: boolean): void
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
  /** The upstream accepts body bytes again. */
  onDrain(): void
  /** The bytes of one read have been delivered: gathered output should be flushed. */
  onBatchEnd(): void
  /** The upstream agreed to the upgrade: bytes both ways from here. The status of the head is 101. */
  onUpgrade(head: ResponseHead, duplex: Duplex): void
}
