/**
 * One request on its way through this worker: what filters see of it, what the client's side tells it, and its
 * deadlines. The steps it takes are in flow.ts, each try at an endpoint in attempt.ts.
 */
import type { Endpoint } from '../balance/endpoint.ts'
import type { Forwarding } from '../exchange/forwarding.ts'
import { GatewayError } from '../lib/error.ts'
import type { Reason } from '../lib/reason.ts'
import type { BodyControl } from '../message/body.ts'
import type { BodyPipe } from '../message/body-pipe.ts'
import type { ClientOrigin } from '../message/client-origin.ts'
import type { Fields } from '../message/fields.ts'
import type { LocalResponse } from '../message/local-response.ts'
import { type Attribute, Attributes } from '../policy/attribute.ts'
import type { Exchange, ExchangeLimits } from '../policy/exchange.ts'
import type { PolicySet } from '../policy/policy-set.ts'
import { requestIdOf } from '../policy/request-id/request-id.ts'
import type { FrontendHandle } from '../snapshot/frontend-handle.ts'
import type { RuleView } from '../snapshot/route-tables.ts'
import type { Downstream, DownstreamHandler, IncomingRequest } from '../transport/downstream.ts'
import type { Timed } from '../transport/timers.ts'
import type { Attempt } from './attempt.ts'
import type { Flow } from './flow.ts'
import type { LinkedBackend, LinkedPolicy, LinkedTables } from './linked.ts'
import { RequestBody } from './request-body.ts'
import type { NamespaceShare } from './upstream-budget.ts'

export class ProxyExchange implements Exchange, DownstreamHandler, Timed {
  // The one timer of the exchange (Timed)
  due = 0
  slot = -1
  earlier: Timed | null = null
  later: Timed | null = null

  // What came
  readonly flow: Flow
  readonly downstream: Downstream
  readonly incoming: IncomingRequest
  readonly method: string
  readonly request: Fields
  host = ''
  path = ''
  query: string | undefined = undefined
  clientAddress = ''
  trusted = false
  forwarding!: Forwarding
  /** Path in normal form before any rewrite; as received until that is known. */
  originalPath = ''

  // What was found for it
  tables: LinkedTables | null = null
  ruleView: RuleView | null = null
  linked: LinkedPolicy | null = null
  matchedPrefix = 0
  backend: LinkedBackend | null = null
  upstreamHost: string | undefined = undefined
  /** What is answered instead of forwarding: the client wants it to go no further. */
  finalAnswer: LocalResponse | null = null
  entered = 0
  /** A filter's verdict on the request is awaited: it was entered and has not let the request pass. */
  deciding = false
  /** A refusal is on its way back, and a filter it passes is awaited. */
  answering = false

  // How far it has come
  ended = false
  headSent = false
  /**
   * The response is complete, and the rest of the request's body still goes to the upstream: nothing that happens now
   * is told the client.
   */
  restOnly = false
  status = 0
  reason: Reason | null = null
  attempt: Attempt | null = null
  attempts = 0
  /** Tries after the first that the retry policy paid for, and whether a dead connection was replaced once. */
  retries = 0
  refreshed = false
  /** When the next try begins, monotonic milliseconds; 0 = none is waited for. */
  retryAt = 0
  /** How the last try that was followed by another had failed. */
  failure: Reason | null = null
  /** An interim response has gone to the client: too late for another try. */
  interim = false
  /** What exactly went wrong, for the log. */
  detail = ''
  /** Endpoints that failed in this exchange. */
  tried: Endpoint[] | null = null
  /** The last endpoint tried, for the log. */
  endpoint: Endpoint | null = null
  /** Of the Backend's namespace: it counts this exchange. */
  share: NamespaceShare | null = null
  /** The Backend's own in-flight count holds this exchange. */
  counted = false
  body: RequestBody | null
  /** Steps that the body of an answer of ours is passing. */
  answerBody: BodyPipe | null = null
  /** Where the body of a response of ours comes from, while it is a stream. */
  answerSource: BodyControl | null = null
  /** Of a tunnel, either way; a request's body counts its own bytes, a response's the client's side. */
  bytesIn = 0
  bytesOut = 0
  /** Monotonic milliseconds. */
  readonly startedAt: number
  lastActivity: number
  upstreamStartedAt = -1
  upstreamEndedAt = -1
  #id: string | null = null
  #ownLimits: ExchangeLimits | null = null
  #attributes: Attributes | null = null
  #end: AbortController | null = null

  constructor(flow: Flow, downstream: Downstream, incoming: IncomingRequest) {
    this.flow = flow
    this.downstream = downstream
    this.incoming = incoming
    this.method = incoming.method
    this.request = incoming.fields
    this.startedAt = flow.timers.now
    this.lastActivity = this.startedAt
    this.body = incoming.bodyLength === 0 ? null : new RequestBody(this)
  }

  get origin(): ClientOrigin {
    return this.forwarding.origin
  }

