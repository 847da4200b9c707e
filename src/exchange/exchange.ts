/**
 * The state of one request on its way through this worker, and what filters see of it. Every other file of this room
 * reads and writes it; what happens to it from outside is in client-exchange.ts.
 */
import { NO_KEY } from '../balance/balancer.ts'
import type { Endpoint } from '../balance/endpoint.ts'
import type { BodyState } from '../balance/retry.ts'
import type { SplitDraw } from '../balance/split.ts'
import type { Reason } from '../lib/reason.ts'
import type { NamespaceShare } from '../limit/upstream-budget.ts'
import type { LinkedPolicy } from '../link/linked-policy.ts'
import type { LinkedBackend, MatchedTables } from '../link/linked-tables.ts'
import type { ClientCertificate } from '../message/client-certificate.ts'
import type { ClientOrigin } from '../message/client-origin.ts'
import { Fields } from '../message/fields.ts'
import type { LocalResponse } from '../message/local-response.ts'
import { type Attribute, Attributes } from '../policy/attribute.ts'
import { guardedAbort } from '../policy/callback-guard.ts'
import type { Chain } from '../policy/chain.ts'
import type { Exchange, ExchangeLimits } from '../policy/exchange.ts'
import type { Filter, UnsafeRequest } from '../policy/filter.ts'
import type { PolicySet } from '../policy/policy-set.ts'
import { requestIdOf } from '../policy/request-id/request-id.ts'
import type { FrontendHandle } from '../snapshot/frontend-handle.ts'
import type { HostTls } from '../snapshot/host-tls.ts'
import type { RuleView } from '../snapshot/route-tables.ts'
import type { Downstream, IncomingRequest } from '../transport/downstream.ts'
import type { Timed } from '../transport/timers.ts'
import { nextDeadline } from './deadlines.ts'
import type { ExchangeContext } from './exchange-context.ts'
import type { Forwarding } from './forwarding.ts'
import { type GrpcCall, grpcCallOf } from './grpc-call.ts'

/** The split of a rule with priorities, as the rest of the exchange uses it. */
export interface CurrentSplit {
  /** Where the request is the trial of one endpoint, that one, once. */
  trial: Endpoint | null
  /** A Backend of another level that has room, each level once; null: there is none. */
  next(tried: readonly Endpoint[] | null): LinkedBackend | null
  /** Whether there is one. */
  readonly hasNext: boolean
  /** Whether another level is worth more than one more attempt at this Backend, the current one. */
  isSpent(backend: LinkedBackend, tried: readonly Endpoint[] | null): boolean
}

/** A rule that hears of an unsafe request which another one takes. */
export interface UnsafeTarget extends UnsafeRequest {
  readonly filter: Filter
}

/** The current attempt, as the rest of the exchange uses it. */
export interface CurrentAttempt {
  readonly endpoint: Endpoint
  /** Monotonic milliseconds. */
  readonly startedAt: number
  /** Since when only the upstream's head is missing. */
  readonly waitingSince: number
  readonly awaitingHead: boolean
  /** The request's head went to a connection, monotonic milliseconds; -1 before. */
  readonly sentAt: number
  /** The head of its response has come. */
  readonly answered: boolean
  /** A chunk of the request's body. @returns false: wait for the upstream's drain */
  send(chunk: Uint8Array): boolean
  sendEnd(trailers: Fields | null): void
  clientDrained(): void
  /**
   * Its response is of no use, but its connection is: what is left of it is read and dropped within bounds, also when
   * the exchange has ended. It makes no difference to the exchange any more.
   */
  discard(): void
  /**
   * Ends it, and the response that it has begun by these trailers, behind what the filters' steps still hold of it.
   * @returns false: it has begun none
   */
  endCall(failure: Reason, trailers: Fields): boolean
  /**
   * Ends it, with no effect when it has ended: no callback of it comes any more.
   * @param failure why its response is not complete; null when the gateway needs no more of it
   */
  close(failure: Reason | null): void
}

/** The request's body, as the rest of the exchange uses it. */
export interface CurrentBody {
  readonly bytesIn: number
  /** It was received completely. */
  readonly complete: boolean
  /** Whether the upstream, not the client, is the slow side. */
  readonly blocked: boolean
  /** Bytes that the request announces upstream; -1 where it announces none. */
  readonly length: number
  /** Whether all of it can be sent, perhaps again. */
  readonly state: BodyState
  /** A chunk from the client. @returns false: no more for now */
  data(chunk: Buffer): boolean
  end(trailers: Fields | null): void
  /** All of it, before the request has passed the filters; it is kept for the upstream. */
  read(maxBytes: number): Promise<Uint8Array>
  /** Puts the filters' steps in, once the request has passed the filters. */
  compose(): void
  /** A connection takes the bytes. */
  open(): void
  /** The attempt is over, and another follows: holds again what was sent, and what comes. */
  close(): void
  /** No other attempt follows: what was sent is not kept any longer. */
  release(): void
  /** The upstream takes bytes again. */
  drained(): void
  abort(): void
}

