/**
 * The filter contract. A chain is composed once per distinct policy set, at link time, never on a user's request.
 * Returning a plain value keeps the request synchronous; a promise is for filters that must wait.
 */

import type { GatewayError } from '../lib/error.ts'
import type { Fields } from '../message/fields.ts'
import type { DryExchange, Exchange, LocalResponse, ResponseHead } from './exchange.ts'

/** `undefined`: go on. An answer goes back through `onResponse` of the filters already passed. */
export type RequestDecision = undefined | { readonly type: 'answer'; readonly answer: LocalResponse } | Tunnel

/** The exchange becomes a byte tunnel once the upstream agrees (101, or 2xx to an extended CONNECT). */
export interface Tunnel {
  readonly type: 'tunnel'
  /** Token of Upgrade that the upstream must confirm. */
  readonly protocol: string
}

/**
 * `undefined`: as it is (perhaps changed in place). An answer takes the place of the upstream's response, whose body is
 * dropped.
 */
export type ResponseDecision = undefined | { readonly type: 'replace'; readonly answer: LocalResponse }

/** Where a body step puts what it lets through. */
export interface BodySink {
  /** @returns false: stop sending until the step's `drained` is called */
  write(chunk: Uint8Array): boolean
  end(trailers: Fields | null): void
  fail(error: GatewayError): void
}

/** A stage of a body on its way: transform, tee or hold back. One object per exchange and direction. */
export interface BodyStep {
  /**
   * @returns false: the source must pause until the step has called the sink's way free again (`resume` given at start)
   */
  data(chunk: Uint8Array): boolean
  end(trailers: Fields | null): void
  /** The sink below takes bytes again. */
  drained(): void
  /** The exchange ended early; drop what is held. */
  abort(): void
}

/** Makes a step once the sink it writes to is known; `resume` wakes the source after `data` returned false. */
export type BodyStepFactory = (sink: BodySink, resume: () => void) => BodyStep

export interface Explanation {
  readonly filter: string
  /** One sentence in the present tense: `replaces the prefix /api by /`. */
  readonly effect: string
  /** Present when this filter would answer the request itself. */
  readonly status?: number
}

export interface Filter {
  readonly name: string
  onRequest?(x: Exchange): RequestDecision | Promise<RequestDecision>
  /** Called in reverse order. */
  onResponse?(x: Exchange, head: ResponseHead): ResponseDecision | Promise<ResponseDecision>
  requestBody?(x: Exchange): BodyStepFactory | undefined
  responseBody?(x: Exchange, head: ResponseHead): BodyStepFactory | undefined
  /** Exactly once for every exchange whose `onRequest` was called, also on abort. Must not throw. */
  onEnd?(x: Exchange): void
  /** What it would do, without any effect. */
  explain?(x: DryExchange): Explanation | undefined
}
