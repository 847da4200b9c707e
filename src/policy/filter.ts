/**
 * The filter contract. A chain is composed once per distinct policy set, at link time, never on a user's request.
 * Returning a plain value keeps the request synchronous; a promise is for filters that must wait.
 */

import type { CacheExplanation } from '../cache/cache-explanation.ts'
import type { Milliseconds } from '../lib/clock.ts'
import type { BodyStepFactory, BodyTee } from '../message/body.ts'
import type { ResponseHead } from '../message/head.ts'
import type { LocalResponse } from '../message/local-response.ts'
import type { CredentialNames } from '../pattern/concealed.ts'
import type { DryRun } from './dry-run.ts'
import type { DryExchange, Exchange, ExchangeSummary } from './exchange.ts'

/**
 * `undefined`: go on. A response goes back through `onResponse` of the filters already passed; its body may be a
 * stream: from memory, from a store, or a fetch under way.
 */
export type RequestDecision = undefined | { readonly type: 'respond'; readonly response: LocalResponse }

/**
 * `undefined`: as it is (perhaps changed in place). A replacement takes the place of the response, whose body is
 * dropped.
 */
export type ResponseDecision = undefined | { readonly type: 'replace'; readonly response: LocalResponse }

/** A step of the request's body, and what it does to the length. */
export interface RequestBodyStep {
  readonly step: BodyStepFactory
  /**
   * What the request announces upstream: `kept` = as many bytes as come in, a number = exactly so many, `unknown` =
   * neither, so that the body is sent in chunks. The length that the client announced never passes a step that does not
   * keep it, and a body that is not as long as announced ends as failed (RFC 9112 §6.3: else it is request smuggling).
   */
  readonly length: 'kept' | 'unknown' | number
}

export interface Explanation {
  readonly filter: string
  /** One sentence in the present tense: `replaces the prefix /api by /`. */
  readonly effect: string
  /** Present when this filter would answer the request itself. */
  readonly status?: number
  /** Of the cache: by which key, from where, and why. */
  readonly cache?: CacheExplanation
  /** The whole of it, where that takes a question to a store: never rejects, and ends within its deadline. */
  readonly complete?: () => Promise<Explanation>
}

/** What a filter hears of an unsafe request that another rule takes. */
export interface UnsafeRequest {
  /** `namespace/name` of a Route that has this filter. */
  readonly route: string
  /**
   * Where the rule that takes it is of another namespace: what all paths that it serves begin with, by whole segments
   * and without a slash at the end; null: it serves the path of the request alone.
   */
  readonly served?: string | null
}

export interface Filter {
  readonly name: string
  /**
   * Fields of the request that this filter states or takes away, in lower case with hyphens only: a client cannot send
   * them in trailers either, which some servers join to the head (RFC 9110 §6.5.1).
   */
  readonly requestFields?: readonly string[]
  /** Where it looks for credentials: what is there is shown to nobody. */
  readonly credentials?: CredentialNames
  /** It reads cookies of sessions, which are kept from everybody else: see `takeSessionCookies`. */
  readonly sessions?: boolean
  /** It keeps nothing of the head of a response behind `onResponse` and `responseBody`, though it has `onEnd`. */
  readonly forgetsHeads?: boolean
  onRequest?(x: Exchange): RequestDecision | Promise<RequestDecision>
  /**
   * Called in reverse order, once for each response that would be sent; also for 101, before the upgrade happens: its
   * fields may be changed, and a replacement refuses the upgrade.
   *
   * @param local the gateway's own response of which `head` is the head; null when the upstream sent it
   */
  onResponse?(
    x: Exchange,
    head: ResponseHead,
    local: LocalResponse | null,
  ): ResponseDecision | Promise<ResponseDecision>
  /** Not called for a request without a body. */
  requestBody?(x: Exchange): RequestBodyStep | undefined
  /** A step that changes the length says so in `head.bodyLength`. */
  responseBody?(x: Exchange, head: ResponseHead): BodyStepFactory | BodyTee | undefined
  /**
   * The client has left, while its request is complete and an upstream is to give the response, or gives it. Where some
   * filter wants that, the exchange goes on as if the client read at once what is sent: through all filters, with its
   * places, limits and time-outs, but at most so long. The summary says what the client got. Not called where there
   * are too many such exchanges.
   *
   * @returns milliseconds; 0 = nobody needs the response
   */
  onClientGone?(x: Exchange): Milliseconds
  /**
   * A request with an unsafe method was answered by an upstream through another rule, and a GET of its URL may pass
   * this filter (RFC 9111 §4.4). Must not throw.
   *
   * @param x the exchange of that request
   */
  onUnsafeResponse?(x: Exchange, head: ResponseHead, request: UnsafeRequest): void
  /** Exactly once for every exchange whose `onRequest` was called, also on abort. Must not throw. */
  onEnd?(x: Exchange, summary: ExchangeSummary): void
  /** What it would do, without any effect. */
  explain?(x: DryExchange): Explanation | undefined
  /** Changes the copy of a request that is explained as a request would be: that is what filters behind it explain. */
  rehearse?(x: DryRun): void
  /**
   * Begins when the chain is in force; only requests of this policy set wait for it, before their filters run, and
   * only within a bound. A failure of any filter makes them answer 500, never holds a generation back, and is tried
   * again, all filters of the chain anew, in pauses that double; the chain stays warm in later generations. `signal`
   * fires at the bound, when another filter fails, and when the chain is disposed of.
   */
  warmUp?(signal: AbortSignal): Promise<void>
  /** Once, when the chain is dropped and no exchange uses it any more. Must not throw. */
  dispose?(): void
}