/** When the client left, and what it was told by then. */
export interface ClientLeft {
  /** Monotonic milliseconds. */
  readonly at: number
  /** Of the response; 0 = none of it. */
  readonly status: number
  readonly detail: string
}

/** The body of a local response in flight. */
export interface LocalBody {
  /** The client takes bytes again. */
  drained(): void
  abort(): void
}

export abstract class ProxyExchange implements Exchange, Timed {
  // The one timer of the exchange (Timed)
  due = 0
  slot = -1
  earlier: Timed | null = null
  later: Timed | null = null

  // What came
  readonly context: ExchangeContext
  downstream: Downstream
  incoming: IncomingRequest
  readonly method: string
  request: Fields
  host = ''
  path = ''
  query: string | undefined = undefined
  clientAddress = ''
  trusted = false
  forwarding!: Forwarding
  /** Path in normal form before any rewrite; as received until that is known. */
  originalPath = ''

  // Results of routing
  tables: MatchedTables | null = null
  /** It waits, and Backends that were removed are kept for it: see waiting-requests.ts. */
  waits = false
  /** TLS of the host; null: nobody states any. */
  hostTls: HostTls | null = null
  ruleView: RuleView | null = null
  linked: LinkedPolicy | null = null
  /** Of the policy set; null: no filter sees the exchange. */
  chain: Chain | null = null
  matchedPrefix = 0
  /** From another address the same request may belong to another rule. */
  matchedByAddress = false
  /** Of an unsafe request: a rule of each namespace that may have responses of its URL; null: none besides its own. */
  unsafeFor: readonly UnsafeTarget[] | null = null
  backend: LinkedBackend | null = null
  /** Of a rule whose Backends have priorities: where it goes where the Backend cannot serve it. */
  split: CurrentSplit | null = null
  /** What has decided about its Backend, where that was asked before it is forwarded. */
  draw: SplitDraw | null = null
  /** Name and value of a cookie by which the client is known from now on, so that it stays in its part of the split. */
  splitCookie: string | null = null
  upstreamHost: string | undefined = undefined
  /** The local response to a request whose Max-Forwards is 0. */
  finalResponse: LocalResponse | null = null
  /** Token of the protocol that the upstream is asked to switch to; null: none. */
  upgrade: string | null = null
  /** A connection whose bytes mean nothing here: it is joined with one to an endpoint, without any head. */
  readonly opaque: boolean
  entered = 0
  cacheResult = ''
  /** A filter's decision on the request is awaited: it was entered and has not let the request pass. */
  deciding = false
  /** A local response is passing the filters, one of which is awaited. */
  answering = false

  // Progress
  ended = false
  headSent = false
  /**
   * The response is complete, and the rest of the request's body still goes to the upstream: nothing that happens now
   * reaches the client.
   */
  restOnly = false
  status = 0
  /** Not null: the exchange goes on without its client. */
  left: ClientLeft | null = null
  /** Of an exchange without a client: when it is over, monotonic milliseconds; 0 = there is one. */
  unattendedUntil = 0
  /** A filter has begun it, and no client ever asked: it is in no log. */
  background = false
  reason: Reason | null = null
  /** Details of the failure, for the log. */
  detail = ''
  attempt: CurrentAttempt | null = null
  /** The younger of two, see hedge.ts. */
  rival: CurrentAttempt | null = null
  /** The Backend's own in-flight count holds it. */
  rivalCounted = false
  /** There was one. */
  hedged = false
  /** When the attempt is slow, monotonic milliseconds; 0 = never. */
  hedgeAt = 0
  attempts = 0
  /** Attempts after the first that the retry policy paid for, and whether a dead connection was replaced once. */
  retries = 0
  refreshed = false
  /** How often an upstream has said that it did not process the request. */
  refusals = 0
  /** When the next attempt begins, monotonic milliseconds; 0 = none is waited for. */
  retryAt = 0
  /** How the last attempt that was followed by another had failed. */
  failure: Reason | null = null
  /** When the credential of a stream is looked at, monotonic milliseconds; 0 = never. */
  leaseAt = 0
  /** An interim response has gone to the client: too late for another attempt. */
  interim = false
  /** The endpoint that the client named by its session and was given. */
  sessionEndpoint: Endpoint | null = null
  /** What a hashing balancer chooses by. */
  hashKey = NO_KEY
  /** Endpoints that failed in this exchange. */
  tried: Endpoint[] | null = null
  /** The last endpoint tried, for the log. */
  endpoint: Endpoint | null = null
  /** Of the Backend's namespace: it counts this exchange. */
  share: NamespaceShare | null = null
  /** The Backend's own in-flight count holds this exchange. */
  counted = false
  body: CurrentBody | null = null
  localBody: LocalBody | null = null
  /** Of a tunnel, either way; a request's body counts its own bytes, a response's the client's side. */
  bytesIn = 0
  bytesOut = 0
  /** Monotonic milliseconds. */
  readonly startedAt: number
  lastActivity: number
  upstreamStartedAt = -1
  upstreamEndedAt = -1
  #call: GrpcCall | null | undefined = undefined
  #id: string | null = null
  #ownLimits: ExchangeLimits | null = null
  #attributes: Attributes | null = null
  #signal: AbortController | null = null

