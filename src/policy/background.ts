/** Exchanges that a filter begins and no client waits for: to revalidate what was stored, or to store it again. */

import type { Milliseconds } from '../lib/clock.ts'
import type { GatewayError } from '../lib/error.ts'
import type { Fields } from '../message/fields.ts'
import type { ResponseHead } from '../message/head.ts'
import type { Exchange } from './exchange.ts'

export interface BackgroundRequest {
  readonly method: string
  /** Changes the fields of the request, which are a copy of those that the exchange has by now. */
  edit?(fields: Fields): void
  readonly body?: Uint8Array
  /** For all of it; the rule's own time-outs hold as well. */
  readonly timeout: Milliseconds
}

/** Hears of the response: a head, its body, and one end, which may come first. */
export interface BackgroundSink {
  /** The fields are the sink's own only until it returns, see `Fields.detach`. */
  head(head: ResponseHead): void
  /**
   * Bytes `start` to `end`; they lie in a buffer that is used again after the return.
   * @returns false: no more until `resume`
   */
  data(bytes: Buffer, start: number, end: number): boolean
  end(trailers: Fields | null): void
  /** No response, or not all of it. */
  fail(error: GatewayError): void
}

export interface BackgroundExchange {
  /** The sink takes bytes again. */
  resume(): void
  /** Nobody needs it any more: the sink hears no more. */
  abort(): void
}

export interface BackgroundExchanges {
  /**
   * Repeats the request of an exchange as its rule forwards one: by the same split, retries, time-outs and limits, and
   * by the tables that the exchange began with. It begins in the next turn of the loop, behind all filters. There is no
   * line of it in the access log, and it is no request in the metrics.
   *
   * @param cause once that has been forwarded, its Backend gets this one, too
   * @returns null: there is no room for more of its namespace, or the gateway is about to end
   */
  begin(cause: Exchange, request: BackgroundRequest, sink: BackgroundSink): BackgroundExchange | null
}
