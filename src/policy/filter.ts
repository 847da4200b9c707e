/**
 * The filter contract. A chain is composed once per distinct policy set, at link time, never on a user's request.
 * Returning a plain value keeps the request synchronous; a promise is for filters that must wait.
 */

import type { BodyStepFactory } from '../message/body.ts'
import type { ResponseHead } from '../message/head.ts'
import type { LocalResponse } from '../message/local-response.ts'
import type { DryExchange, Exchange } from './exchange.ts'

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