  constructor(context: ExchangeContext, downstream: Downstream, incoming: IncomingRequest) {
    this.context = context
    this.downstream = downstream
    this.incoming = incoming
    this.opaque = incoming.protocol === 'TLS'
    this.method = incoming.method
    this.request = incoming.fields
    this.startedAt = context.timers.now
    this.lastActivity = this.startedAt
  }

  /**
   * The one door by which failures leave: the client gets a response while that is possible, and a cut connection
   * after.
   * @param error a GatewayError; anything else is a fault of the gateway and becomes `InternalError`
   */
  abstract fail(error: unknown): void

  abstract expired(now: number): void

  abstract readonly recurs: boolean
  abstract readonly divided: boolean
  abstract part(): string | null

  get origin(): ClientOrigin {
    return this.forwarding.origin
  }

  get authority(): string {
    return this.incoming.authority
  }

  get listener(): string {
    return this.downstream.peer.listener.name
  }

  get clientCertificate(): ClientCertificate | null {
    return this.downstream.peer.tls?.clientCertificate ?? null
  }

  get frontend(): FrontendHandle {
    return this.downstream.peer.listener.frontend
  }

  get id(): string {
    this.#id ??= requestIdOf(this.request, this.trusted, this.context.random)
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

  /** The gRPC call that the request is, as it came; null for any other request. */
  get call(): GrpcCall | null {
    if (this.method !== 'POST') return null
    if (this.#call === undefined) this.#call = grpcCallOf(this.request)
    return this.#call
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

  protected shareAttributes(other: ProxyExchange): void {
    this.#attributes = other.#attributes
  }

  get signal(): AbortSignal {
    if (this.#signal === null) {
      this.#signal = guardedAbort((error) => this.context.unexpected(error))
      if (this.ended) this.#signal.abort()
    }
    return this.#signal.signal
  }

  /** The exchange has ended: whatever is done for it alone stops. */
  fireSignal(): void {
    this.#signal?.abort()
  }

  readBody(maxBytes: number): Promise<Uint8Array> {
    if (this.body === null) return Promise.resolve(new Uint8Array(0))
    const bytes = this.body.read(maxBytes)
    // A filter may look at it later or never, and a client that goes away must not end the thread by that.
    bytes.catch(() => {})
    return bytes
  }

  /** A copy of its own, made when a filter first asks. */
  get deadline(): ExchangeLimits {
    this.#ownLimits ??= { ...this.linked!.limits }
    return this.#ownLimits
  }

  /** Nothing of an attempt comes any more. @param failure why their responses are not complete */
  closeAttempts(failure: Reason | null): void {
    this.attempt?.close(failure)
    this.attempt = null
    this.rival?.close(failure)
    this.leaveRace()
  }

  /** The second of two attempts is none any more. */
  leaveRace(): void {
    this.rival = null
    if (!this.rivalCounted) return
    this.rivalCounted = false
    this.backend!.requestPlaces.give()
  }

  /** The request has been sent and cannot be sent again, and what follows may last for days. */
  forgetHead(): void {
    this.request = new Fields()
    this.incoming = { ...this.incoming, fields: this.request }
  }

  /** The limits in force. */
  get limits(): Readonly<ExchangeLimits> | null {
    return this.#ownLimits ?? this.linked?.limits ?? null
  }

  /** Arms the one timer of this exchange for whatever is due next. */
  watch(): void {
    const next = nextDeadline(this)
    if (next > 0) this.context.timers.arm(this, next)
  }
}