  get listener(): string {
    return this.downstream.peer.listener.name
  }

  get frontend(): FrontendHandle {
    return this.downstream.peer.listener.frontend
  }

  get id(): string {
    this.#id ??= requestIdOf(this.request, this.trusted, this.flow.random)
    return this.#id
  }

  get route(): string {
    return this.ruleView?.route ?? ''
  }

  get rule(): string {
    return this.ruleView?.rule ?? ''
  }

  get policy(): PolicySet {
    return this.linked!.policy
  }

  get requestBodyLength(): number | undefined {
    return this.incoming.bodyLength < 0 ? undefined : this.incoming.bodyLength
  }

  get<T>(key: Attribute<T>): T | undefined {
    return this.#attributes?.get(key)
  }

  set<T>(key: Attribute<T>, value: T): void {
    this.#attributes ??= new Attributes()
    this.#attributes.set(key, value)
  }

  get signal(): AbortSignal {
    if (this.#end === null) {
      this.#end = new AbortController()
      if (this.ended) this.#end.abort()
    }
    return this.#end.signal
  }

  /** Ended: whoever waits for it stops. */
  abortSignal(): void {
    this.#end?.abort()
  }

  readBody(_maxBytes: number): Promise<Uint8Array> {
    return Promise.reject(new GatewayError('InternalError', 'reading a body is not there yet'))
  }

  /** A copy of its own, made when a filter first asks. */
  get deadline(): ExchangeLimits {
    this.#ownLimits ??= { ...this.linked!.limits }
    return this.#ownLimits
  }

  /** The limits in force. */
  get limits(): Readonly<ExchangeLimits> | null {
    return this.#ownLimits ?? this.linked?.limits ?? null
  }

  // ---- what the client's side tells ----

  onRequestBody(chunk: Buffer): boolean {
    if (this.ended) return true
    this.lastActivity = this.flow.timers.now
    return this.body!.data(chunk)
  }

  onRequestEnd(trailers: Fields | null): void {
    if (!this.ended && this.body !== null) this.body.end(trailers)
  }

  onRequestFailed(error: GatewayError): void {
    this.flow.fail(this, error)
  }

  onClientDrain(): void {
    if (this.ended) return
    this.lastActivity = this.flow.timers.now
    this.attempt?.clientDrained()
    this.answerBody?.drained()
  }

  onClientGone(detail: string): void {
    if (!this.ended) this.flow.clientGone(this, detail)
  }

  // ---- deadlines ----

  expired(now: number): void {
    if (this.ended) return
    const failure = this.#overdue(now)
    if (this.answering) this.flow.cut(this)
    else if (failure !== null) this.flow.fail(this, failure)
    else if (this.retryAt > 0 && now >= this.retryAt) this.flow.retry(this)
    else this.watch()
  }

  /** Arms the one timer of this exchange for whatever is due next. */
  watch(): void {
    const next = this.#nextDeadline()
    if (next > 0) this.flow.timers.arm(this, next)
  }

  #nextDeadline(): number {
    const limits = this.limits
    if (limits === null) return 0
    let next = Number.POSITIVE_INFINITY
    if (limits.request > 0) next = this.startedAt + limits.request
    const attempt = this.attempt
    if (attempt !== null) {
      if (limits.backendRequest > 0) next = Math.min(next, attempt.startedAt + limits.backendRequest)
      if (attempt.awaitingHead) {
        if (limits.responseHead > 0) next = Math.min(next, attempt.waitingSince + limits.responseHead)
      } else if (limits.idle > 0) next = Math.min(next, this.lastActivity + limits.idle)
    } else if (this.retryAt > 0) next = Math.min(next, this.retryAt)
    else if (limits.idle > 0) next = Math.min(next, this.lastActivity + limits.idle)
    return next === Number.POSITIVE_INFINITY ? 0 : next
  }

  #overdue(now: number): GatewayError | null {
    const limits = this.limits
    if (limits === null) return null
    if (limits.request > 0 && now >= this.startedAt + limits.request) return new GatewayError('RequestTimeout')
    const attempt = this.attempt
    if (attempt === null)
      return this.retryAt === 0 && limits.idle > 0 && now >= this.lastActivity + limits.idle
        ? new GatewayError('RequestTimeout', 'a filter took too long')
        : null
    if (limits.backendRequest > 0 && now >= attempt.startedAt + limits.backendRequest)
      return new GatewayError('BackendRequestTimeout')
    if (attempt.awaitingHead)
      return limits.responseHead > 0 && now >= attempt.waitingSince + limits.responseHead
        ? new GatewayError('ResponseHeadTimeout')
        : null
    if (limits.idle > 0 && now >= this.lastActivity + limits.idle)
      return new GatewayError(
        this.body !== null && !this.body.complete && !this.body.blocked ? 'RequestBodyTimeout' : 'IdleTimeout',
      )
    return null
  }
}
